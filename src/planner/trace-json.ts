/** What the JSON Lines formats share: one object a line, and where in the line a field stands. */
import { assert } from '../core/errors.ts'
import { findJsonError } from './trace-json-error.ts'
import { invalidTrace, type TraceField, type TraceLine } from './trace-line.ts'

export type JsonRow = Readonly<Record<string, unknown>>

/** Throws INVALID_TRACE unless the line is one JSON object. */
export function parseJsonRow(line: TraceLine): JsonRow {
  let value: unknown
  try {
    value = JSON.parse(line.text)
  } catch {
    const problem = findJsonError(line.text)
    assert(problem !== null, `JSON.parse refused line ${line.number}, the scanner did not`)
    throw invalidTrace(line, {
      column: problem.index + 1,
      found: problem.found,
      expected: problem.expected,
      remedy:
        problem.index >= line.text.length
          ? 'Complete the line; if it is the last one, the file was cut off: copy it again.'
          : 'Write one JSON object a line.',
    })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonRow
  throw invalidTrace(line, { column: 1, found: line.text, expected: 'a JSON object' })
}

/** Finds `"name":` in the text. A name that also occurs inside a string value would mislead it, by a column only. */
export function jsonField(name: string): TraceField {
  return {
    name,
    locate: (line) => {
      const match = new RegExp(`"${name}"\\s*:\\s*`).exec(line.text)
      if (match === null) return { column: 1, text: '' }
      const start = match.index + match[0].length
      const value = /^(?:\[[^\]]*\]?|"[^"]*"?|[^,}]*)/.exec(line.text.slice(start, start + 200))
      return { column: start + 1, text: (value?.[0] ?? '').trim() }
    },
  }
}

/** Throws INVALID_TRACE when the field is absent. */
export function checkPresent(row: JsonRow, field: TraceField, line: TraceLine): void {
  if (row[field.name] !== undefined) return
  throw invalidTrace(line, { column: 1, found: `no field "${field.name}"`, expected: `"${field.name}" in every row` })
}

/** Throws INVALID_TRACE at the first field that is not in the list. */
export function checkNoOtherFields(row: JsonRow, fields: readonly TraceField[], line: TraceLine): void {
  for (const name in row) {
    if (fields.some((field) => field.name === name)) continue
    throw invalidTrace(line, {
      column: line.text.indexOf(JSON.stringify(name)) + 1,
      found: `the field ${JSON.stringify(name)}`,
      expected: `only ${fields.map((field) => field.name).join(', ')}`,
    })
  }
}
