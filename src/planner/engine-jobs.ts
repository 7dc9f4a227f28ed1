/** HOT: the requests of a simulated engine as columns; rows are requests in order of arrival. Budget: a few ns a call. */

/** What an engine is asked, by arrival; all columns are of one length. */
export interface EngineRequests {
  /** Seconds from any origin, never falling. */
  readonly arrivalSeconds: Float64Array
  /** At least 1. */
  readonly inputTokens: Int32Array
  /** At least 1: the first comes with the end of prefill. */
  readonly outputTokens: Int32Array
}

export class EngineJobs {
  readonly firstTokenSeconds: Float64Array
  readonly lastTokenSeconds: Float64Array
  readonly #inputTokens: Int32Array
  readonly #outputTokens: Int32Array
  /** Tokens whose KV iterations were told to compute: of the prompt, and then of the output. */
  readonly #computed: Int32Array
  /** Output tokens that iterations were told to make, and those that came out. */
  readonly #scheduled: Int32Array
  readonly #emitted: Int32Array
  readonly #awaitedCount: number
  #unfinishedCount: number

  /** The run is over when the first `awaitedCount` requests are. */
  constructor({ inputTokens, outputTokens }: EngineRequests, awaitedCount: number) {
    const count = inputTokens.length
    this.firstTokenSeconds = new Float64Array(count)
    this.lastTokenSeconds = new Float64Array(count)
    this.#inputTokens = inputTokens
    this.#outputTokens = outputTokens
    this.#computed = new Int32Array(count)
    this.#scheduled = new Int32Array(count)
    this.#emitted = new Int32Array(count)
    this.#awaitedCount = awaitedCount
    this.#unfinishedCount = awaitedCount
  }

  get isOver(): boolean {
    return this.#unfinishedCount === 0
  }

  computedTokens(job: number): number {
    return this.#computed[job] ?? 0
  }

  /** Whether an output token of it is out or on its way. */
  hasOutput(job: number): boolean {
    return (this.#scheduled[job] ?? 0) > 0
  }

  /** Tokens to compute before the next output; 0 when the last one is on its way. */
  pendingTokens(job: number): number {
    const scheduled = this.#scheduled[job] ?? 0
    if (scheduled === this.#outputTokens[job]) return 0
    return (this.#inputTokens[job] ?? 0) + scheduled - (this.#computed[job] ?? 0)
  }

  /** An iteration computes so many of the pending tokens. True when that makes an output token. */
  advance(job: number, tokens: number): boolean {
    const isLastPiece = tokens === this.pendingTokens(job)
    this.#computed[job] = (this.#computed[job] ?? 0) + tokens
    if (isLastPiece) this.#scheduled[job] = (this.#scheduled[job] ?? 0) + 1
    return isLastPiece
  }

  /** Its KV blocks are gone: everything up to here, output too, is computed again. */
  forgetComputed(job: number): void {
    this.#computed[job] = 0
  }

  /** An output token comes out. True when it is the last. */
  emit(job: number, atSeconds: number): boolean {
    const emitted = (this.#emitted[job] ?? 0) + 1
    this.#emitted[job] = emitted
    if (emitted === 1) this.firstTokenSeconds[job] = atSeconds
    if (emitted !== this.#outputTokens[job]) return false
    this.lastTokenSeconds[job] = atSeconds
    if (job < this.#awaitedCount) this.#unfinishedCount -= 1
    return true
  }

  isFinished(job: number): boolean {
    return this.#emitted[job] === this.#outputTokens[job]
  }
}
