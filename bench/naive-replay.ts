/** The LRU prefix cache that one writes first, twice: what the one of the planner is held against. */

/** The block ids of each prompt. */
export type PlainTrace = readonly (readonly number[])[]

interface Node {
  readonly id: number
  newer: Node
  older: Node
}

/** A Map to nodes of a ring, as LRU libraries have it. Gives the hit blocks. */
export function mapReplay(trace: PlainTrace, cacheBlocks: number): number {
  const nodes = new Map<number, Node>()
  const anchor = { id: -1 } as Node
  anchor.newer = anchor
  anchor.older = anchor
  let hits = 0
  for (const ids of trace) {
    for (const id of ids) {
      if (!nodes.has(id)) break
      hits += 1
    }
    for (const id of ids) {
      const known = nodes.get(id)
      if (known !== undefined) unlink(known)
      else if (nodes.size === cacheBlocks) {
        nodes.delete(anchor.newer.id)
        unlink(anchor.newer)
      }
      const node = known ?? { id, newer: anchor, older: anchor }
      node.newer = anchor
      node.older = anchor.older
      anchor.older.newer = node
      anchor.older = node
      if (known === undefined) nodes.set(id, node)
    }
  }
  return hits
}

function unlink(node: Node): void {
  node.newer.older = node.older
  node.older.newer = node.newer
}

/** A Map in order of use, the shortest of all: the first key is the oldest. Finding it walks over what was deleted. */
export function orderedMapReplay(trace: PlainTrace, cacheBlocks: number): number {
  const oldestFirst = new Map<number, true>()
  let hits = 0
  for (const ids of trace) {
    for (const id of ids) {
      if (!oldestFirst.has(id)) break
      hits += 1
    }
    for (const id of ids) {
      if (!oldestFirst.delete(id) && oldestFirst.size === cacheBlocks) {
        oldestFirst.delete(oldestFirst.keys().next().value ?? -1)
      }
      oldestFirst.set(id, true)
    }
  }
  return hits
}
