/** Grows the columns of a trace row by row, and guards what holds across rows: time order and bounds. */
import { assert } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { invalidField, type TraceField, type TraceLine, traceLimitReached } from './trace-line.ts'
import { type RequestTraceFormat, TRACE_BLOCK_TOKENS_DEFAULT, type Trace } from './trace.ts'

export interface TraceBounds {
  /** Requests, or rows of client rates. More is rejected with LIMIT_REACHED. */
  readonly requestsMax: number
  /** Block ids of all requests together, 4 bytes each, at most three times that while growing. More is rejected with LIMIT_REACHED. */
  readonly blockIdsMax: number
}

export const DEFAULT_TRACE_BOUNDS: TraceBounds = {
  requestsMax: LIMITS.traceRequestsMax,
  blockIdsMax: LIMITS.traceBlockIdsMax,
}

/** One checked request. What is null must be null in every row; the parsers see to that. */
export interface RequestRow {
  /** Seconds since the first request. */
  readonly atSeconds: number | null
  readonly inputTokens: number
  readonly outputTokens: number | null
  readonly blockIds: readonly number[] | null
}

export class RequestColumns {
  readonly #bounds: TraceBounds
  readonly #atSeconds = new GrowingColumn(Float64Array)
  readonly #inputTokens = new GrowingColumn(Int32Array)
  readonly #outputTokens = new GrowingColumn(Int32Array)
  readonly #blockIds = new GrowingColumn(Int32Array)
  readonly #blockOffsets = new GrowingColumn(Int32Array)
  #lastAtSeconds = 0

  constructor(bounds: TraceBounds) {
    this.#bounds = bounds
  }

  get count(): number {
    return this.#inputTokens.count
  }

  /** Throws INVALID_TRACE when time goes backwards and LIMIT_REACHED at a bound; `timeField` says where the time stands. */
  add(row: RequestRow, line: TraceLine, timeField: TraceField | null): void {
    checkRowBound(this.count, this.#bounds, line)
    if (row.atSeconds !== null) this.#addTime(row.atSeconds, line, timeField)
    if (row.blockIds !== null) this.#addBlocks(row.blockIds, line)
    if (row.outputTokens !== null) this.#outputTokens.push(row.outputTokens)
    this.#inputTokens.push(row.inputTokens)
  }

  finish(name: string, format: RequestTraceFormat, blockTokens = TRACE_BLOCK_TOKENS_DEFAULT): Trace {
    const requestCount = this.count
    const hasBlocks = this.#blockOffsets.count > 0
    if (hasBlocks) this.#blockOffsets.push(this.#blockIds.count)
    assert(!hasBlocks || this.#blockOffsets.count === requestCount + 1, 'every row has block ids, or none has')
    return {
      name,
      format,
      requestCount,
      atSeconds: this.#atSeconds.finishFull(requestCount),
      inputTokens: this.#inputTokens.finish(),
      outputTokens: this.#outputTokens.finishFull(requestCount),
      blocks: hasBlocks ? { blockTokens, ids: this.#blockIds.finish(), offsets: this.#blockOffsets.finish() } : null,
    }
  }

  #addTime(atSeconds: number, line: TraceLine, timeField: TraceField | null): void {
    if (atSeconds < this.#lastAtSeconds) {
      assert(timeField !== null, 'a time comes from a field')
      throw invalidField(
        line,
        timeField,
        `a time not before that of the request above it, which came ${this.#lastAtSeconds - atSeconds} s later`,
        'Sort the file by time: a trace must be in time order.',
      )
    }
    this.#lastAtSeconds = atSeconds
    this.#atSeconds.push(atSeconds)
  }

  #addBlocks(blockIds: readonly number[], line: TraceLine): void {
    const { blockIdsMax } = this.#bounds
    if (this.#blockIds.count + blockIds.length > blockIdsMax) {
      throw traceLimitReached(line, {
        column: 1,
        found: `more than ${blockIdsMax} block ids up to this line`,
        expected: `at most ${blockIdsMax} in one trace`,
        remedy: 'Split the trace into parts, or use larger blocks.',
      })
    }
    this.#blockOffsets.push(this.#blockIds.count)
    this.#blockIds.pushAll(blockIds)
  }
}

/** Throws LIMIT_REACHED when there is no room for one more row. */
export function checkRowBound(rowCount: number, bounds: TraceBounds, line: TraceLine): void {
  if (rowCount < bounds.requestsMax) return
  throw traceLimitReached(line, {
    column: 1,
    found: `more than ${bounds.requestsMax} rows`,
    expected: `at most ${bounds.requestsMax} in one trace`,
    remedy: 'Split the trace into parts.',
  })
}

type Column = Float64Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>
type ColumnType<C extends Column> = { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer): C }

const FIRST_CAPACITY = 1024

/** A typed array that doubles when full. `ArrayBuffer.transfer` lets the engine grow and trim in place where it can. */
export class GrowingColumn<C extends Column> {
  readonly #type: ColumnType<C>
  #values: C
  #count = 0

  constructor(type: ColumnType<C>) {
    this.#type = type
    this.#values = new type(new ArrayBuffer(FIRST_CAPACITY * type.BYTES_PER_ELEMENT))
  }

  get count(): number {
    return this.#count
  }

  push(value: number): void {
    if (this.#count === this.#values.length) this.#resize(this.#count * 2)
    this.#values[this.#count++] = value
  }

  pushAll(values: readonly number[]): void {
    const count = this.#count + values.length
    if (count > this.#values.length) this.#resize(Math.max(count, this.#count * 2))
    this.#values.set(values, this.#count)
    this.#count = count
  }

  /** The values, in an array of exactly their number. The column is not to be used afterwards. */
  finish(): C {
    this.#resize(this.#count)
    return this.#values
  }

  /** The values, or null if none was ever pushed; anything between none and `count` is a bug. */
  finishFull(count: number): C | null {
    if (this.#count === 0) return null
    assert(this.#count === count, `an optional column has ${this.#count} of ${count} values`)
    return this.finish()
  }

  #resize(capacity: number): void {
    this.#values = new this.#type(this.#values.buffer.transfer(capacity * this.#type.BYTES_PER_ELEMENT))
  }
}
