import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { parseObservedRequests } from './observed-reader.ts'

const VLLM = {
  request_id: 'a',
  input_toks: 100,
  output_toks: 5,
  arrival_time: 1_777_000_000.5,
  queued_ts: 500.25,
  scheduled_ts: 500.26,
  first_token_ts: 500.5,
  last_token_ts: 501.5,
}
const OURS = { arrivalSeconds: 2, inputTokens: 100, outputTokens: 5, ttftSeconds: 0.25, e2eSeconds: 1.25 }

function lines(...rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('')
}

function errorOf(text: string): MembraneError {
  try {
    parseObservedRequests('t', text)
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  return expect.unreachable('expected an error')
}

describe('observed requests', () => {
  it('are read from what vLLM records, with its monotonic clock set by the quickest way into the queue', () => {
    const later = {
      ...VLLM,
      arrival_time: VLLM.arrival_time + 1,
      queued_ts: 501.75,
      first_token_ts: 502,
      last_token_ts: 503,
    }
    expect(parseObservedRequests('t', lines(VLLM, later))).toEqual({
      name: 't',
      format: 'vllm-bench',
      arrivalSeconds: Float64Array.of(0, 1),
      inputTokens: Int32Array.of(100, 100),
      outputTokens: Int32Array.of(5, 5),
      firstTokenSeconds: Float64Array.of(0.25, 1.75),
      lastTokenSeconds: Float64Array.of(1.25, 2.75),
    })
  })

  it('are read from latencies, counted from the first arrival', () => {
    const one = { ...OURS, arrivalSeconds: 3, outputTokens: 1, e2eSeconds: 0.25, tenant: 'other fields may stand by' }
    expect(parseObservedRequests('t', `\uFEFF\r\n${lines(OURS, one).replaceAll('\n', '\r\n')}`)).toMatchObject({
      format: 'membrane',
      arrivalSeconds: Float64Array.of(0, 1),
      firstTokenSeconds: Float64Array.of(0.25, 1.25),
      lastTokenSeconds: Float64Array.of(1.25, 1.25),
    })
  })

  const without = (row: object, field: string) =>
    lines(Object.fromEntries(Object.entries(row).filter(([name]) => name !== field)))
  it.each([
    ['', 't:1:1: found the end of the file, expected an observed request in a known format: vllm-bench, membrane'],
    ['\n \n', 't:1:1: found the end of the file'],
    ['{"a":1}\n', 't:1:1: found {"a":1}, expected an observed request in a known format'],
    ['[1]\n', 't:1:1: found [1], expected a JSON object'],
    [`${lines(OURS)}{"arrivalSeconds":`, 't:2:19: found the end of the line, expected a JSON value'],
    [without(VLLM, 'queued_ts'), 't:1:1: found no field "queued_ts", expected "queued_ts" in every row'],
    [lines(VLLM) + without(VLLM, 'last_token_ts'), 't:2:1: found no field "last_token_ts"'],
    [without(OURS, 'ttftSeconds'), 't:1:1: found no field "ttftSeconds"'],
    [lines({ ...OURS, outputTokens: 0 }), 't:1:54: found outputTokens 0, expected a whole number of tokens from 1'],
    [lines({ ...OURS, inputTokens: 1.5 }), 'found inputTokens 1.5, expected a whole number of tokens from 1'],
    [lines({ ...OURS, arrivalSeconds: -1 }), 'found arrivalSeconds -1, expected a number of seconds, 0 or more'],
    [lines({ ...OURS, ttftSeconds: null }), 'found ttftSeconds null, expected a number of seconds'],
    [lines({ ...OURS, ttftSeconds: 0 }), 'found ttftSeconds 0, expected a number of seconds above 0'],
    [lines({ ...OURS, e2eSeconds: 0.25 }), 'found e2eSeconds 0.25, expected more than ttftSeconds, as 5 tokens came'],
    [lines({ ...OURS, outputTokens: 1, e2eSeconds: 0.2 }), 'found e2eSeconds 0.2, expected at least ttftSeconds'],
    [lines({ ...VLLM, output_toks: 0 }), 'found output_toks 0, expected a whole number of tokens from 1'],
    [lines({ ...VLLM, first_token_ts: 500.25 }), 'found first_token_ts 500.25, expected a time after queued_ts'],
    [lines({ ...VLLM, last_token_ts: 500.4 }), 'found last_token_ts 500.4, expected more than first_token_ts'],
    [
      lines(OURS, { ...OURS, arrivalSeconds: 1.5 }),
      't:2:19: found arrivalSeconds 1.5, expected a time not before that of the request above it, which came 0.5 s later',
    ],
  ])('are refused with their line: %j', (text, message) => {
    const error = errorOf(text)
    expect(error.message).toContain(message)
    expect(error.code).toBe('INVALID_TRACE')
    expect(error.remedy).not.toBeNull()
  })

  it('are bounded in number', () => {
    const row = lines(OURS)
    expect(parseObservedRequests('t', row.repeat(LIMITS.observedRequestsMax)).inputTokens).toHaveLength(
      LIMITS.observedRequestsMax,
    )
    const error = errorOf(row.repeat(LIMITS.observedRequestsMax + 1))
    expect(error.code).toBe('LIMIT_REACHED')
    expect(error.message).toContain(`t:${LIMITS.observedRequestsMax + 1}:1: found more than 20000 requests`)
  })
})
