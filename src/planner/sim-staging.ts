import { JobQueue } from './job-queue.ts'

/** Someone who waits for room: a job at the remote cluster that wants to be sent, or a local server that holds a finished prefill. */
export type WaitingForRoom =
  | { readonly kind: 'send'; readonly job: number }
  | { readonly kind: 'server'; readonly job: number; readonly source: number }

/**
 * Memory of the decode cluster for KV that has no slot yet. A transfer reserves its room before it starts, a local
 * prefill when it ends; who finds none waits where the KV is. A single KV larger than all of it is let in alone.
 */
export class Staging {
  readonly #bytesMax: number
  readonly #toSend = new JobQueue()
  readonly #blockedSources = new JobQueue()
  #bytes = 0
  #held = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get isBounded(): boolean {
    return this.#bytesMax !== Number.POSITIVE_INFINITY
  }

  get waiting(): number {
    return this.#toSend.count + this.#blockedSources.count
  }

  reserve(bytes: number): boolean {
    if (!this.isBounded) return true
    if (this.#held > 0 && this.#bytes + bytes > this.#bytesMax) return false
    this.#held += 1
    this.#bytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#held -= 1
    // Starting from zero again keeps the sum exact.
    this.#bytes = this.#held === 0 ? 0 : this.#bytes - bytes
  }

  waitToSend(job: number): void {
    this.#toSend.push(job)
  }

  waitOnServer(source: number): void {
    this.#blockedSources.push(source)
  }

  /** Who has waited longest; null when nobody waits. */
  firstWaiting(queuedSeconds: (job: number) => number, jobOf: (source: number) => number): WaitingForRoom | null {
    const source = this.#blockedSources.peek()
    const sender = this.#toSend.peek()
    const holder = source < 0 ? -1 : jobOf(source)
    if (sender >= 0 && (holder < 0 || queuedSeconds(sender) <= queuedSeconds(holder)))
      return { kind: 'send', job: sender }
    return holder < 0 ? null : { kind: 'server', job: holder, source }
  }

  takeWaiting({ kind }: WaitingForRoom): void {
    if (kind === 'send') this.#toSend.shift()
    else this.#blockedSources.shift()
  }

  /** A server that is lost waits no more; when it is back, what it does then is nobody's finished prefill. */
  dropServer(source: number): void {
    for (let waiting = this.#blockedSources.count; waiting > 0; waiting--) {
      const other = this.#blockedSources.shift()
      if (other !== source) this.#blockedSources.push(other)
    }
  }

  /** Everyone who waits to be sent, because the cluster that holds their KV is gone. */
  dropSenders(): number[] {
    const jobs: number[] = []
    while (this.#toSend.count > 0) jobs.push(this.#toSend.shift())
    return jobs
  }
}
