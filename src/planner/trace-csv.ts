/** What the CSV formats share: cells, headers, and where a cell stands. No quoting: no format here needs it. */
import { invalidTrace, type TraceField, type TraceLine } from './trace-line.ts'

/** A cell of a row: `index` says which. */
export interface CsvField extends TraceField {
  readonly index: number
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/** Throws INVALID_TRACE unless the row has `count` cells. Cells are trimmed. */
export function splitRow(line: TraceLine, count: number): readonly string[] {
  const cells = line.text.split(',')
  if (cells.length === count) return cells.map((cell) => cell.trim())
  const column = cells.length < count ? line.text.length + 1 : placeOfCell(line.text, count).start
  throw invalidTrace(line, {
    column,
    found: `${cells.length} columns`,
    expected: String(count),
    remedy: 'Give every row as many columns as the first; a last row with too few was cut off.',
  })
}

export function headerCells(line: TraceLine): readonly string[] {
  return line.text.split(',').map((cell) => cell.trim().toLowerCase())
}

/** The first column that has one of the names, in whatever case. */
export function findColumn(header: readonly string[], names: readonly string[]): CsvField | null {
  for (const name of names) {
    const index = header.indexOf(name.toLowerCase())
    if (index >= 0) return csvField(name, index)
  }
  return null
}

/** All columns of a fixed header, which may stand in any order among others. Null when one is missing. */
export function findColumns<Name extends string>(
  header: readonly string[],
  names: readonly Name[],
): Readonly<Record<Name, CsvField>> | null {
  const fields = names.map((name) => [name, findColumn(header, [name])] as const)
  if (fields.some(([, field]) => field === null)) return null
  return Object.fromEntries(fields) as Record<Name, CsvField>
}

export function csvField(name: string, index: number): CsvField {
  return {
    name,
    index,
    locate: (line) => {
      const { start, end } = placeOfCell(line.text, index)
      return { column: start, text: line.text.slice(start - 1, end).trim() }
    },
  }
}

/** A number, or the text itself when it is none: so `0x10`, `Infinity`, `NaN` and an empty cell fail the later check. */
export function numberOrText(cell: string | undefined): number | string {
  return cell !== undefined && DECIMAL.test(cell) ? Number(cell) : (cell ?? '')
}

/** Throws the INVALID_TRACE of a header that lacks a column. */
export function missingColumns(line: TraceLine, expected: string): Error {
  return invalidTrace(line, {
    column: 1,
    found: `the header ${JSON.stringify(line.text)}`,
    expected,
    remedy: 'Name the columns in the first line.',
  })
}

/** `start` counts from 1 and stands on the cell's first character. */
function placeOfCell(text: string, index: number): { readonly start: number; readonly end: number } {
  let start = 0
  for (let cell = 0; cell < index; cell++) {
    const comma = text.indexOf(',', start)
    if (comma < 0) return { start: text.length + 1, end: text.length }
    start = comma + 1
  }
  while (text[start] === ' ') start += 1
  const comma = text.indexOf(',', start)
  return { start: start + 1, end: comma < 0 ? text.length : comma }
}
