/** Reads the answers of a RESP server out of a stream of bytes, versions 2 and 3, whatever way it is cut into segments. */
import { assert } from '../core/errors.ts'
import { parseRespInteger } from './resp-codec-numbers.ts'

/** An answer as it was read. Verbatim text is bytes, without its three letters; attributes are read and dropped. */
export type RespValue =
  | { readonly kind: 'status'; readonly text: string }
  | { readonly kind: 'error'; readonly text: string }
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'double'; readonly value: number }
  | { readonly kind: 'bigNumber'; readonly text: string }
  | { readonly kind: 'array' | 'set' | 'push'; readonly items: readonly RespValue[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [RespValue, RespValue])[] }

/** `broken`: the stream makes no sense from here on. */
export type RespRead =
  | { readonly kind: 'value'; readonly value: RespValue }
  | { readonly kind: 'more' }
  | { readonly kind: 'broken'; readonly message: string }

/** What a server may make us keep. */
export interface RespReadBounds {
  /** Of one string. */
  readonly bytesMax: number
  /** Of one array, set or map. */
  readonly itemsMax: number
  /** Memory for a string of so many bytes; all of it is written. */
  readonly allocate: (bytes: number) => Uint8Array
}

interface Nested {
  readonly type: number
  readonly items: RespValue[]
  left: number
}

const LINE_BYTES_MAX = 64 * 1024
const DEPTH_MAX = 16
const LF = 0x0a
const CR = 0x0d
const TYPES = {
  status: 0x2b,
  error: 0x2d,
  integer: 0x3a,
  bytes: 0x24,
  array: 0x2a,
  null: 0x5f,
  boolean: 0x23,
  double: 0x2c,
  bigNumber: 0x28,
  bulkError: 0x21,
  verbatim: 0x3d,
  map: 0x25,
  set: 0x7e,
  attribute: 0x7c,
  push: 0x3e,
} as const

/** `next` is asked until it says `more`; then `push` brings the next segment, which may be used again afterwards. */
export class RespReplyReader {
  readonly #bounds: RespReadBounds
  #segment: Uint8Array = new Uint8Array(0)
  #at = 0
  #line: number[] = []
  #string: { readonly type: number; readonly target: Uint8Array } | null = null
  #filledBytes = 0
  readonly #nested: Nested[] = []
  #broken: string | null = null

  constructor(bounds: RespReadBounds) {
    this.#bounds = bounds
  }

