/** HOT: the requests in the system, one row each; rows are used again, so the table grows to the largest backlog only. */
export class JobTable {
  numbers = new Float64Array(FIRST_ROWS)
  arrivalSeconds = new Float64Array(FIRST_ROWS)
  transferStartSeconds = new Float64Array(FIRST_ROWS)
  kvReadySeconds = new Float64Array(FIRST_ROWS)
  joinSeconds = new Float64Array(FIRST_ROWS)
  firstTokenSeconds = new Float64Array(FIRST_ROWS)
  promptTokens = new Int32Array(FIRST_ROWS)
  isRemote = new Uint8Array(FIRST_ROWS)
  #free = new Int32Array(FIRST_ROWS)
  #freeCount = 0
  #used = 0

  get count(): number {
    return this.#used - this.#freeCount
  }

  take(): number {
    if (this.#freeCount > 0) {
      this.#freeCount -= 1
      return this.#free[this.#freeCount] ?? 0
    }
    if (this.#used === this.numbers.length) this.#grow()
    this.#used += 1
    return this.#used - 1
  }

  release(job: number): void {
    this.#free[this.#freeCount] = job
    this.#freeCount += 1
  }

  #grow(): void {
    this.numbers = doubled(this.numbers)
    this.arrivalSeconds = doubled(this.arrivalSeconds)
    this.transferStartSeconds = doubled(this.transferStartSeconds)
    this.kvReadySeconds = doubled(this.kvReadySeconds)
    this.joinSeconds = doubled(this.joinSeconds)
    this.firstTokenSeconds = doubled(this.firstTokenSeconds)
    this.promptTokens = doubled(this.promptTokens)
    this.isRemote = doubled(this.isRemote)
    this.#free = doubled(this.#free)
  }
}

const FIRST_ROWS = 256

function doubled<T extends Float64Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
  column: T,
): T {
  const Column = column.constructor as new (length: number) => T
  const larger = new Column(2 * column.length)
  larger.set(column)
  return larger
}
