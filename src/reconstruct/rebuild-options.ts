/** How a rebuild goes about it when nobody says otherwise. */
import { planRebuild } from './plan-rebuild.ts'
import type { RebuildOptions } from './rebuild-ports.ts'

/**
 * Eight reads keep a disk or a link busy. A gigabyte is six fragments of the largest models, and 10,000 tokens of small
 * ones. A twentieth of a second is not noticed. Five milliseconds go here and there by the event loop alone.
 */
export const DEFAULT_REBUILD: RebuildOptions = {
  parallelReads: 8,
  bytesInFlightMax: 1024 ** 3,
  storeBytesMax: 2 * 1024 ** 3,
  lookUpRatio: 0.1,
  patienceSecondsMin: 0.05,
  gainSecondsMin: 0.005,
  plan: planRebuild,
}
