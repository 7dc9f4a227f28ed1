/** A store behind a link: the payloads of all reads share so many bytes a second, and each waits for its first byte. */
import type { FragmentStore, GetOptions, StoredFragment } from '../src/core/ports.ts'

export interface Link {
  readonly bytesPerSecond: number
  readonly latencySeconds: number
}

/** A read takes its turn with the others under way after so many bytes. */
const PIECE_BYTES = 64 * 1024

/** Writes are not slowed. `stream` is refused, so that no byte comes past the link. */
export function throttled(inner: FragmentStore, link: Link): FragmentStore {
  let freeAtMs = 0
  const pass = async (bytes: number): Promise<void> => {
    let atMs = performance.now() + 1e3 * link.latencySeconds
    await until(atMs)
    for (let left = bytes; left > 0; left -= PIECE_BYTES) {
      // Reckoned from when a piece was due, not from when its timer rang: late timers do not slow the link.
      atMs = Math.max(atMs, freeAtMs) + (1e3 * Math.min(left, PIECE_BYTES)) / link.bytesPerSecond
      freeAtMs = atMs
      await until(atMs)
    }
  }
  return {
    put: (fragment) => inner.put(fragment),
    get: async (key: string, options?: GetOptions): Promise<StoredFragment | null> => {
      const found = await inner.get(key, options)
      if (found !== null) await pass(found.payload.length)
      return found
    },
    stream: () => {
      throw new Error('A throttled store has no streams.')
    },
    head: (key) => inner.head(key),
    has: (keys) => inner.has(keys),
    remove: (keys) => inner.remove(keys),
    list: (prefix) => inner.list(prefix),
    stats: () => inner.stats(),
    sync: () => inner.sync(),
    purge: () => inner.purge(),
    close: () => inner.close(),
  }
}

async function until(atMs: number): Promise<void> {
  const leftMs = atMs - performance.now()
  if (leftMs > 0.5) await new Promise((resolve) => setTimeout(resolve, leftMs))
}
