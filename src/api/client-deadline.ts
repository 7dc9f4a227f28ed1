/** How long a call may take, over all of its tries, and who may cancel it. */
import { setTimeout as delay } from 'node:timers/promises'
import { MembraneError } from '../core/errors.ts'

/** Longer ones end at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** See the top of this file. To be closed when the call has ended. */
export class Deadline {
  readonly #cancel = new AbortController()
  readonly #asked: AbortSignal | undefined
  readonly #onAsked: () => void
  #endsAtMs: number
  #timer: NodeJS.Timeout

  constructor(timeoutMs: number, asked: AbortSignal | undefined) {
    this.#endsAtMs = performance.now() + timeoutMs
    this.#timer = this.#start()
    this.#asked = asked
    this.#onAsked = () =>
      this.#cancel.abort(new MembraneError('ABORTED', 'The call was cancelled.', { cause: asked?.reason }))
    asked?.addEventListener('abort', this.#onAsked, { once: true })
    if (asked?.aborted === true) this.#onAsked()
  }

  /** Its reason is a MembraneError: DEADLINE_EXCEEDED or ABORTED. */
  get signal(): AbortSignal {
    return this.#cancel.signal
  }

  get leftMs(): number {
    return this.#endsAtMs - performance.now()
  }

  /** There is more to do than was known: bytes to move. */
  extend(ms: number): void {
    this.#endsAtMs += ms
    clearTimeout(this.#timer)
    this.#timer = this.#start()
  }

  /** Ends so much later, or with the call: then it throws the signal's reason. */
  async wait(ms: number): Promise<void> {
    try {
      await delay(ms, undefined, { signal: this.signal })
    } catch {
      throw this.signal.reason
    }
  }

  /** Ends what is still under way with it, and closes it. */
  cancel(): void {
    this.close()
    this.#cancel.abort(new MembraneError('ABORTED', 'Nobody waits for it any longer.'))
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#asked?.removeEventListener('abort', this.#onAsked)
  }

  #start(): NodeJS.Timeout {
    const leftMs = Math.min(TIMER_MS_MAX, Math.max(0, this.leftMs))
    return setTimeout(
      () => this.#cancel.abort(new MembraneError('DEADLINE_EXCEEDED', 'The server did not answer in time.')),
      leftMs,
    )
  }
}
