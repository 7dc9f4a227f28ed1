/**
 * Reads commands out of a stream of bytes that comes in segments of any size. Nothing is joined: what lies whole in a
 * segment is a view of it, what does not gets memory of its own length and is copied there once. Whoever reads decides
 * when memory is taken: a long argument is announced before there is any for it.
 */
import { splitInline } from './resp-codec-inline.ts'
import { parseRespInteger } from './resp-codec-numbers.ts'

/** What a sender may ask of our memory; beyond, the stream is broken. */
export interface RespCommandBounds {
  readonly argumentsMax: number
  /** Of one argument. */
  readonly argumentBytesMax: number
  /** For who has not said who it is; Redis has 10 and 16,384. */
  readonly isTrusted: boolean
}

/**
 * `room`: before the reader goes on, `admit` has to say that there is memory for so many more bytes of this command.
 * `broken`: the stream makes no sense from here on; the message is what Redis says.
 */
export type RespInput =
  | { readonly kind: 'command'; readonly args: readonly Uint8Array[] }
  | { readonly kind: 'more' }
  | { readonly kind: 'room'; readonly bytes: number }
  | { readonly kind: 'broken'; readonly message: string }

/** An argument up to here is a view of its segment, where it lies whole in one; a longer one has memory of its own. */
export const RESP_VIEW_BYTES_MAX = 16 * 1024
/** What one command may take without room being asked for. */
export const RESP_UNASKED_BYTES_MAX = 256 * 1024
/** Bytes of a line: an inline command, or a number. As in Redis. */
const LINE_BYTES_MAX = 64 * 1024
const UNTRUSTED_ARGUMENTS_MAX = 10
const UNTRUSTED_BYTES_MAX = 16_384
/** Beside its bytes, an argument takes about so many. */
const ARGUMENT_OVERHEAD_BYTES = 128

const MORE: RespInput = { kind: 'more' }
const CR = 0x0d
const LF = 0x0a
const STAR = 0x2a
const DOLLAR = 0x24
const ZERO = 0x30
/** No header of an argument is longer: `$`, digits, end of line. */
const QUICK_DIGITS_MAX = 12

/** See the top of this file. `next` is asked until it says `more`; then `push` brings the next segment. */
export class RespCommandReader {
  readonly #allocate: (bytes: number) => Uint8Array
  readonly #wrote: (target: Uint8Array, start: number, end: number) => void
  #bounds: RespCommandBounds
  readonly #segments: Uint8Array[] = []
  #segment: Uint8Array = new Uint8Array(0)
  /** The memory of the segment is used again once it was read. */
  #isShared = false
  #at = 0
  #bufferedBytes = 0
  /** A line of which the rest is still to come, a character a byte. */
  #lineStart = ''
  #args: Uint8Array[] = []
  #argsLeft = 0
  /** Length of the argument that is being read, once its header is. */
  #argumentBytes = -1
  /** Where its bytes go when they do not lie in one segment. */
  #target: Uint8Array | null = null
  #filledBytes = 0
  #unaskedBytes = 0
  #isRoomAsked = false
  #broken: RespInput | null = null

  /**
   * `allocate` gives the memory of arguments that are not views; it need not be zeroed, all of it is written. `wrote` is
   * told of each part as it is written there, from the first byte on.
   */
  constructor(
    allocate: (bytes: number) => Uint8Array,
    bounds: RespCommandBounds,
    wrote: (target: Uint8Array, start: number, end: number) => void = () => {},
  ) {
    this.#allocate = allocate
    this.#bounds = bounds
    this.#wrote = wrote
  }

  /** From the next argument on. */
  set bounds(bounds: RespCommandBounds) {
    this.#bounds = bounds
  }

  /** Of segments that were pushed and not read. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** Whether a command has begun and not ended. */
  get isHalfThere(): boolean {
    return this.#argsLeft > 0 || this.#lineStart !== '' || this.#bufferedBytes > 0
  }

