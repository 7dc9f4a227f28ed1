/** Walks over a graph that is given by the neighbours of each node. */

/** Calls `visit` with each neighbour of a node, in any order. */
export type ForEachNeighbour<Node> = (node: Node, visit: (neighbour: Node) => void) => void

/** Sets of nodes that are joined by paths, largest first, of equals the one first met first. Linear in nodes and edges. */
export function connectedComponents<Node>(nodes: Iterable<Node>, forEach: ForEachNeighbour<Node>): Node[][] {
  const isSeen = new Set<Node>()
  const components: Node[][] = []
  for (const start of nodes) {
    if (isSeen.has(start)) continue
    isSeen.add(start)
    const component = [start]
    // The component is its own queue.
    for (const node of component) {
      forEach(node, (neighbour) => {
        if (isSeen.has(neighbour)) return
        isSeen.add(neighbour)
        component.push(neighbour)
      })
    }
    components.push(component)
  }
  return components.sort((a, b) => b.length - a.length)
}

/**
 * Nodes within `depth` steps of `start`, with their distance in steps, nearest first. Walks along the neighbours in
 * the order in which `neighboursOf` gives them, and ends when it has `nodesMax` nodes.
 */
export function nodesWithin<Node>(
  start: Node,
  neighboursOf: (node: Node) => Iterable<Node>,
  { depth, nodesMax }: { readonly depth: number; readonly nodesMax: number },
): Map<Node, number> {
  const steps = new Map([[start, 0]])
  for (const [node, step] of steps) {
    if (step >= depth) break
    for (const neighbour of neighboursOf(node)) {
      if (steps.size >= nodesMax) return steps
      if (!steps.has(neighbour)) steps.set(neighbour, step + 1)
    }
  }
  return steps
}
