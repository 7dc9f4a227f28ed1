/**
 * A workload trace as columns (a struct of arrays), so that millions of requests fit in memory, and the union of
 * what a trace file may hold: requests, or rates of clients from which requests are drawn.
 */

/** The formats that can be read, and how to recognise them. Error messages list this table. */
export const TRACE_FORMATS = {
  mooncake: 'JSON Lines with timestamp (ms), input_length, output_length and, optionally, hash_ids of 512-token blocks',
  azure: 'CSV with the header TIMESTAMP,ContextTokens,GeneratedTokens',
  'servegen-rates': 'CSV with the header client_id,window_start_s,rate_rps,cv,pattern,arg1,arg2',
  lengths: 'CSV with a header such as input_tokens,output_tokens, or one or two columns of integers without a header',
  membrane: 'JSON Lines with inputTokens and, optionally, atSeconds, outputTokens and blockIds',
} as const satisfies Readonly<Record<string, string>>

/** Name of a format that can be read. */
export type TraceFormat = keyof typeof TRACE_FORMATS
export type RequestTraceFormat = Exclude<TraceFormat, 'servegen-rates'>

/** Block size of Mooncake's hash_ids, and of our own format when its header names none. Tokens. */
export const TRACE_BLOCK_TOKENS_DEFAULT = 512

/** One request, where columns would be clumsy: in tests and when a trace is written. */
export interface TraceRequest {
  readonly atSeconds?: number
  readonly inputTokens: number
  readonly outputTokens?: number
  readonly blockIds?: readonly number[]
}

/** Which prefix blocks each prompt consists of. An id names a block and everything before it. */
export interface TraceBlocks {
  readonly blockTokens: number
  /** All requests' ids, one after the other, 0 to 2^31 - 1. */
  readonly ids: Int32Array
  /** Request i has the ids `[offsets[i], offsets[i + 1])`; one longer than the trace. */
  readonly offsets: Int32Array
}

/** Requests in file order, which is time order where there are times. At least one request. */
export interface Trace {
  /** The file as the user named it. */
  readonly name: string
  readonly format: RequestTraceFormat
  readonly requestCount: number
  /** Seconds since the first request, never decreasing; null when the file has lengths only. */
  readonly atSeconds: Float64Array | null
  /** At least 1 each. */
  readonly inputTokens: Int32Array
  readonly outputTokens: Int32Array | null
  readonly blocks: TraceBlocks | null
}

/** The inter-arrival families that ServeGen fits. `ClientRates.familyIndices` points into this list. */
export const ARRIVAL_FAMILIES = ['Gamma', 'Weibull'] as const

/** ServeGen's client rates: no requests, but how fast and how evenly each client sends in each window. Rows as in the file. */
export interface ClientRates {
  readonly name: string
  readonly format: 'servegen-rates'
  readonly rowCount: number
  readonly windowSeconds: number
  readonly clientIds: Int32Array
  /** A multiple of `windowSeconds`. */
  readonly windowStartSeconds: Int32Array
  /** Above 0: windows in which a client sends nothing have no row. */
  readonly requestsPerSecond: Float64Array
  /** Coefficient of variation of the inter-arrival times. */
  readonly cv: Float64Array
  readonly familyIndices: Uint8Array
  /** The two parameters of the family, as the source stores them. */
  readonly familyArgument1: Float64Array
  readonly familyArgument2: Float64Array
}

/** What a trace file holds: requests, or rates of clients. */
export type TraceFile =
  | { readonly kind: 'requests'; readonly trace: Trace }
  | { readonly kind: 'client-rates'; readonly rates: ClientRates }
