/** Writes what the golden tests compare with anew. Look at the difference before you commit it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { API_SNAPSHOT_PATH, apiSnapshot } from './api-snapshot.ts'

mkdirSync(dirname(API_SNAPSHOT_PATH), { recursive: true })
writeFileSync(API_SNAPSHOT_PATH, apiSnapshot())
