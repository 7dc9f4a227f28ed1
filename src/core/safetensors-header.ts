/**
 * The header of a safetensors file: JSON, but only as much of it as the format has. `JSON.parse` would keep the last
 * of doubled names in silence, so that two readers could see two different files; this parser knows no such thing.
 */
import { MembraneError } from './errors.ts'

/** A tensor as the header gives it; offsets count from the end of the header. Nothing is checked but the grammar. */
export interface HeaderTensor {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly start: number
  readonly end: number
}

export interface HeaderText {
  readonly metadata: ReadonlyMap<string, string>
  /** In the order of the header. */
  readonly tensors: readonly HeaderTensor[]
}

/** The name that is no tensor. */
export const METADATA_NAME = '__metadata__'

/** Throws INVALID_FRAGMENT, with the character at which the text stops being a header. */
export function parseHeaderText(text: string): HeaderText {
  const cursor = new Cursor(text)
  let metadata: ReadonlyMap<string, string> = new Map()
  const tensors: HeaderTensor[] = []
  if (!text.startsWith('{')) throw cursor.expected('"{" at once')
  cursor.readObject('a tensor', (name) => {
    if (name === METADATA_NAME) metadata = readMetadata(cursor)
    else tensors.push(readTensor(cursor, name))
  })
  cursor.readPadding()
  return { metadata, tensors }
}

function readMetadata(cursor: Cursor): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>()
  cursor.readObject('a metadata entry', (name) => {
    metadata.set(name, cursor.readString('a text'))
  })
  return metadata
}

function readTensor(cursor: Cursor, name: string): HeaderTensor {
  let dtype: string | null = null
  let shape: readonly number[] | null = null
  let offsets: readonly number[] | null = null
  cursor.readObject('a field', (field) => {
    if (field === 'dtype') dtype = cursor.readString('a dtype')
    else if (field === 'shape') shape = cursor.readCounts()
    else if (field === 'data_offsets') offsets = cursor.readCounts()
    else throw cursor.expected(`no field but dtype, shape and data_offsets in ${JSON.stringify(name)}`)
  })
  if (dtype === null || shape === null || offsets === null)
    throw cursor.expected(`dtype, shape and data_offsets in ${JSON.stringify(name)} before here`)
  const [start, end, ...more] = offsets as readonly number[]
  if (start === undefined || end === undefined || more.length > 0)
    throw cursor.expected(`two data_offsets in ${JSON.stringify(name)} before here`)
  return { name, dtype, shape, start, end }
}

const PADDING = / *$/y
/** Up to where numbers are exact, and nothing that only looks like a count: no sign, fraction, exponent or leading zero. */
const COUNT = /(?:0|[1-9]\d{0,15})(?![\d.eE])/y
/** A string without escapes and control characters, as all names of tensors are in practice. */
const PLAIN_STRING = /"[ !#-[\]-\uffff]*"/y
const SPACES = ' \t\r\n'

class Cursor {
  readonly #text: string
  #index = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Calls back after each name and colon; names that were there already are refused. */
  readObject(what: string, readValue: (name: string) => void): void {
    const names = new Set<string>()
    this.#take('{')
    if (this.#tryTake('}')) return
    do {
      const name = this.readString(`the name of ${what}`)
      if (names.has(name)) throw this.expected(`${what} of another name than ${JSON.stringify(name)}, just read again,`)
      names.add(name)
      this.#take(':')
      readValue(name)
    } while (this.#tryTake(','))
    this.#take('}')
  }

  readCounts(): readonly number[] {
    const counts: number[] = []
    this.#take('[')
    if (this.#tryTake(']')) return counts
    do counts.push(this.#readCount())
    while (this.#tryTake(','))
    this.#take(']')
    return counts
  }

  readString(what: string): string {
    this.#skipSpace()
    const plain = this.#match(PLAIN_STRING)
    const value = plain === null ? this.#readEscaped(what) : plain.slice(1, -1)
    // Half of a surrogate pair has no UTF-8: another reader would refuse it, or see another character.
    if (!value.isWellFormed()) throw this.expected(`${what} without lone surrogates before here`)
    return value
  }

  readPadding(): void {
    if (this.#match(PADDING) === null) throw this.expected('nothing but spaces')
  }

  expected(what: string): MembraneError {
    const found = JSON.stringify(this.#text.slice(this.#index, this.#index + 20))
    return new MembraneError(
      'INVALID_FRAGMENT',
      `Character ${this.#index} of a safetensors header: expected ${what}; found ${found === '""' ? 'the end' : found}.`,
      { details: { character: this.#index } },
    )
  }

  #readEscaped(what: string): string {
    const text = this.#text
    const start = this.#index
    if (text[start] !== '"') throw this.expected(`${what} in double quotes`)
    let end = start + 1
    while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1
    try {
      const value: string = JSON.parse(text.slice(start, end + 1))
      this.#index = end + 1
      return value
    } catch {
      throw this.expected(`${what} in double quotes`)
    }
  }

  #readCount(): number {
    this.#skipSpace()
    const digits = this.#match(COUNT)
    if (digits === null || !Number.isSafeInteger(Number(digits))) throw this.expected('a whole number below 2^53')
    return Number(digits)
  }

  #take(character: string): void {
    if (!this.#tryTake(character)) throw this.expected(`"${character}"`)
  }

  #tryTake(character: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#index] !== character) return false
    this.#index += 1
    return true
  }

  #skipSpace(): void {
    while (this.#index < this.#text.length && SPACES.includes(this.#text.charAt(this.#index))) this.#index += 1
  }

  #match(pattern: RegExp): string | null {
    const start = this.#index
    pattern.lastIndex = start
    if (!pattern.test(this.#text)) return null
    this.#index = pattern.lastIndex
    return this.#text.slice(start, this.#index)
  }
}