  /** Only after `next` has said `more`: what was pushed before has been read. */
  push(segment: Uint8Array): void {
    assert(this.#at === this.#segment.length, 'a segment is read before the next one is pushed')
    this.#segment = segment
    this.#at = 0
  }

  next(): RespRead {
    for (;;) {
      if (this.#broken !== null) return { kind: 'broken', message: this.#broken }
      const value = this.#string === null ? this.#readLine() : this.#readString()
      if (value === 'more') return this.#broken === null ? { kind: 'more' } : { kind: 'broken', message: this.#broken }
      const whole = value === 'opened' ? null : this.#add(value)
      if (whole !== null) return { kind: 'value', value: whole }
    }
  }

  /** A value, into what it is an item of; the outermost one when that is whole. */
  #add(value: RespValue): RespValue | null {
    let current: RespValue | null = value
    while (current !== null) {
      const inner = this.#nested.at(-1)
      if (inner === undefined) return current
      inner.items.push(current)
      inner.left -= 1
      if (inner.left > 0) return null
      this.#nested.pop()
      current = closed(inner)
    }
    return null
  }

  #readLine(): RespValue | 'more' | 'opened' {
    const segment = this.#segment
    const found = segment.indexOf(LF, this.#at)
    const end = found < 0 ? segment.length : found
    if (this.#line.length + end - this.#at > LINE_BYTES_MAX) return this.#break('a line that is too long')
    for (; this.#at < end; this.#at++) this.#line.push(segment[this.#at] ?? 0)
    if (found < 0) return 'more'
    this.#at += 1
    const line = Uint8Array.from(this.#line)
    this.#line = []
    if (line.length < 2 || line.at(-1) !== CR) return this.#break('a line without its end')
    return this.#readType(line[0] ?? 0, line.subarray(1, -1))
  }

  #readType(type: number, rest: Uint8Array): RespValue | 'more' | 'opened' {
    const text = textOf(rest)
    switch (type) {
      case TYPES.status:
        return { kind: 'status', text }
      case TYPES.error:
        return { kind: 'error', text }
      case TYPES.null:
        return { kind: 'null' }
      case TYPES.boolean:
        return text === 't' || text === 'f' ? { kind: 'boolean', value: text === 't' } : this.#break('no boolean')
      case TYPES.double:
        return { kind: 'double', value: doubleOf(text) }
      case TYPES.bigNumber:
        return { kind: 'bigNumber', text }
      default:
    }
    const number = parseRespInteger(rest)
    if (type === TYPES.integer)
      return number === null ? (bigOf(text) ?? this.#break('no number')) : { kind: 'integer', value: number }
    if (number === null || number < -1) return this.#break(`a length that is none after byte ${type}`)
    if (number === -1) return { kind: 'null' }
    if (type === TYPES.bytes || type === TYPES.bulkError || type === TYPES.verbatim)
      return this.#openString(type, number)
    return this.#openNested(type, number)
  }

  #openString(type: number, bytes: number): 'more' | 'opened' {
    if (bytes > this.#bounds.bytesMax) return this.#break(`a string of ${bytes} bytes`)
    this.#string = { type, target: this.#bounds.allocate(bytes) }
    this.#filledBytes = 0
    return 'opened'
  }

  #openNested(type: number, count: number): RespValue | 'more' | 'opened' {
    const isKnown = type === TYPES.array || type === TYPES.set || type === TYPES.push || isPairs(type)
    if (!isKnown) return this.#break(`byte ${type} where a type was expected`)
    if (count > this.#bounds.itemsMax || this.#nested.length >= DEPTH_MAX) return this.#break(`${count} items`)
    const nested: Nested = { type, items: [], left: isPairs(type) ? 2 * count : count }
    if (count === 0) return closed(nested) ?? 'opened'
    this.#nested.push(nested)
    return 'opened'
  }

  /** HOT: once for every segment of a long string. */
  #readString(): RespValue | 'more' {
    const { type, target } = this.#string ?? { type: 0, target: this.#segment }
    const copied = Math.min(target.length - this.#filledBytes, this.#segment.length - this.#at)
    if (copied > 0) {
      target.set(this.#segment.subarray(this.#at, this.#at + copied), this.#filledBytes)
      this.#at += copied
      this.#filledBytes += copied
    }
    while (this.#filledBytes >= target.length && this.#filledBytes < target.length + 2) {
      if (this.#at >= this.#segment.length) return 'more'
      if (this.#segment[this.#at] !== (this.#filledBytes === target.length ? CR : LF))
        return this.#break('a string longer than its length')
      this.#at += 1
      this.#filledBytes += 1
    }
    if (this.#filledBytes < target.length) return 'more'
    this.#string = null
    if (type === TYPES.bulkError) return { kind: 'error', text: textOf(target) }
    return { kind: 'bytes', bytes: type === TYPES.verbatim ? target.subarray(4) : target }
  }

  #break(found: string): 'more' {
    this.#broken = `RESP was expected; found ${found}.`
    this.#at = this.#segment.length
    return 'more'
  }
}

/** Null for an attribute, which says something about the value after it. */
function closed({ type, items }: Nested): RespValue | null {
  if (type === TYPES.attribute) return null
  if (type !== TYPES.map) return { kind: type === TYPES.set ? 'set' : type === TYPES.push ? 'push' : 'array', items }
  const entries: (readonly [RespValue, RespValue])[] = []
  for (let at = 0; at + 1 < items.length; at += 2) entries.push([items[at] as RespValue, items[at + 1] as RespValue])
  return { kind: 'map', entries }
}

function isPairs(type: number): boolean {
  return type === TYPES.map || type === TYPES.attribute
}

function bigOf(text: string): RespValue | null {
  return /^-?\d+$/.test(text) ? { kind: 'bigNumber', text } : null
}

function doubleOf(text: string): number {
  return text === 'inf' ? Infinity : text === '-inf' ? -Infinity : Number(text)
}

const decoder = new TextDecoder()

function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}
