/**
 * HOT: chunks of payloads (`bytes data = 1; uint64 offset = 2`) as protobuf, by hand: the generated code copies and
 * looks at field descriptions, and takes more than twice as long. Ordinary protobuf on the wire; whatever is not written
 * in this plainest way is left to the generated code. Budget: one copy out, none in.
 */
import type { ChunkMessage } from './grpc-messages.ts'

const DATA_TAG = 0x0a
const OFFSET_TAG = 0x10
/** Of a varint whose value a number holds exactly. */
const VARINT_BYTES_MAX = 8

export function encodeChunk({ data, offset }: ChunkMessage): Buffer {
  const target = Buffer.allocUnsafe(
    1 + varintBytes(data.length) + data.length + (offset === 0 ? 0 : 1 + varintBytes(offset)),
  )
  target[0] = DATA_TAG
  let at = writeVarint(target, 1, data.length)
  target.set(data, at)
  at += data.length
  if (offset > 0) {
    target[at] = OFFSET_TAG
    writeVarint(target, at + 1, offset)
  }
  return target
}

/** A chunk whose data is a view of `message`; null for a message with other fields, or in another order. */
export function decodeChunk(message: Buffer): ChunkMessage | null {
  if (message[0] !== DATA_TAG) return null
  const length = readVarint(message, 1)
  if (length === null) return null
  const end = length.at + length.value
  if (end > message.length) return null
  const data = message.subarray(length.at, end)
  if (end === message.length) return { data, offset: 0 }
  if (message[end] !== OFFSET_TAG) return null
  const offset = readVarint(message, end + 1)
  return offset?.at === message.length ? { data, offset: offset.value } : null
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes += 1
  return bytes
}

function writeVarint(target: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[at++] = (rest % 0x80) | 0x80
  target[at] = rest
  return at + 1
}

function readVarint(source: Uint8Array, start: number): { readonly value: number; readonly at: number } | null {
  let value = 0
  let scale = 1
  for (let at = start; at < start + VARINT_BYTES_MAX; at++, scale *= 0x80) {
    const byte = source[at]
    if (byte === undefined) return null
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return Number.isSafeInteger(value) ? { value, at: at + 1 } : null
  }
  return null
}
