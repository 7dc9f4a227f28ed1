/** What happens at a time. Equal times happen in the order in which they were scheduled. */
interface Event {
  readonly atSeconds: number
  readonly order: number
  readonly happen: () => void
}

/** The event list of a textbook: a binary heap of objects, each with a function. */
export class EventQueue {
  nowSeconds = 0
  #scheduled = 0
  readonly #heap: Event[] = []

  schedule(atSeconds: number, happen: () => void): void {
    const heap = this.#heap
    const event = { atSeconds, order: this.#scheduled++, happen }
    let place = heap.length
    heap.push(event)
    while (place > 0) {
      const parent = (place - 1) >> 1
      const above = heap[parent]
      if (above === undefined || isBefore(above, event)) break
      heap[place] = above
      place = parent
    }
    heap[place] = event
  }

  /** Until nothing is left to happen. */
  run(): void {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      this.nowSeconds = event.atSeconds
      event.happen()
    }
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      let below = heap[child]
      if (below === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, below)) {
        child += 1
        below = right
      }
      if (isBefore(last, below)) break
      heap[place] = below
      place = child
    }
    heap[place] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atSeconds < b.atSeconds || (a.atSeconds === b.atSeconds && a.order < b.order)
}
