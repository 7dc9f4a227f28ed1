/** The two formats of observed requests, row by row. */
import { checkPresent, type JsonRow, jsonField } from './trace-json.ts'
import { checkedNumber, checkedTokens, invalidField, type TraceField, type TraceLine } from './trace-line.ts'

/** One checked request. Tokens are on a clock of their own, which `lagSeconds` sets against that of arrivals. */
export interface ObservedRow {
  readonly arrivalSeconds: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly firstTokenSeconds: number
  readonly lastTokenSeconds: number
}

export interface RowParser {
  /** `above` is the row before this one. Throws INVALID_TRACE. */
  parse(row: JsonRow, line: TraceLine, above: ObservedRow | null): ObservedRow
  /** What to take from token times to have them on the clock of arrivals. */
  lagSeconds(rows: readonly ObservedRow[]): number
}

/**
 * What vLLM's engine core records: `arrival_time` is Unix time, the others are of a monotonic clock. The least time
 * from arrival to queue is taken for none, so that the clocks differ by it.
 */
export function createVllmRows(): RowParser {
  const [input, output] = [jsonField('input_toks'), jsonField('output_toks')]
  const [arrival, queued] = [jsonField('arrival_time'), jsonField('queued_ts')]
  const [first, last] = [jsonField('first_token_ts'), jsonField('last_token_ts')]
  let lagSeconds = Number.POSITIVE_INFINITY
  return {
    parse(row, line, above) {
      for (const field of [input, output, arrival, queued, first, last]) checkPresent(row, field, line)
      const arrivalSeconds = checkedArrival(row, arrival, line, above)
      const inputTokens = checkedTokens(row[input.name], 1, line, input)
      const outputTokens = checkedTokens(row[output.name], 1, line, output)
      const queuedSeconds = checkedNumber(row[queued.name], 'seconds', line, queued)
      const firstTokenSeconds = checkedNumber(row[first.name], 'seconds', line, first)
      const lastTokenSeconds = checkedNumber(row[last.name], 'seconds', line, last)
      if (firstTokenSeconds <= queuedSeconds) throw invalidField(line, first, `a time after ${queued.name}`)
      checkLast(lastTokenSeconds - firstTokenSeconds, outputTokens, line, last, first)
      lagSeconds = Math.min(lagSeconds, queuedSeconds - arrivalSeconds)
      return { arrivalSeconds, inputTokens, outputTokens, firstTokenSeconds, lastTokenSeconds }
    },
    lagSeconds: () => lagSeconds,
  }
}

/** Our own: latencies as a client measures them. */
export function createMembraneRows(): RowParser {
  const [input, output] = [jsonField('inputTokens'), jsonField('outputTokens')]
  const [arrival, ttft, e2e] = [jsonField('arrivalSeconds'), jsonField('ttftSeconds'), jsonField('e2eSeconds')]
  return {
    parse(row, line, above) {
      for (const field of [input, output, arrival, ttft, e2e]) checkPresent(row, field, line)
      const arrivalSeconds = checkedArrival(row, arrival, line, above)
      const inputTokens = checkedTokens(row[input.name], 1, line, input)
      const outputTokens = checkedTokens(row[output.name], 1, line, output)
      const ttftSeconds = checkedNumber(row[ttft.name], 'seconds', line, ttft)
      const e2eSeconds = checkedNumber(row[e2e.name], 'seconds', line, e2e)
      if (ttftSeconds === 0) throw invalidField(line, ttft, 'a number of seconds above 0')
      checkLast(e2eSeconds - ttftSeconds, outputTokens, line, e2e, ttft)
      return {
        arrivalSeconds,
        inputTokens,
        outputTokens,
        firstTokenSeconds: arrivalSeconds + ttftSeconds,
        lastTokenSeconds: arrivalSeconds + e2eSeconds,
      }
    },
    lagSeconds: () => 0,
  }
}

function checkedArrival(row: JsonRow, field: TraceField, line: TraceLine, above: ObservedRow | null): number {
  const seconds = checkedNumber(row[field.name], 'seconds', line, field)
  if (above === null || seconds >= above.arrivalSeconds) return seconds
  throw invalidField(
    line,
    field,
    `a time not before that of the request above it, which came ${above.arrivalSeconds - seconds} s later`,
    'Sort the file by arrival.',
  )
}

/** The last token comes with the first when there is one, and after it when there are more. */
function checkLast(seconds: number, outputTokens: number, line: TraceLine, last: TraceField, first: TraceField): void {
  if (outputTokens === 1 ? seconds >= 0 : seconds > 0) return
  throw invalidField(
    line,
    last,
    outputTokens === 1 ? `at least ${first.name}` : `more than ${first.name}, as ${outputTokens} tokens came`,
  )
}
