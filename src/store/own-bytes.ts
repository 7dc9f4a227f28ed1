/** The bytes of an entry that is there, for a put that changes the rest of it: read only when a store asks for them. */
import { MembraneError } from '../core/errors.ts'
import type { FragmentStore, StoredEntry } from '../core/ports.ts'

export class OwnBytes {
  readonly #store: FragmentStore
  readonly #entry: StoredEntry
  #areGone = false

  constructor(store: FragmentStore, entry: StoredEntry) {
    this.#store = store
    this.#entry = entry
  }

  /** Whether they were asked for and were not there any more, so that the put failed. */
  get areGone(): boolean {
    return this.#areGone
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    const { key, contentHash } = this.#entry
    const found = await this.#store.stream(key)
    this.#areGone = found?.contentHash !== contentHash
    if (found === null || this.#areGone)
      throw new MembraneError('STORE_UNAVAILABLE', `${key} is gone while it was to be changed.`, { details: { key } })
    yield* found.chunks
  }
}
