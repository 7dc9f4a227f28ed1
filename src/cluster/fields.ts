/** Reads what another node wrote, field by field: what is not known is passed over, what is wrong is refused. */
import { MembraneError } from '../core/errors.ts'

/** A message's fields, as JSON has them. */
export type Fields = Readonly<Record<string, unknown>>

/** Throws INVALID_REQUEST for what is no object. */
export function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw wrong(what, 'an object', value)
}

/** Of 1 to `charactersMax` characters. Throws INVALID_REQUEST. */
export function textField(fields: Fields, name: string, charactersMax = 256): string {
  const value = fields[name]
  if (typeof value === 'string' && value.length > 0 && value.length <= charactersMax) return value
  throw wrong(name, `a text of 1 to ${charactersMax} characters`, value)
}

/** Finite, 0 or more unless `min` says otherwise. Throws INVALID_REQUEST. */
export function numberField(fields: Fields, name: string, { min = 0, max = Number.MAX_VALUE } = {}): number {
  const value = fields[name]
  if (typeof value === 'number' && value >= min && value <= max) return value
  throw wrong(name, `a number of ${min} to ${max}`, value)
}

/** A whole number, 0 or more. Throws INVALID_REQUEST. */
export function countField(fields: Fields, name: string, max = Number.MAX_SAFE_INTEGER): number {
  const value = numberField(fields, name, { max })
  if (Number.isSafeInteger(value)) return value
  throw wrong(name, 'a whole number', value)
}

/** Throws INVALID_REQUEST. */
export function flagField(fields: Fields, name: string): boolean {
  const value = fields[name]
  if (typeof value === 'boolean') return value
  throw wrong(name, 'true or false', value)
}

/** One of a few texts. Throws INVALID_REQUEST. */
export function choiceField<Choice extends string>(fields: Fields, name: string, choices: readonly Choice[]): Choice {
  const found = choices.find((choice) => choice === fields[name])
  if (found !== undefined) return found
  throw wrong(name, `one of ${choices.join(', ')}`, fields[name])
}

/** At most `itemsMax`. Throws INVALID_REQUEST. */
export function listField<Item>(
  fields: Fields,
  name: string,
  { itemsMax, read }: { readonly itemsMax: number; readonly read: (item: unknown, what: string) => Item },
): readonly Item[] {
  const value = fields[name]
  if (!Array.isArray(value) || value.length > itemsMax) throw wrong(name, `a list of at most ${itemsMax}`, value)
  return value.map((item, index) => read(item, `${name}[${index}]`))
}

/** What `read` gives, or null where the other node said null or nothing. */
export function orNullField<Value>(fields: Fields, name: string, read: () => Value): Value | null {
  return fields[name] === null || fields[name] === undefined ? null : read()
}

function wrong(name: string, expected: string, found: unknown): MembraneError {
  const text = (JSON.stringify(found) ?? 'nothing').slice(0, 80)
  return new MembraneError('INVALID_REQUEST', `A node's message needs ${name} to be ${expected}; found ${text}.`)
}
