/** Keeps fragments from being evicted while somebody works with them: a lease that is renewed until it is let go. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Presence } from './client-shapes.ts'

/** A lease that renews itself. */
export interface Lease {
  /** Which keys were there when it began, in order; the others are not leased. */
  readonly isPresent: readonly boolean[]
  /** Aborts when a renewal fails or a fragment is gone, with a MembraneError: PEER_UNAVAILABLE, NOT_FOUND, … */
  readonly lost: AbortSignal
  /** Renews no more; what is leased stays so until its time is over. */
  release(): void
}

/** Renewed when so much of its time is over: two renewals may fail before it ends. */
const RENEW_RATIO = 1 / 3

export interface LeaseParts {
  readonly take: (keys: readonly string[], signal: AbortSignal) => Promise<Presence>
  readonly gone: (key: string) => Error
  readonly leaseMs: number
}

export async function startLease(keys: readonly string[], { take, gone, leaseMs }: LeaseParts): Promise<Lease> {
  const released = new AbortController()
  const lost = new AbortController()
  const first = await take(keys, released.signal)
  const held = keys.filter((_, index) => first.isPresent[index] === true)
  const renew = async (): Promise<void> => {
    while (!released.signal.aborted) {
      await delay(leaseMs * RENEW_RATIO, undefined, { signal: released.signal, ref: false })
      const { isPresent } = await take(held, released.signal)
      const missing = held.find((_, index) => isPresent[index] !== true)
      if (missing !== undefined) throw gone(missing)
    }
  }
  if (held.length > 0)
    renew().catch((error: unknown) => {
      if (!released.signal.aborted) lost.abort(error)
    })
  return { isPresent: first.isPresent, lost: lost.signal, release: () => released.abort() }
}
