/** Writes our own trace format, which `createTraceReader` reads back value for value. */
import { assert } from '../core/errors.ts'
import { TRACE_BLOCK_TOKENS_DEFAULT, type Trace, type TraceRequest } from './trace.ts'

export interface FormatTraceOptions {
  /** Block size that the block ids refer to. */
  readonly blockTokens?: number
}

/** Chunks of about this size: large enough that a write costs little a line. */
const CHUNK_CHARACTERS = 64 * 1024

/** Yields the text in chunks of whole lines. The requests must be in time order and all have the same fields. */
export function* formatTrace(requests: Iterable<TraceRequest>, options: FormatTraceOptions = {}): Generator<string> {
  let chunk = `${JSON.stringify({ membraneTrace: 1, blockTokens: options.blockTokens ?? TRACE_BLOCK_TOKENS_DEFAULT })}\n`
  for (const request of requests) {
    chunk += `${formatRequest(request)}\n`
    if (chunk.length < CHUNK_CHARACTERS) continue
    yield chunk
    chunk = ''
  }
  if (chunk !== '') yield chunk
}

/** The rows of a trace, one at a time. */
export function* traceRequests(trace: Trace): Generator<TraceRequest> {
  for (let index = 0; index < trace.requestCount; index++) {
    yield {
      ...(trace.atSeconds === null ? {} : { atSeconds: numberAt(trace.atSeconds, index) }),
      inputTokens: numberAt(trace.inputTokens, index),
      ...(trace.outputTokens === null ? {} : { outputTokens: numberAt(trace.outputTokens, index) }),
      ...(trace.blocks === null
        ? {}
        : {
            blockIds: [
              ...trace.blocks.ids.subarray(
                numberAt(trace.blocks.offsets, index),
                numberAt(trace.blocks.offsets, index + 1),
              ),
            ],
          }),
    }
  }
}

/** Names the fields itself: a caller's extra fields would make a file that the reader refuses. */
function formatRequest(request: TraceRequest): string {
  const { atSeconds, inputTokens, outputTokens, blockIds } = request
  assert(
    Number.isFinite(atSeconds ?? 0) && Number.isInteger(inputTokens),
    'a request has finite times and whole tokens',
  )
  return JSON.stringify({ atSeconds, inputTokens, outputTokens, blockIds })
}

function numberAt(values: Float64Array | Int32Array, index: number): number {
  const value = values[index]
  assert(value !== undefined, `column ends before index ${index}`)
  return value
}
