/** The two CSV formats that hold requests: Azure's, and plain lengths. */
import { RequestColumns, type TraceBounds } from './trace-columns.ts'
import {
  type CsvField,
  csvField,
  findColumn,
  findColumns,
  headerCells,
  missingColumns,
  numberOrText,
  splitRow,
} from './trace-csv.ts'
import { checkedNumber, checkedTokens, invalidField, type TraceLine } from './trace-line.ts'
import { parseTimestamp, secondsBetween, type Timestamp } from './trace-timestamp.ts'
import { type RequestTraceFormat, TRACE_FORMATS, type TraceFile } from './trace.ts'

export const AZURE_COLUMNS = ['TIMESTAMP', 'ContextTokens', 'GeneratedTokens'] as const

/** Names in order of preference, compared without regard to case. */
export const LENGTH_COLUMNS = {
  input: ['inputTokens', 'input_tokens', 'input_length', 'num_prefill_tokens', 'prompt_tokens'],
  output: ['outputTokens', 'output_tokens', 'output_length', 'num_decode_tokens', 'completion_tokens'],
  at: ['atSeconds', 'at_seconds', 'arrival_time'],
} as const

/** Turns a cell into seconds since the first row's. */
type TimeReader = (cell: string, line: TraceLine, field: CsvField) => number

interface CsvRequestOptions {
  readonly format: RequestTraceFormat
  readonly columnCount: number
  readonly at: CsvField | null
  readonly input: CsvField
  readonly output: CsvField | null
  readonly readTime: TimeReader
  readonly bounds: TraceBounds
}

export function createAzureParser(header: TraceLine, bounds: TraceBounds): CsvRequestParser {
  const cells = headerCells(header)
  const columns = findColumns(cells, AZURE_COLUMNS)
  if (columns === null) throw missingColumns(header, TRACE_FORMATS.azure)
  const { TIMESTAMP: at, ContextTokens: input, GeneratedTokens: output } = columns
  const readTime = createTimestampReader()
  return new CsvRequestParser({ format: 'azure', columnCount: cells.length, at, input, output, readTime, bounds })
}

/** Without a header: the input lengths, and then the output lengths if there is a second column. */
export function createLengthsParser(firstLine: TraceLine, bounds: TraceBounds): CsvRequestParser {
  const cells = headerCells(firstLine)
  const shared = { format: 'lengths', columnCount: cells.length, readTime: createSecondsReader(), bounds } as const
  if (hasNoHeader(cells)) {
    const output = cells.length === 2 ? csvField('output tokens', 1) : null
    const parser = new CsvRequestParser({ ...shared, at: null, input: csvField('input tokens', 0), output })
    parser.parse(firstLine)
    return parser
  }
  const input = findColumn(cells, LENGTH_COLUMNS.input)
  if (input === null) throw missingColumns(firstLine, TRACE_FORMATS.lengths)
  const output = findColumn(cells, LENGTH_COLUMNS.output)
  return new CsvRequestParser({ ...shared, at: findColumn(cells, LENGTH_COLUMNS.at), input, output })
}

/** NaN counts as a number here: a first row with one is a bad row, not a header. */
export function hasNoHeader(cells: readonly string[]): boolean {
  return cells.length <= 2 && cells.every((cell) => typeof numberOrText(cell) === 'number' || cell === 'nan')
}

class CsvRequestParser {
  readonly #options: CsvRequestOptions
  readonly #columns: RequestColumns

  constructor(options: CsvRequestOptions) {
    this.#options = options
    this.#columns = new RequestColumns(options.bounds)
  }

  get rowCount(): number {
    return this.#columns.count
  }

  parse(line: TraceLine): void {
    const { columnCount, at, input, output, readTime } = this.#options
    const cells = splitRow(line, columnCount)
    const row = {
      atSeconds: at === null ? null : readTime(cells[at.index] ?? '', line, at),
      inputTokens: checkedTokens(numberOrText(cells[input.index]), 1, line, input),
      outputTokens: output === null ? null : checkedTokens(numberOrText(cells[output.index]), 0, line, output),
      blockIds: null,
    }
    this.#columns.add(row, line, at)
  }

  finish(name: string): TraceFile {
    return { kind: 'requests', trace: this.#columns.finish(name, this.#options.format) }
  }
}

function createTimestampReader(): TimeReader {
  let first: Timestamp | null = null
  return (cell, line, field) => {
    const timestamp = parseTimestamp(cell)
    if (timestamp === null) throw invalidField(line, field, 'a UTC time such as 2023-11-16 18:15:46.6805900')
    first ??= timestamp
    return secondsBetween(first, timestamp)
  }
}

function createSecondsReader(): TimeReader {
  let first: number | null = null
  return (cell, line, field) => {
    const seconds = checkedNumber(numberOrText(cell), 'seconds', line, field)
    first ??= seconds
    return seconds - first
  }
}
