/** Reads values whose shape is the service's word: JSON that SDKs pass on as it came. */
import { malformed } from './provider-fault.ts'

/** An object, as names and values. Throws the fault `malformed`. */
export function asObject(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  return malformed(`${what} is no object`)
}

export function asList(value: unknown, what: string): readonly unknown[] {
  return Array.isArray(value) ? value : malformed(`${what} is no list`)
}

export function asText(value: unknown, what: string): string {
  return typeof value === 'string' ? value : malformed(`${what} is no text`)
}

/** Null for nothing. */
export function asTextOrNull(value: unknown, what: string): string | null {
  return value === undefined || value === null ? null : asText(value, what)
}

/** Null for nothing: a service that does not say is not one that says 0. */
export function asCount(value: unknown, what: string): number | null {
  if (value === undefined || value === null) return null
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    ? value
    : malformed(`${what} is no count`)
}

/** A name that is to be there. */
export function asName(value: unknown, what: string): string {
  return typeof value === 'string' && value !== '' ? value : malformed(`${what} is missing`)
}

/** Fields of an object, or of nothing. */
export function fieldsOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  return value === undefined || value === null ? {} : asObject(value, what)
}
