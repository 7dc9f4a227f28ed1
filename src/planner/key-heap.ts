/** HOT: numbers with a key each, smallest key first; grows by doubling. Equal keys leave in the order of their values. */
export class KeyHeap {
  #keys = new Float64Array(64)
  #values = new Int32Array(64)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** The smallest key; infinite when empty. */
  minKey(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : (this.#keys[0] ?? 0)
  }

  /** The value with the smallest key; -1 when empty. */
  minValue(): number {
    return this.#count === 0 ? -1 : (this.#values[0] ?? -1)
  }

  push(key: number, value: number): void {
    if (this.#count === this.#keys.length) this.#grow()
    let place = this.#count
    this.#count += 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!this.#comesBefore(key, value, parent)) break
      this.#move(parent, place)
      place = parent
    }
    this.#keys[place] = key
    this.#values[place] = value
  }

  /** Takes the value with the smallest key; there must be one. */
  pop(): number {
    const first = this.#values[0] ?? -1
    this.#count -= 1
    const key = this.#keys[this.#count] ?? 0
    const value = this.#values[this.#count] ?? 0
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= this.#count) break
      const right = child + 1
      if (right < this.#count && this.#comesBefore(this.#keys[right] ?? 0, this.#values[right] ?? 0, child))
        child = right
      if (this.#comesBefore(key, value, child)) break
      this.#move(child, place)
      place = child
    }
    this.#keys[place] = key
    this.#values[place] = value
    return first
  }

  /** The values, in no order. */
  values(): number[] {
    return [...this.#values.subarray(0, this.#count)]
  }

  /** Takes a value out, wherever it is, and gives its key; null when it is not there. Looks at every one: for rare events. */
  remove(value: number): number | null {
    const place = this.#values.subarray(0, this.#count).indexOf(value)
    if (place < 0) return null
    const key = this.#keys[place] ?? 0
    const rest = Array.from({ length: this.#count }, (_, k) => k).filter((k) => k !== place)
    const [keys, values] = [rest.map((k) => this.#keys[k] ?? 0), rest.map((k) => this.#values[k] ?? 0)]
    this.#count = 0
    for (const [k, other] of values.entries()) this.push(keys[k] ?? 0, other)
    return key
  }

  #comesBefore(key: number, value: number, place: number): boolean {
    const other = this.#keys[place] ?? 0
    return key < other || (key === other && value < (this.#values[place] ?? 0))
  }

  #move(from: number, to: number): void {
    this.#keys[to] = this.#keys[from] ?? 0
    this.#values[to] = this.#values[from] ?? 0
  }

  #grow(): void {
    const [keys, values] = [new Float64Array(2 * this.#keys.length), new Int32Array(2 * this.#values.length)]
    keys.set(this.#keys)
    values.set(this.#values)
    this.#keys = keys
    this.#values = values
  }
}
