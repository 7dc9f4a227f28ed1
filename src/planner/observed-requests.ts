/** Requests as a running engine answered them: what calibration learns from, and is checked against. */
import type { EngineRequests } from './engine-jobs.ts'

/** Rows by arrival; all columns are of one length, of at least 1. Seconds count from the first arrival. */
export interface ObservedRequests extends EngineRequests {
  /** What messages call the file. */
  readonly name: string
  readonly format: ObservedFormat
  /** Not before the arrival. */
  readonly firstTokenSeconds: Float64Array
  /** Not before the first token; equal to it when there is only one. */
  readonly lastTokenSeconds: Float64Array
}

/** Key of `OBSERVED_FORMATS`. */
export type ObservedFormat = keyof typeof OBSERVED_FORMATS

/** The formats of observed requests, one JSON object a line, with their fields. Others may stand beside them. */
export const OBSERVED_FORMATS = {
  'vllm-bench': ['input_toks', 'output_toks', 'arrival_time', 'queued_ts', 'first_token_ts', 'last_token_ts'],
  membrane: ['arrivalSeconds', 'inputTokens', 'outputTokens', 'ttftSeconds', 'e2eSeconds'],
} as const satisfies Readonly<Record<string, readonly string[]>>
