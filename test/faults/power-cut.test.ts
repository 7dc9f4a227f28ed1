import { describe, expect, test } from 'vitest'
import { runs } from '../effort.ts'
import { runPowerCut } from './power-cut.ts'

const SEEDS = runs(150, 10_000)
/** A seed takes some 10 ms: this only ends what hangs. */
const TIMEOUT_MS = 60_000 + 500 * SEEDS

describe('The disk store, when power goes at any moment', () => {
  test(
    `keeps what it promised, and never answers other bytes, for ${SEEDS} seeds`,
    async () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        await runPowerCut(seed).catch((error: unknown) => {
          expect.unreachable(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`)
        })
      }
    },
    TIMEOUT_MS,
  )
})
