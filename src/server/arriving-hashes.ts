/**
 * Hashes payloads while they arrive, piece by piece, when each piece has just been written and is still in the
 * processor's cache, and while the sender is sending the next one: afterwards it would take several times as long.
 */
import type { ContentHash } from '../core/ids.ts'
import type { ContentHasher } from '../core/ports.ts'

/** Shorter ones are hashed in one call. */
const PIECEWISE_BYTES_MIN = 128 * 1024

/** Of the payloads of one connection: one arrives at a time. */
export class ArrivingHashes {
  readonly #hasher: ContentHasher
  #running: ReturnType<ContentHasher['start']> | null = null
  #target: Uint8Array | null = null
  #hashedBytes = 0
  readonly #known = new WeakMap<Uint8Array, ContentHash>()

  constructor(hasher: ContentHasher) {
    this.#hasher = hasher
  }

  /** HOT: bytes `start` to `end` of `target` have just been written, and those before them earlier. */
  readonly wrote = (target: Uint8Array, start: number, end: number): void => {
    if (target.length < PIECEWISE_BYTES_MIN) return
    if (start === 0) {
      this.#target = target
      this.#running = this.#hasher.start()
      this.#hashedBytes = 0
    }
    if (this.#running === null || this.#target !== target || start !== this.#hashedBytes) return
    this.#running.update(target.subarray(start, end))
    this.#hashedBytes = end
    if (end < target.length) return
    this.#known.set(target, this.#running.contentHash())
    this.#running = null
    this.#target = null
  }

  /** Undefined for one that did not arrive here in pieces. */
  hashOf(payload: Uint8Array): ContentHash | undefined {
    return this.#known.get(payload)
  }
}
