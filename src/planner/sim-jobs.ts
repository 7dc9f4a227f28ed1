/**
 * HOT: the requests in the system, one row each; rows are used again, so the table grows to the largest backlog only.
 * Times are seconds of simulated time.
 */
export class JobTable {
  /** Position in the stream of arrivals. */
  numbers = new Float64Array(FIRST_ROWS)
  arrivalSeconds = new Float64Array(FIRST_ROWS)
  /** When it last entered a queue: for a prefill server, the link, a slot. */
  queuedSeconds = new Float64Array(FIRST_ROWS)
  prefillSeconds = new Float64Array(FIRST_ROWS)
  prefillStartSeconds = new Float64Array(FIRST_ROWS)
  /** KV that crosses the link after or during its prefill. */
  transferBytes = new Float64Array(FIRST_ROWS)
  /** Of the flow that it has now: a stream of layers, the last layer, all of it, or a prefix. */
  flowStartSeconds = new Float64Array(FIRST_ROWS)
  kvReadySeconds = new Float64Array(FIRST_ROWS)
  joinSeconds = new Float64Array(FIRST_ROWS)
  firstTokenSeconds = new Float64Array(FIRST_ROWS)
  /** Of a sequence that was lost after its first token: what its user saw. 0 for all others. */
  keptKvReadySeconds = new Float64Array(FIRST_ROWS)
  keptFirstTokenSeconds = new Float64Array(FIRST_ROWS)
  promptTokens = new Int32Array(FIRST_ROWS)
  outputTokens = new Int32Array(FIRST_ROWS)
  /** Output that was generated before an instance was lost; it is part of the prompt then. */
  tokensDone = new Int32Array(FIRST_ROWS)
  /** What its cluster had to prefill. */
  uncachedTokens = new Int32Array(FIRST_ROWS)
  /** Room in the remote cluster's transfer cache. */
  transferBlocks = new Int32Array(FIRST_ROWS)
  blockStart = new Int32Array(FIRST_ROWS)
  blockEnd = new Int32Array(FIRST_ROWS)
  /** What its KV is at; the handoff's own numbers. */
  phase = new Uint8Array(FIRST_ROWS)
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
    this.queuedSeconds = doubled(this.queuedSeconds)
    this.prefillSeconds = doubled(this.prefillSeconds)
    this.prefillStartSeconds = doubled(this.prefillStartSeconds)
    this.transferBytes = doubled(this.transferBytes)
    this.flowStartSeconds = doubled(this.flowStartSeconds)
    this.kvReadySeconds = doubled(this.kvReadySeconds)
    this.joinSeconds = doubled(this.joinSeconds)
    this.firstTokenSeconds = doubled(this.firstTokenSeconds)
    this.keptKvReadySeconds = doubled(this.keptKvReadySeconds)
    this.keptFirstTokenSeconds = doubled(this.keptFirstTokenSeconds)
    this.promptTokens = doubled(this.promptTokens)
    this.outputTokens = doubled(this.outputTokens)
    this.tokensDone = doubled(this.tokensDone)
    this.uncachedTokens = doubled(this.uncachedTokens)
    this.transferBlocks = doubled(this.transferBlocks)
    this.blockStart = doubled(this.blockStart)
    this.blockEnd = doubled(this.blockEnd)
    this.phase = doubled(this.phase)
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
