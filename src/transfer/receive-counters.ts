/** What a transfer counts while it runs. */
import type { TransferCounters } from './receive-ports.ts'

export class ReceiveCounters {
  readonly #values = {
    bytesReceived: 0,
    bytesAccepted: 0,
    bytesDiscarded: 0,
    bytesResumed: 0,
    chunksDamaged: 0,
    chunksLost: 0,
    cuts: 0,
    retries: 0,
    leasesRenewed: 0,
    leasesFailed: 0,
  }
  readonly #changed: (counters: TransferCounters) => void

  constructor(changed: (counters: TransferCounters) => void) {
    this.#changed = changed
  }

  add(counts: Partial<TransferCounters>): void {
    const values = this.#values
    for (const name of Object.keys(counts) as (keyof TransferCounters)[]) values[name] += counts[name] ?? 0
    this.#changed(this.snapshot)
  }

  get snapshot(): TransferCounters {
    return { ...this.#values }
  }
}
