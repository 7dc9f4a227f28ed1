/** Tells the format of a trace from its first line and opens the parser for it. */
import type { TraceBounds } from './trace-columns.ts'
import {
  AZURE_COLUMNS,
  createAzureParser,
  createLengthsParser,
  hasNoHeader,
  LENGTH_COLUMNS,
} from './trace-csv-requests.ts'
import { findColumn, findColumns, headerCells } from './trace-csv.ts'
import { createMembraneParser, createMooncakeParser } from './trace-json-formats.ts'
import { parseJsonRow } from './trace-json.ts'
import { invalidTrace, type TraceLine } from './trace-line.ts'
import { createServegenParser, SERVEGEN_COLUMNS } from './trace-servegen.ts'
import { TRACE_FORMATS, type TraceFile, type TraceFormat } from './trace.ts'

/** Reads a format line by line. Throws INVALID_TRACE or LIMIT_REACHED, and is not to be used after that. */
export interface LineParser {
  readonly rowCount: number
  parse(line: TraceLine): void
  finish(name: string): TraceFile
}

type OpenParser = (firstLine: TraceLine, bounds: TraceBounds) => LineParser

/** Each takes the first line, whether it is a header or a row. A format without a parser does not compile. */
const PARSERS: Readonly<Record<TraceFormat, OpenParser>> = {
  mooncake: createMooncakeParser,
  azure: createAzureParser,
  'servegen-rates': createServegenParser,
  lengths: createLengthsParser,
  membrane: createMembraneParser,
}

export function openParser(format: TraceFormat, firstLine: TraceLine, bounds: TraceBounds): LineParser {
  return PARSERS[format](firstLine, bounds)
}

/** Throws INVALID_TRACE with the list of known formats when the line fits none. */
export function detectFormat(firstLine: TraceLine): TraceFormat {
  const format = firstLine.text.trimStart().startsWith('{') ? detectJson(firstLine) : detectCsv(firstLine)
  if (format !== null) return format
  throw invalidTrace(firstLine, {
    column: 1,
    found: JSON.stringify(firstLine.text),
    expected: EXPECTED_KNOWN_FORMAT,
    remedy: KNOWN_FORMATS_REMEDY,
  })
}

export const EXPECTED_KNOWN_FORMAT = `a trace in a known format: ${Object.keys(TRACE_FORMATS).join(', ')}`

export const KNOWN_FORMATS_REMEDY = `Give a trace in one of these formats: ${Object.entries(TRACE_FORMATS)
  .map(([name, description]) => `${name} (${description})`)
  .join('; ')}.`

function detectJson(firstLine: TraceLine): TraceFormat | null {
  const row = parseJsonRow(firstLine)
  if ('membraneTrace' in row || 'inputTokens' in row || 'atSeconds' in row) return 'membrane'
  return 'input_length' in row || 'timestamp' in row ? 'mooncake' : null
}

function detectCsv(firstLine: TraceLine): TraceFormat | null {
  const cells = headerCells(firstLine)
  if (findColumns(cells, AZURE_COLUMNS) !== null) return 'azure'
  if (findColumns(cells, SERVEGEN_COLUMNS) !== null) return 'servegen-rates'
  return hasNoHeader(cells) || findColumn(cells, LENGTH_COLUMNS.input) !== null ? 'lengths' : null
}
