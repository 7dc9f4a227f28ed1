/**
 * Bytes of large payloads that answers hold as a whole until their readers have taken them, over all doors. Who finds no
 * room is given the payload in chunks instead, so that many slow readers cost a chunk each: nobody waits for others.
 */
import { LIMITS } from '../core/limits.ts'

export class AnswerRoom {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number = LIMITS.answersBytesMax) {
    this.#bytesMax = bytesMax
  }

  /** Of answers that are on their way. */
  get bytes(): number {
    return this.#bytes
  }

  /** What gives the room back, however often it is called; null when there is none. */
  take(bytes: number): (() => void) | null {
    if (this.#bytes + bytes > this.#bytesMax) return null
    this.#bytes += bytes
    let isTaken = true
    return () => {
      if (isTaken) this.#bytes -= bytes
      isTaken = false
    }
  }
}
