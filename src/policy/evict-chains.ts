/** Which entry builds upon which. A slot that is used again is another entry: a generation tells them apart. */
export class Chains {
  readonly #parent: Int32Array
  readonly #parentGeneration: Int32Array
  readonly #generation: Int32Array
  readonly #children: Int32Array

  constructor(capacity: number) {
    this.#parent = new Int32Array(capacity)
    this.#parentGeneration = new Int32Array(capacity)
    this.#generation = new Int32Array(capacity)
    this.#children = new Int32Array(capacity)
  }

  /** Entries in the cache that build upon this one. */
  children(slot: number): number {
    return this.#children[slot] ?? 0
  }

  /** The slot of the entry that this one builds upon, -1 when it is a head or that one is gone. */
  parent(slot: number): number {
    const parent = (this.#parent[slot] ?? 0) - 1
    return parent >= 0 && this.#generation[parent] === this.#parentGeneration[slot] ? parent : -1
  }

  add(slot: number, parent: number): void {
    this.#parent[slot] = parent + 1
    this.#children[slot] = 0
    if (parent < 0) return
    this.#parentGeneration[slot] = this.#generation[parent] ?? 0
    this.#children[parent] = (this.#children[parent] ?? 0) + 1
  }

  remove(slot: number): void {
    const parent = this.parent(slot)
    this.#generation[slot] = ((this.#generation[slot] ?? 0) + 1) | 0
    if (parent >= 0) this.#children[parent] = (this.#children[parent] ?? 0) - 1
  }
}
