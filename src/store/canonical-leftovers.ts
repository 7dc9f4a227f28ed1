/** Keys below that nothing names: content whose last reference is gone, and copies. Removed after the answer. */
import type { ContentHash } from '../core/ids.ts'
import type { FragmentStore } from '../core/ports.ts'
import type { BackgroundTasks } from './background-tasks.ts'
import { contentHashIn } from './canonical-keys.ts'
import type { SerialTasks } from './serial.ts'

export interface LeftoversOptions {
  readonly inner: FragmentStore
  readonly background: BackgroundTasks
  readonly byContent: SerialTasks
  /** Whether this is the key of content that a reference names. */
  readonly isNamed: (key: string, contentHash: ContentHash) => boolean
}

export class Leftovers {
  readonly #options: LeftoversOptions
  /** Those that are there, or may be: what could not be removed is tried again later. */
  readonly #keys = new Set<string>()

  constructor(options: LeftoversOptions) {
    this.#options = options
  }

  /** Bytes that a failure has left would be answered as present, and given to whoever only knows their hash. */
  async removeIfLeft(key: string): Promise<void> {
    if (this.#keys.has(key)) await this.remove(key)
  }

  /** Removes it, unless it is content that is named again by then. */
  removeLater(contentHash: ContentHash, key: string): void {
    const { background, byContent, isNamed } = this.#options
    this.#keys.add(key)
    background.start(() =>
      byContent.run(contentHash, async () => {
        if (!isNamed(key, contentHash)) await this.removeIfLeft(key)
      }),
    )
  }

  /** For who has the turn of its content. */
  async remove(key: string): Promise<void> {
    this.#keys.add(key)
    await this.#options.inner.remove([key])
    this.#keys.delete(key)
  }

  /** Tries once more to remove one that could not be removed. */
  retryOne(): void {
    const [key] = this.#keys
    if (key !== undefined) this.removeLater(contentHashIn(key), key)
  }

  retryAll(): void {
    for (const key of this.#keys) this.removeLater(contentHashIn(key), key)
  }
}
