/**
 * Renews leases because bytes come, not because time passes: a transfer that moves keeps what it fetches, one that hangs
 * lets go of it, and the sender is never blocked by a receiver that has gone.
 */
import { MembraneError } from '../core/errors.ts'
import type { Stopwatch } from '../core/ports.ts'
import type { ReceiveCounters } from './receive-counters.ts'
import type { SenderLease } from './receive-ports.ts'

/** Of the lease's time. Two renewals may fail before anything is lost. */
const RENEWAL_RATIO = 1 / 3

interface LeaseKeeperParts {
  readonly lease: SenderLease
  /** What is to be kept at the moment. */
  readonly keys: () => readonly string[]
  readonly stopwatch: Stopwatch
  readonly counters: ReceiveCounters
  readonly signal: AbortSignal
}

export class LeaseKeeper {
  readonly #parts: LeaseKeeperParts
  #askedSeconds: number
  #isAsking = false

  constructor(parts: LeaseKeeperParts) {
    this.#parts = parts
    this.#askedSeconds = parts.stopwatch.seconds()
  }

  /** To be called whenever bytes have come. What the renewal throws beside a MembraneError goes to `crashed`: a bug. */
  moved(crashed: (error: unknown) => void): void {
    const { lease, keys, stopwatch, counters, signal } = this.#parts
    const now = stopwatch.seconds()
    if (this.#isAsking || now - this.#askedSeconds < RENEWAL_RATIO * lease.leaseSeconds) return
    this.#isAsking = true
    this.#askedSeconds = now
    lease
      .renew(keys(), { signal })
      .then(
        () => {
          counters.add({ leasesRenewed: 1 })
        },
        (error: unknown) => {
          if (error instanceof MembraneError) counters.add({ leasesFailed: 1 })
          else crashed(error)
        },
      )
      .finally(() => {
        this.#isAsking = false
      })
  }
}
