/**
 * Bytes of bodies that are on their way in, over all doors and connections. Who would exceed it waits, and the sender's
 * connection with it: so many slow or lying senders take so much memory and no more.
 */
import { MembraneError } from '../core/errors.ts'

interface Waiting {
  readonly bytes: number
  readonly grant: () => void
}

/** First come, first served, so that large bodies are not starved by small ones. */
export class BodyBudget {
  readonly bytesMax: number
  #bytes = 0
  readonly #waiting: Waiting[] = []

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** Of bodies that were let in and not released. */
  get bytes(): number {
    return this.#bytes
  }

  /** Waits for room; to be released once the body is stored or dropped. Throws LIMIT_REACHED for more than all of it, and ABORTED. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    if (this.tryTake(bytes)) return
    if (signal?.aborted === true) throw aborted()
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        const at = this.#waiting.indexOf(waiting)
        if (at < 0) return
        this.#waiting.splice(at, 1)
        reject(aborted())
        // Those behind may be smaller.
        this.#grant()
      }
      const grant = (): void => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const waiting = { bytes, grant }
      this.#waiting.push(waiting)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }

  /** Whether there is room now, which is taken then. Throws LIMIT_REACHED for more than all of it. */
  tryTake(bytes: number): boolean {
    if (bytes > this.bytesMax)
      throw new MembraneError('LIMIT_REACHED', `A body has at most ${this.bytesMax} bytes here; this one has ${bytes}.`)
    if (this.#waiting.length > 0 || this.#bytes + bytes > this.bytesMax) return false
    this.#bytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#bytes -= bytes
    this.#grant()
  }

  #grant(): void {
    for (;;) {
      const next = this.#waiting[0]
      if (next === undefined || this.#bytes + next.bytes > this.bytesMax) return
      this.#waiting.shift()
      this.#bytes += next.bytes
      next.grant()
    }
  }
}

function aborted(): MembraneError {
  return new MembraneError('ABORTED', 'The sender went away before there was room for its body.')
}
