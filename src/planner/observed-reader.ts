/** Reads observed requests from text: one JSON object a line, in either of two formats. Every error names its line. */
import { LIMITS } from '../core/limits.ts'
import { createMembraneRows, createVllmRows, type ObservedRow, type RowParser } from './observed-formats.ts'
import { OBSERVED_FORMATS, type ObservedFormat, type ObservedRequests } from './observed-requests.ts'
import { type JsonRow, parseJsonRow } from './trace-json.ts'
import { invalidTrace, type TraceLine, traceLimitReached } from './trace-line.ts'

const PARSERS: Readonly<Record<ObservedFormat, () => RowParser>> = {
  'vllm-bench': createVllmRows,
  membrane: createMembraneRows,
}

/**
 * `name` is what messages and the result call the file. Throws INVALID_TRACE, or LIMIT_REACHED above
 * LIMITS.observedRequestsMax requests. Blank lines are passed over.
 */
export function parseObservedRequests(name: string, text: string): ObservedRequests {
  let parser: RowParser | null = null
  let format: ObservedFormat | null = null
  const rows: ObservedRow[] = []
  for (const line of linesOf(name, text)) {
    const row = parseJsonRow(line)
    if (format === null || parser === null) {
      format = detectFormat(row, line)
      parser = PARSERS[format]()
    }
    if (rows.length === LIMITS.observedRequestsMax) throw tooManyRows(line)
    rows.push(parser.parse(row, line, rows.at(-1) ?? null))
  }
  if (format === null || parser === null) throw noRows({ file: name, number: 1, text: '' })
  return columnsOf(name, format, rows, parser.lagSeconds(rows))
}

function* linesOf(name: string, text: string): Generator<TraceLine> {
  const bare = text.startsWith('\uFEFF') ? text.slice(1) : text
  for (const [index, line] of bare.split('\n').entries()) {
    if (line.trim() !== '')
      yield { file: name, number: index + 1, text: line.endsWith('\r') ? line.slice(0, -1) : line }
  }
}

/** By any field that only one format has, so that a row that lacks another is told which. */
function detectFormat(row: JsonRow, line: TraceLine): ObservedFormat {
  for (const format of Object.keys(OBSERVED_FORMATS) as ObservedFormat[]) {
    if (OBSERVED_FORMATS[format].some((field) => Object.hasOwn(row, field))) return format
  }
  throw invalidTrace(line, { column: 1, found: line.text, expected: KNOWN_FORMATS, remedy: FORMATS_REMEDY })
}

const KNOWN_FORMATS = `an observed request in a known format: ${Object.keys(OBSERVED_FORMATS).join(', ')}`
const FORMATS_REMEDY = `Give every line the fields of one of: ${Object.entries(OBSERVED_FORMATS)
  .map(([format, fields]) => `${format} (${fields.join(', ')})`)
  .join('; ')}.`

function noRows(line: TraceLine): Error {
  return invalidTrace(line, {
    column: 1,
    found: 'the end of the file',
    expected: KNOWN_FORMATS,
    remedy: FORMATS_REMEDY,
  })
}

function tooManyRows(line: TraceLine): Error {
  return traceLimitReached(line, {
    column: 1,
    found: `more than ${LIMITS.observedRequestsMax} requests`,
    expected: `at most ${LIMITS.observedRequestsMax} in one observed run`,
    remedy: 'Keep the first part of the run; a fit needs some hundred requests.',
  })
}

/** Seconds from the first arrival. Tokens are `lagSeconds` behind on their clock. */
function columnsOf(
  name: string,
  format: ObservedFormat,
  rows: readonly ObservedRow[],
  lagSeconds: number,
): ObservedRequests {
  const startSeconds = rows[0]?.arrivalSeconds ?? 0
  const column = (value: (row: ObservedRow) => number) => Float64Array.from(rows, value)
  return {
    name,
    format,
    arrivalSeconds: column(({ arrivalSeconds }) => arrivalSeconds - startSeconds),
    inputTokens: Int32Array.from(rows, ({ inputTokens }) => inputTokens),
    outputTokens: Int32Array.from(rows, ({ outputTokens }) => outputTokens),
    firstTokenSeconds: column(({ firstTokenSeconds }) => firstTokenSeconds - lagSeconds - startSeconds),
    lastTokenSeconds: column(({ lastTokenSeconds }) => lastTokenSeconds - lagSeconds - startSeconds),
  }
}
