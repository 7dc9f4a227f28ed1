/** Up to this many counts are all looked at; of more, evenly spaced ones and then those around the best. */
const COUNTS_MAX = 48

/**
 * Looks at whole numbers from `from` to `to` for the one that `isBetter` prefers, and gives all that were looked at,
 * ascending. Exact for short ranges; in long ones the best is found when the quality rises to it and falls after it,
 * as rates do over the split of a cluster. A count without a result (null) is passed over.
 */
export function searchCounts<T>(
  range: { readonly from: number; readonly to: number },
  look: (count: number) => T | null,
  isBetter: (a: T, b: T) => boolean,
): T[] {
  const { from, to } = range
  const seen = new Map<number, T | null>()
  const visit = (count: number): void => {
    if (!seen.has(count) && count >= from && count <= to) seen.set(count, look(count))
  }
  let stride = Math.max(1, Math.ceil((to - from) / COUNTS_MAX))
  for (let count = from; count <= to; count += stride) visit(count)
  visit(to)
  while (stride > 1) {
    stride = Math.ceil(stride / 2)
    const best = bestCount(seen, isBetter) ?? from
    for (const step of [-2, -1, 1, 2]) visit(best + step * stride)
  }
  return [...seen].sort(([a], [b]) => a - b).flatMap(([, result]) => (result === null ? [] : [result]))
}

function bestCount<T>(seen: ReadonlyMap<number, T | null>, isBetter: (a: T, b: T) => boolean): number | null {
  let best: { readonly count: number; readonly result: T } | null = null
  for (const [count, result] of seen) {
    if (result !== null && (best === null || isBetter(result, best.result))) best = { count, result }
  }
  return best?.count ?? null
}
