/** Writes what the golden tests compare with anew. Look at the difference before you commit it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { jsonSchema, SCHEMA_NAMES } from '../src/api/json-schemas.ts'
import { API_SNAPSHOT_PATH, apiSnapshot } from './api-snapshot.ts'

write(API_SNAPSHOT_PATH, apiSnapshot())
for (const name of SCHEMA_NAMES) write(`schemas/${name}.schema.json`, `${JSON.stringify(jsonSchema(name), null, 2)}\n`)

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
