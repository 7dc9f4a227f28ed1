/** Groups of vectors that are similar, by way of their nearest neighbours. */
import type { VectorIndex } from '../core/ports.ts'

/** Neighbours of each vector that may join it to a group: enough to hold together what is dense. */
const NEIGHBOURS = 16

/**
 * Single linkage over the neighbour graph: two ids are in one group when a path of neighbours leads from one to the other,
 * each at least `similarityMin` from the next. One search an id. Only ids that are given count; groups of at least two.
 */
export function clusterIds(index: VectorIndex, ids: readonly number[], similarityMin: number): readonly number[][] {
  const parent = new Map(ids.map((id) => [id, id]))
  const rootOf = (id: number): number => {
    let root = id
    for (let above = parent.get(root); above !== undefined && above !== root; above = parent.get(root)) {
      // Halves the path on the way.
      parent.set(root, parent.get(above) ?? above)
      root = above
    }
    return root
  }
  for (const id of ids) {
    // A copy: the view ends with the search.
    const vector = index.vector(id)?.slice()
    if (vector === undefined) continue
    for (const neighbour of index.search(vector, NEIGHBOURS + 1)) {
      if (neighbour.similarity < similarityMin) break
      if (parent.has(neighbour.id)) parent.set(rootOf(neighbour.id), rootOf(id))
    }
  }
  const groups = new Map<number, number[]>()
  for (const id of ids) {
    const root = rootOf(id)
    const group = groups.get(root)
    if (group === undefined) groups.set(root, [id])
    else group.push(id)
  }
  return [...groups.values()].filter((group) => group.length > 1).sort((a, b) => b.length - a.length)
}
