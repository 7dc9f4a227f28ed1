import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { runs } from '../effort.ts'
import { CrashedDirectory } from './crash.ts'
import { randomOf } from './random-bytes.ts'

const ROUNDS = runs(10, 500)
const directory = mkdtempSync(join(tmpdir(), 'membrane-crash-'))

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('The disk store, when its process is killed at any moment', () => {
  test.each(['process', 'power'] as const)(
    `has every acknowledged fragment and no bytes of others, after ${ROUNDS} kills (%s)`,
    async (durability) => {
      const seed = Date.now() % 1_000_000
      const crashed = new CrashedDirectory(directory, randomOf(seed), durability)
      let acknowledged = 0
      for (let round = 0; round < ROUNDS; round++) {
        acknowledged += await crashed.round().catch((error: unknown) => {
          return expect.unreachable(
            `seed ${seed}, round ${round}: ${error instanceof Error ? error.stack : String(error)}`,
          )
        })
      }
      expect(acknowledged).toBeGreaterThan(ROUNDS)
    },
    ROUNDS * 10_000,
  )
})
