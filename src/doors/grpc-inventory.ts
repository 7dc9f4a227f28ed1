/** A page of keys in order, out of a listing that has none. */
import { abortedError } from '../core/cancel.ts'

interface Keyed {
  readonly key: string
}

/** The first `limit` entries whose keys come after `after`, and whether there are no others. Throws ABORTED. */
export async function firstKeys<Entry extends Keyed>(
  entries: AsyncIterable<Entry>,
  { after, limit, signal }: { readonly after: string; readonly limit: number; readonly signal: AbortSignal },
): Promise<{ readonly page: readonly Entry[]; readonly isLast: boolean }> {
  let kept: Entry[] = []
  /** No key from here on is in the page. */
  let bound: string | null = null
  let dropped = 0
  for await (const entry of entries) {
    if (signal.aborted) throw abortedError(signal)
    if (entry.key <= after) continue
    if (bound !== null && entry.key >= bound) {
      dropped += 1
      continue
    }
    kept.push(entry)
    // Sorting now and then costs less than keeping order at every entry.
    if (kept.length < 2 * limit) continue
    kept = kept.toSorted(byKey)
    dropped += kept.length - limit
    kept.length = limit
    bound = kept.at(-1)?.key ?? null
  }
  const page = kept.toSorted(byKey).slice(0, limit)
  return { page, isLast: dropped === 0 && kept.length <= limit }
}

function byKey(a: Keyed, b: Keyed): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}
