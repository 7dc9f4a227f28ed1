/**
 * One line of a trace and the checks that every format shares. A failed check says where
 * (`FILE:LINE:COLUMN`), what was found and what was expected, in these words and this order.
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

export interface TraceLine {
  readonly file: string
  /** From 1. */
  readonly number: number
  /** Without its line end. */
  readonly text: string
}

/** A named value of a row, and how to find it in the text again once it turned out to be wrong. */
export interface TraceField {
  readonly name: string
  readonly locate: (line: TraceLine) => FieldPlace
}

export interface FieldPlace {
  /** From 1, in UTF-16 units as editors count. */
  readonly column: number
  readonly text: string
}

export interface TraceProblem {
  readonly column: number
  readonly found: string
  readonly expected: string
  readonly remedy?: string
}

/** Longer texts are cut in messages: a line may have four million characters. */
const FOUND_CHARACTERS_MAX = 60

export function invalidTrace(line: TraceLine, problem: TraceProblem): MembraneError {
  return traceError('INVALID_TRACE', line, problem)
}

export function traceLimitReached(line: TraceLine, problem: TraceProblem): MembraneError {
  return traceError('LIMIT_REACHED', line, problem)
}

export function invalidField(line: TraceLine, field: TraceField, expected: string, remedy?: string): MembraneError {
  const { column, text } = field.locate(line)
  const found = `${field.name} ${text === '' ? '(empty)' : text}`
  return invalidTrace(line, { column, found, expected, ...(remedy === undefined ? {} : { remedy }) })
}

/** A whole number of tokens from `tokensMin` to LIMITS.requestTokensMax. */
export function checkedTokens(value: unknown, tokensMin: 0 | 1, line: TraceLine, field: TraceField): number {
  if (isWholeNumber(value, tokensMin, LIMITS.requestTokensMax)) return value
  throw invalidField(line, field, `a whole number of tokens from ${tokensMin} to ${LIMITS.requestTokensMax}`)
}

/** A finite number from 0. `unit` is for the message. */
export function checkedNumber(value: unknown, unit: string, line: TraceLine, field: TraceField): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw invalidField(line, field, `a number${unit === '' ? '' : ` of ${unit}`}, 0 or more`)
}

export function isWholeNumber(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

function shortened(text: string): string {
  return text.length <= FOUND_CHARACTERS_MAX ? text : `${text.slice(0, FOUND_CHARACTERS_MAX)}…`
}

function traceError(code: 'INVALID_TRACE' | 'LIMIT_REACHED', line: TraceLine, problem: TraceProblem): MembraneError {
  const { column, expected } = problem
  const found = shortened(problem.found)
  return new MembraneError(code, `${line.file}:${line.number}:${column}: found ${found}, expected ${expected}`, {
    details: { file: line.file, line: line.number, column, found, expected },
    remedy: problem.remedy ?? 'Correct the line, or leave it out.',
  })
}
