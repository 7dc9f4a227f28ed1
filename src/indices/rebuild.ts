/** Brings the indices into step with a store: from nothing at the first start, or from a snapshot that may be old. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { StoredEntry } from '../core/ports.ts'
import type { FragmentIndices } from './fragment-indices.ts'
import type { IndexedFragment } from './indexed-fragment.ts'

/** What an entry is; null for one that is no fragment, or nobody's. May throw INVALID_FRAGMENT. */
export type DescribeEntry = (entry: StoredEntry) => IndexedFragment | null

/** What bringing the indices into step with a store has changed. */
export interface RebuildReport {
  /** Fragments that were not known, or known otherwise. */
  readonly inserted: number
  /** Fragments that were known already. */
  readonly unchanged: number
  /** Keys that were known and that the store lacks. */
  readonly removed: number
  /** Entries that are in no index: no description, a malformed one, or no room. */
  readonly refused: number
  /** Why, for the first LIMITS.rebuildReasonsMax of those that threw. */
  readonly reasons: readonly { readonly key: string; readonly error: MembraneError }[]
}

/**
 * Reads all entries once. To be run before the node serves: what is put meanwhile and inserted stays, but what is removed
 * from the store while it is read may be inserted after it is gone. Throws what `entries` throws; the indices then know
 * some of the entries, and it may be run again.
 */
export async function rebuildIndices(
  indices: FragmentIndices,
  entries: AsyncIterable<StoredEntry>,
  describe: DescribeEntry,
): Promise<RebuildReport> {
  const unseen = new Map(Array.from(indices.fragments(), (fragment) => [fragment.key, fragment]))
  const reasons: { key: string; error: MembraneError }[] = []
  let [inserted, unchanged, removed, refused] = [0, 0, 0, 0]
  for await (const entry of entries) {
    try {
      const fragment = describe(entry)
      if (fragment === null) refused += 1
      else if (isSame(indices.get(entry.key), fragment)) {
        unchanged += 1
        unseen.delete(entry.key)
      } else {
        indices.insert(fragment)
        inserted += 1
        unseen.delete(entry.key)
      }
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      refused += 1
      if (reasons.length < LIMITS.rebuildReasonsMax) reasons.push({ key: entry.key, error })
    }
  }
  for (const [key, fragment] of unseen) {
    // One that was put meanwhile under this key is another one.
    if (indices.get(key) !== fragment) continue
    indices.remove(key)
    removed += 1
  }
  return { inserted, unchanged, removed, refused, reasons }
}

function isSame(known: IndexedFragment | null, fragment: IndexedFragment): boolean {
  return (
    known !== null && known.contentHash === fragment.contentHash && JSON.stringify(known) === JSON.stringify(fragment)
  )
}