  /** Bytes that the command that has begun says it still has; at least. */
  get missingBytes(): number {
    return Math.max(0, this.#argumentBytes - this.#filledBytes)
  }

  /**
   * Where the next bytes belong, at most so many, when they are all of one long argument: whoever reads them there saves
   * a copy, and says so by `placed`. Null for anything else.
   */
  place(bytesMax: number): Uint8Array | null {
    if (this.#target === null || this.#filledBytes >= this.#argumentBytes || this.#hasByte()) return null
    return this.#target.subarray(this.#filledBytes, Math.min(this.#argumentBytes, this.#filledBytes + bytesMax))
  }

  /** So many bytes were written to the place that was given last, before anything else was pushed. */
  placed(bytes: number): void {
    if (this.#target === null) return
    this.#wrote(this.#target, this.#filledBytes, this.#filledBytes + bytes)
    this.#filledBytes += bytes
  }

  /** The segment is the reader's from now on: short arguments are views of it. */
  push(segment: Uint8Array): void {
    if (segment.length === 0) return
    this.#bufferedBytes += segment.length
    if (this.#hasByte()) this.#segments.push(segment)
    else this.#take(segment, false)
  }

  /** The segment's memory may be used again after `settle`: what is kept of it is copied. */
  pushShared(segment: Uint8Array): void {
    if (this.#hasByte()) {
      this.push(copyOf(segment, 0, segment.length))
      return
    }
    this.#bufferedBytes += segment.length
    this.#take(segment, true)
  }

  /** Copies what was not read of a shared segment. */
  settle(): void {
    if (!this.#isShared) return
    this.#take(copyOf(this.#segment, this.#at, this.#segment.length), false)
  }

  #take(segment: Uint8Array, isShared: boolean): void {
    this.#segment = segment
    this.#isShared = isShared
    this.#at = 0
  }

  /** There is memory for what the last `room` asked. */
  admit(): void {
    this.#isRoomAsked = false
    this.#unaskedBytes = 0
    if (this.#argumentBytes > RESP_VIEW_BYTES_MAX) this.#target = this.#allocate(this.#argumentBytes)
  }

  /** HOT: once for every command, and once for every segment of a long argument. */
  next(): RespInput {
    if (this.#broken !== null) return this.#broken
    if (this.#isRoomAsked) return { kind: 'room', bytes: this.#unaskedBytes }
    while (this.#argsLeft === 0) {
      const began = this.#begin()
      if (began !== null) return began
    }
    while (this.#argsLeft > 0) {
      if (this.#argumentBytes < 0) {
        const stop = this.#readArgumentHeader()
        if (stop !== null) return stop
      }
      const stop = this.#readArgument()
      if (stop !== null) return stop
    }
    const args = this.#args
    this.#args = []
    this.#unaskedBytes = 0
    return { kind: 'command', args }
  }

  /** Reads the first line of a command. Null when there may be more to do: an array began, or the line was empty. */
  #begin(): RespInput | null {
    if (!this.#hasByte()) return MORE
    const isArray = this.#lineStart === '' ? this.#segment[this.#at] === STAR : this.#lineStart.startsWith('*')
    if (isArray) {
      const count = this.#readNumber('mbulk')
      if (typeof count !== 'number') return count ?? this.#break('invalid multibulk length')
      const { argumentsMax, isTrusted } = this.#bounds
      if (count > argumentsMax) return this.#break('invalid multibulk length')
      if (count > UNTRUSTED_ARGUMENTS_MAX && !isTrusted) return this.#break('unauthenticated multibulk length')
      this.#argsLeft = Math.max(0, count)
      return null
    }
    const line = this.#readLine()
    if (line === null) return this.#lineStart.length > LINE_BYTES_MAX ? this.#break('too big inline request') : MORE
    const words = splitInline(line)
    if (words === null) return this.#break('unbalanced quotes in request')
    if (words.length === 0) return null
    return { kind: 'command', args: words.map((word) => Uint8Array.from(word, (letter) => letter.charCodeAt(0))) }
  }

  #readArgumentHeader(): RespInput | null {
    if (!this.#hasByte()) return MORE
    const first = this.#lineStart === '' ? this.#segment[this.#at] : this.#lineStart.charCodeAt(0)
    if (first !== DOLLAR) return this.#break(`expected '$', got '${printable(first ?? 0)}'`)
    const bytes = this.#readNumber('bulk')
    if (typeof bytes !== 'number') return bytes ?? this.#break('invalid bulk length')
    if (bytes < 0 || bytes > this.#bounds.argumentBytesMax) return this.#break('invalid bulk length')
    if (bytes > UNTRUSTED_BYTES_MAX && !this.#bounds.isTrusted) return this.#break('unauthenticated bulk length')
    this.#argumentBytes = bytes
    this.#filledBytes = 0
    this.#unaskedBytes += bytes + ARGUMENT_OVERHEAD_BYTES
    if (bytes <= RESP_VIEW_BYTES_MAX && this.#unaskedBytes <= RESP_UNASKED_BYTES_MAX) return null
    this.#isRoomAsked = true
    return { kind: 'room', bytes: this.#unaskedBytes }
  }

  /** Null when the argument is whole. */
  #readArgument(): RespInput | null {
    const bytes = this.#argumentBytes
    if (this.#filledBytes < bytes || this.#target === null) {
      const available = this.#segment.length - this.#at
      if (this.#target === null && available >= bytes) {
        const end = this.#at + bytes
        this.#target = this.#isShared ? copyOf(this.#segment, this.#at, end) : this.#segment.subarray(this.#at, end)
        this.#advance(bytes)
        this.#filledBytes = bytes
      } else {
        this.#target ??= this.#allocate(bytes)
        this.#fill(this.#target)
        if (this.#filledBytes < bytes) return MORE
      }
    }
    // The end of line is checked, which Redis does not: a length that lies is found before anything is done with it.
    while (this.#filledBytes < bytes + 2) {
      if (!this.#hasByte()) return MORE
      const expected = this.#filledBytes === bytes ? CR : LF
      if (this.#segment[this.#at] !== expected) return this.#break('expected CRLF after bulk')
      this.#advance(1)
      this.#filledBytes += 1
    }
    this.#args.push(this.#target)
    this.#target = null
    this.#argumentBytes = -1
    this.#filledBytes = 0
    this.#argsLeft -= 1
    return null
  }

  #fill(target: Uint8Array): void {
    while (this.#filledBytes < target.length && this.#hasByte()) {
      const end = Math.min(this.#segment.length, this.#at + target.length - this.#filledBytes)
      target.set(this.#segment.subarray(this.#at, end), this.#filledBytes)
      this.#wrote(target, this.#filledBytes, this.#filledBytes + end - this.#at)
      this.#filledBytes += end - this.#at
      this.#advance(end - this.#at)
    }
  }

  /** The number of a line, after its first character; null for one that is none. */
  #readNumber(what: 'mbulk' | 'bulk'): number | RespInput | null {
    const quick = this.#lineStart === '' ? this.#quickNumber() : -1
    if (quick >= 0) return quick
    const line = this.#readLine()
    if (line === null)
      return this.#lineStart.length > LINE_BYTES_MAX ? this.#break(`too big ${what} count string`) : MORE
    return parseRespInteger(
      Uint8Array.from(line, (letter) => letter.charCodeAt(0)),
      1,
    )
  }

  /** HOT: a number whose line lies whole in the segment, as nearly all do; else -1, and nothing is read. */
  #quickNumber(): number {
    const segment = this.#segment
    const first = this.#at + 1
    const end = Math.min(first + QUICK_DIGITS_MAX, segment.length)
    let at = first
    let value = 0
    for (; at < end; at++) {
      const digit = (segment[at] ?? 0) - ZERO
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (at === first || segment[at] !== CR || segment[at + 1] !== LF) return -1
    if (segment[first] === ZERO && at > first + 1) return -1
    this.#advance(at + 2 - this.#at)
    return value
  }

  /** A line without its end, a character a byte; null while its end has not come. */
  #readLine(): string | null {
    while (this.#hasByte()) {
      const found = this.#segment.indexOf(LF, this.#at)
      const end = Math.min(found < 0 ? this.#segment.length : found, this.#at + LINE_BYTES_MAX + 1)
      for (let at = this.#at; at < end; at++) this.#lineStart += String.fromCharCode(this.#segment[at] ?? 0)
      this.#advance(end - this.#at)
      if (this.#lineStart.length > LINE_BYTES_MAX) return null
      if (found < 0) continue
      this.#advance(1)
      const line = this.#lineStart
      this.#lineStart = ''
      return line.endsWith('\r') ? line.slice(0, -1) : line
    }
    return null
  }

  #hasByte(): boolean {
    while (this.#at >= this.#segment.length) {
      const segment = this.#segments.shift()
      if (segment === undefined) return false
      this.#take(segment, false)
    }
    return true
  }

  #advance(bytes: number): void {
    this.#at += bytes
    this.#bufferedBytes -= bytes
  }

  #break(message: string): RespInput {
    this.#broken = { kind: 'broken', message: `Protocol error: ${message}` }
    this.#args = []
    this.#target = null
    this.#segments.length = 0
    this.#take(new Uint8Array(0), false)
    this.#bufferedBytes = 0
    return this.#broken
  }
}

function printable(code: number): string {
  return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : `\\x${code.toString(16).padStart(2, '0')}`
}

/** Node's buffers have a `slice` that does not copy. */
function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes, start, end)
}
