/** What a RESP server answers, and how it is written in version 2 and 3 of the protocol. */
import { assert, unreachable } from '../core/errors.ts'

/** What is said with words of version 3 is said with those of version 2 to a client that has not asked for it. */
export type RespReply =
  | { readonly kind: 'status'; readonly text: string }
  /** Its first word is what clients branch on. One line. */
  | { readonly kind: 'error'; readonly text: string }
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'null' }
  | { readonly kind: 'array'; readonly items: readonly RespReply[] }
  | { readonly kind: 'set'; readonly items: readonly RespReply[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [RespReply, RespReply])[] }

/** Of the protocol: 2, until a client asks for 3 with HELLO. */
export type RespVersion = 2 | 3

export const RESP_OK: RespReply = { kind: 'status', text: 'OK' }
export const RESP_NULL: RespReply = { kind: 'null' }

export function respInteger(value: number): RespReply {
  return { kind: 'integer', value }
}

export function respText(text: string): RespReply {
  return { kind: 'text', text }
}

export function respArray(items: readonly RespReply[]): RespReply {
  return { kind: 'array', items }
}

/** An error in one line, whatever is in the text. */
export function respError(text: string): RespReply {
  return { kind: 'error', text: text.replace(/[\r\n]+/g, ' ') }
}

/** Longer bytes are passed on as they are; shorter ones are copied, so that many replies leave in one write. */
export const RESP_COPIED_BYTES_MAX = 8 * 1024
const BLOCK_BYTES = 32 * 1024
/** Type, sign, digits and end of line of any number. */
const NUMBER_BYTES_MAX = 32
const encoder = new TextEncoder()

/**
 * Writes replies one after another; `take` gives what was written, in pieces. A piece may be bytes that were handed in:
 * they must stay as they are until they are sent. The line before bytes is never split between pieces.
 */
export class RespReplyWriter {
  version: RespVersion = 2
  #block = new Uint8Array(BLOCK_BYTES)
  #start = 0
  #end = 0
  #pieces: Uint8Array[] = []

  /** HOT: once for every reply. */
  write(reply: RespReply): void {
    switch (reply.kind) {
      case 'status':
        this.#line('+', reply.text)
        return
      case 'error':
        this.#line('-', reply.text)
        return
      case 'integer':
        this.#line(':', String(reply.value))
        return
      case 'bytes':
        this.#bytes(reply.bytes)
        return
      case 'text':
        this.#text(reply.text)
        return
      case 'null':
        this.#ascii(this.version === 2 ? '$-1\r\n' : '_\r\n')
        return
      case 'array':
        this.arrayStart(reply.items.length)
        for (const item of reply.items) this.write(item)
        return
      case 'set':
        this.#line(this.version === 2 ? '*' : '~', String(reply.items.length))
        for (const item of reply.items) this.write(item)
        return
      case 'map':
        this.#line(
          this.version === 2 ? '*' : '%',
          String(this.version === 2 ? 2 * reply.entries.length : reply.entries.length),
        )
        for (const [key, value] of reply.entries) {
          this.write(key)
          this.write(value)
        }
        return
      default:
        unreachable(reply)
    }
  }

  /** The beginning of bytes that come from elsewhere, and after them `bytesEnd`. */
  bytesStart(length: number): void {
    this.#line('$', String(length))
  }

  bytesEnd(): void {
    this.#ascii('\r\n')
  }

  /** The beginning of an array whose items are written after it. */
  arrayStart(items: number): void {
    this.#line('*', String(items))
  }

  /** What was written since it was last taken. */
  take(): readonly Uint8Array[] {
    this.#cut()
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }

  #text(text: string): void {
    if (isAscii(text)) {
      this.#line('$', String(text.length))
      this.#ascii(text)
      this.#ascii('\r\n')
    } else this.#bytes(encoder.encode(text))
  }

  #bytes(bytes: Uint8Array): void {
    this.#line('$', String(bytes.length))
    if (bytes.length <= RESP_COPIED_BYTES_MAX) {
      this.#reserve(bytes.length)
      this.#block.set(bytes, this.#end)
      this.#end += bytes.length
    } else {
      this.#cut()
      this.#pieces.push(bytes)
    }
    this.#ascii('\r\n')
  }

  #line(type: string, text: string): void {
    this.#ascii(isAscii(text) ? `${type}${text}\r\n` : `${type}${text.replace(/[^\x20-\x7e]/g, '?')}\r\n`)
  }

  #ascii(text: string): void {
    this.#reserve(Math.max(text.length, NUMBER_BYTES_MAX))
    const block = this.#block
    let end = this.#end
    for (let at = 0; at < text.length; at++) block[end++] = text.charCodeAt(at)
    this.#end = end
  }

  /** Room for so many bytes in one piece. What was written may be on its way, so a block is not written to again. */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#block.length) return
    this.#cut()
    this.#block = new Uint8Array(Math.max(BLOCK_BYTES, bytes))
    this.#start = 0
    this.#end = 0
  }

  #cut(): void {
    assert(this.#start <= this.#end, 'a block is written forwards')
    if (this.#start === this.#end) return
    this.#pieces.push(this.#block.subarray(this.#start, this.#end))
    this.#start = this.#end
  }
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false
  return true
}
