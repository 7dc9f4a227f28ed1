/** How long to wait before trying again. */
import type { Random } from '../core/random.ts'

/** Seconds. */
export interface BackoffOptions {
  /** Before the first try again, on average three quarters of it. */
  readonly firstSeconds: number
  readonly maxSeconds: number
}

/**
 * Doubles with each failure in a row, 1 or more, up to `maxSeconds`; between half of that and all of it by chance, so
 * that many who were cut off at once do not come back at once.
 */
export function backoffSeconds(failures: number, { firstSeconds, maxSeconds }: BackoffOptions, random: Random): number {
  const most = Math.min(maxSeconds, firstSeconds * 2 ** (failures - 1))
  return most * (0.5 + random() / 2)
}
