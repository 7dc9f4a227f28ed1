/** Tries again what may succeed then: only what is safe, ever later, and never beyond the deadline of the call. */
import { MembraneError } from '../core/errors.ts'
import type { Deadline } from './client-deadline.ts'
import { isRetryable, isUndone } from './client-errors.ts'

export interface RetryOptions {
  /** Tries after the first. */
  readonly retriesMax: number
  /** Before the first of them; each later one waits twice as long as the one before. */
  readonly retryDelayMs: number
  readonly retryDelayMsMax: number
}

export interface RetriedCall {
  readonly deadline: Deadline
  /** Doing it twice is as good as doing it once. Otherwise it is only tried again when nothing has been done. */
  readonly isIdempotent: boolean
  /** 0 to 1. */
  readonly random: () => number
}

/** Throws what the last try threw; its details say how many there were. */
export async function withRetries<T>(attempt: () => Promise<T>, options: RetryOptions, call: RetriedCall): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      const delayMs = delayBeforeNext(error, tries, options, call)
      if (delayMs === null || delayMs >= call.deadline.leftMs) throw tries === 1 ? error : after(tries, error)
      await call.deadline.wait(delayMs)
    }
  }
}

/** Null when it is not tried again. Half of the wait is by chance, so that those who failed together do not return together. */
export function delayBeforeNext(
  error: MembraneError,
  tries: number,
  { retriesMax, retryDelayMs, retryDelayMsMax }: RetryOptions,
  { isIdempotent, random }: Pick<RetriedCall, 'isIdempotent' | 'random'>,
): number | null {
  if (tries > retriesMax || !isRetryable(error) || !(isIdempotent || isUndone(error))) return null
  const fullMs = Math.min(retryDelayMsMax, retryDelayMs * 2 ** (tries - 1))
  const { retryAfterSeconds } = error.details
  const asked = typeof retryAfterSeconds === 'number' ? retryAfterSeconds * 1000 : 0
  return Math.max(asked, fullMs * (0.5 + random() / 2))
}

function after(tries: number, { code, message, remedy, details, cause }: MembraneError): MembraneError {
  return new MembraneError(code, message, {
    ...(remedy === null ? {} : { remedy }),
    details: { ...details, tries },
    ...(cause === undefined ? {} : { cause }),
  })
}
