/** Metadata of a GGUF file: thirteen types of values, by number. */
import { LIMITS } from '../core/limits.ts'
import { type GgufCursor, invalidModel } from './gguf-cursor.ts'

/** Numbers of an array as they are in the file. */
type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

/** A metadata value. Integers of 64 bits are numbers where these hold them exactly; arrays of them stay as they are. */
export type GgufValue = string | number | bigint | boolean | readonly string[] | readonly boolean[] | GgufNumbers

interface NumberType {
  readonly bytes: number
  readonly one: (view: DataView, offset: number) => number | bigint
  readonly many: (view: DataView, items: number) => GgufNumbers
}

const NUMBERS: Readonly<Record<number, NumberType>> = {
  0: numberType(1, (view, at) => view.getUint8(at), Uint8Array),
  1: numberType(1, (view, at) => view.getInt8(at), Int8Array),
  2: numberType(2, (view, at) => view.getUint16(at, true), Uint16Array),
  3: numberType(2, (view, at) => view.getInt16(at, true), Int16Array),
  4: numberType(4, (view, at) => view.getUint32(at, true), Uint32Array),
  5: numberType(4, (view, at) => view.getInt32(at, true), Int32Array),
  6: numberType(4, (view, at) => view.getFloat32(at, true), Float32Array),
  10: numberType(8, (view, at) => view.getBigUint64(at, true), BigUint64Array),
  11: numberType(8, (view, at) => view.getBigInt64(at, true), BigInt64Array),
  12: numberType(8, (view, at) => view.getFloat64(at, true), Float64Array),
}
const BOOLEAN = 7
const TEXT = 8
const ARRAY = 9
/** A text takes its length at least. */
const TEXT_BYTES_MIN = 8

function numberType<T extends number | bigint>(
  bytes: number,
  one: (view: DataView, offset: number) => T,
  array: new (items: number) => GgufNumbers & { [index: number]: T },
): NumberType {
  return {
    bytes,
    one,
    many: (view, items) => {
      const values = new array(items)
      for (let index = 0; index < items; index++) values[index] = one(view, index * bytes)
      return values
    },
  }
}

/** What all arrays of a file may still hold. */
export interface TextBudget {
  texts: number
}

/** Reads a value with its type. Throws INVALID_MODEL. */
export function readValue(cursor: GgufCursor, key: string, budget: TextBudget): GgufValue {
  const what = `The value of ${key}`
  const type = cursor.u32(`The type of ${key}`)
  if (type === TEXT) return cursor.text(what)
  if (type === BOOLEAN) return booleanOf(cursor.u8(what), what)
  if (type === ARRAY) return readArray(cursor, what, budget)
  const numbers = NUMBERS[type]
  if (numbers === undefined) throw invalidModel(`${what} is of type ${type}, which GGUF does not have.`)
  const value = numbers.one(cursor.block(1, numbers.bytes, what), 0)
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value
}

function readArray(cursor: GgufCursor, what: string, budget: TextBudget): GgufValue {
  const type = cursor.u32(what)
  const items = cursor.size(what)
  if (type === TEXT) return readTexts(cursor, what, items, budget)
  if (type === BOOLEAN) {
    const view = cursor.block(items, 1, what)
    return Array.from({ length: items }, (_, index) => booleanOf(view.getUint8(index), what))
  }
  const numbers = NUMBERS[type]
  if (numbers === undefined)
    throw invalidModel(
      type === ARRAY
        ? `${what} is an array of arrays, which no key of GGUF is.`
        : `${what} is an array of type ${type}, which GGUF does not have.`,
    )
  return numbers.many(cursor.block(items, numbers.bytes, what), items)
}

function readTexts(cursor: GgufCursor, what: string, items: number, budget: TextBudget): readonly string[] {
  budget.texts -= items
  if (budget.texts < 0)
    throw invalidModel(`${what} has ${items} texts; the arrays of a file may have ${LIMITS.ggufTextsMax} together.`)
  cursor.expect(items * TEXT_BYTES_MIN, what)
  const texts: string[] = []
  for (let index = 0; index < items; index++) texts.push(cursor.text(what))
  return texts
}

function booleanOf(byte: number, what: string): boolean {
  if (byte > 1) throw invalidModel(`${what} is ${byte}; a boolean is 0 or 1.`)
  return byte === 1
}
