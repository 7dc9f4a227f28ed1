/** ServeGen's client rates: one row for each client and 600 s window in which it sends. */
import { checkRowBound, GrowingColumn, type TraceBounds } from './trace-columns.ts'
import { type CsvField, findColumns, headerCells, missingColumns, numberOrText, splitRow } from './trace-csv.ts'
import { checkedNumber, invalidField, isWholeNumber, type TraceLine } from './trace-line.ts'
import { ARRIVAL_FAMILIES, TRACE_FORMATS, type TraceFile } from './trace.ts'

export const SERVEGEN_COLUMNS = ['client_id', 'window_start_s', 'rate_rps', 'cv', 'pattern', 'arg1', 'arg2'] as const
type ServegenFields = Readonly<Record<(typeof SERVEGEN_COLUMNS)[number], CsvField>>

const WINDOW_SECONDS = 600
const INT32_MAX = 2 ** 31 - 1

export function createServegenParser(header: TraceLine, bounds: TraceBounds): ServegenParser {
  const cells = headerCells(header)
  const columns = findColumns(cells, SERVEGEN_COLUMNS)
  if (columns === null) throw missingColumns(header, TRACE_FORMATS['servegen-rates'])
  return new ServegenParser(columns, cells.length, bounds)
}

class ServegenParser {
  readonly #fields: ServegenFields
  readonly #columnCount: number
  readonly #bounds: TraceBounds
  readonly #clientIds = new GrowingColumn(Int32Array)
  readonly #windowStartSeconds = new GrowingColumn(Int32Array)
  readonly #requestsPerSecond = new GrowingColumn(Float64Array)
  readonly #cv = new GrowingColumn(Float64Array)
  readonly #familyIndices = new GrowingColumn(Uint8Array)
  readonly #familyArgument1 = new GrowingColumn(Float64Array)
  readonly #familyArgument2 = new GrowingColumn(Float64Array)

  constructor(fields: ServegenFields, columnCount: number, bounds: TraceBounds) {
    this.#fields = fields
    this.#columnCount = columnCount
    this.#bounds = bounds
  }

  get rowCount(): number {
    return this.#clientIds.count
  }

  parse(line: TraceLine): void {
    checkRowBound(this.rowCount, this.#bounds, line)
    const cells = splitRow(line, this.#columnCount)
    const { client_id, window_start_s, rate_rps, cv, pattern, arg1, arg2 } = this.#fields
    const numberIn = (field: CsvField) => checkedNumber(numberOrText(cells[field.index]), '', line, field)
    this.#clientIds.push(checkedMultiple(cells, client_id, 1, line))
    this.#windowStartSeconds.push(checkedMultiple(cells, window_start_s, WINDOW_SECONDS, line))
    this.#requestsPerSecond.push(numberIn(rate_rps) || rejectZeroRate(line, rate_rps))
    this.#cv.push(numberIn(cv))
    this.#familyIndices.push(familyIndex(cells, pattern, line))
    this.#familyArgument1.push(numberIn(arg1))
    this.#familyArgument2.push(numberIn(arg2))
  }

  finish(name: string): TraceFile {
    const rates = {
      name,
      format: 'servegen-rates',
      rowCount: this.rowCount,
      windowSeconds: WINDOW_SECONDS,
      clientIds: this.#clientIds.finish(),
      windowStartSeconds: this.#windowStartSeconds.finish(),
      requestsPerSecond: this.#requestsPerSecond.finish(),
      cv: this.#cv.finish(),
      familyIndices: this.#familyIndices.finish(),
      familyArgument1: this.#familyArgument1.finish(),
      familyArgument2: this.#familyArgument2.finish(),
    } as const
    return { kind: 'client-rates', rates }
  }
}

function checkedMultiple(cells: readonly string[], field: CsvField, step: number, line: TraceLine): number {
  const value = numberOrText(cells[field.index])
  if (isWholeNumber(value, 0, INT32_MAX) && value % step === 0) return value
  throw invalidField(line, field, `${step === 1 ? 'a whole number' : `a multiple of ${step}`} from 0 to ${INT32_MAX}`)
}

function rejectZeroRate(line: TraceLine, field: CsvField): never {
  throw invalidField(line, field, 'a rate above 0', 'Leave out the windows in which a client sends nothing.')
}

function familyIndex(cells: readonly string[], field: CsvField, line: TraceLine): number {
  const index = ARRIVAL_FAMILIES.findIndex((family) => family === cells[field.index])
  if (index >= 0) return index
  throw invalidField(line, field, ARRIVAL_FAMILIES.join(' or '))
}
