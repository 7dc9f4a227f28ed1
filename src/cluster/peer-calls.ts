/** How nodes talk: a named message with fields and bytes, and one such for an answer. */
import { MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { type Fields, fieldsOf } from './fields.ts'
import { CLUSTER_FORMAT } from './member.ts'

/** Fields are JSON values; whoever reads passes over those that it does not know. */
export interface PeerMessage {
  /** Lower-case letters and dashes: `probe`, `find`, … */
  readonly kind: string
  readonly fields: Fields
  /** What would be long as JSON; often empty. */
  readonly bytes: Uint8Array
}

export interface PeerCallOptions {
  readonly signal?: AbortSignal | undefined
  /** From the call on, to the end of the answer. */
  readonly timeoutSeconds: number
  /** For whom it is asked; the credential of the call says so. Null: for the node itself. */
  readonly tenant: TenantId | null
}

/**
 * Sends messages. Throws PEER_UNAVAILABLE when no answer comes in time or no connection, ABORTED, and what the other
 * node answers. Nothing is tried again here.
 */
export interface PeerCalls {
  /** `address` is host:port. */
  call(address: string, message: PeerMessage, options: PeerCallOptions): Promise<PeerMessage>
}

/** Who asks: a node of the cluster, for a tenant or for itself. */
export interface PeerCaller {
  readonly tenant: TenantId
}

/** Answers one kind of message. Throws MembraneErrors, which the other node is told. */
export type PeerHandler = (message: PeerMessage, caller: PeerCaller) => Promise<PeerMessage>

/** By kind. Each part of a node adds its own when it begins. */
export class PeerHandlers {
  readonly #handlers = new Map<string, PeerHandler>()

  /** What it gives takes the handler away. */
  on(kind: string, handler: PeerHandler): () => void {
    this.#handlers.set(kind, handler)
    return () => void this.#handlers.delete(kind)
  }

  /** Throws NOT_SUPPORTED for a kind that nobody answers: of a newer version, or of a part that is not in use here. */
  answer(message: PeerMessage, caller: PeerCaller): Promise<PeerMessage> {
    const handler = this.#handlers.get(message.kind)
    if (handler === undefined)
      throw new MembraneError('NOT_SUPPORTED', `This node does not answer messages of kind ${message.kind}.`)
    return handler(message, caller)
  }
}

const NO_BYTES = new Uint8Array(0)

/** A message, or an answer, of fields alone or with bytes. */
export function peerMessage(kind: string, fields: Fields = {}, bytes: Uint8Array = NO_BYTES): PeerMessage {
  return { kind, fields, bytes }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })
const HEADER_BYTES = 12
const KIND = /^[a-z][a-z-]{0,39}$/

/**
 * Format (u16), 0 (u16), length of the JSON (u32), checksum of what follows (u32), all little-endian; the JSON, with
 * `kind` among its fields; the bytes.
 */
export function encodePeerMessage({ kind, fields, bytes }: PeerMessage): Uint8Array {
  const json = encoder.encode(JSON.stringify({ ...fields, kind }))
  const message = new Uint8Array(HEADER_BYTES + json.length + bytes.length)
  const view = new DataView(message.buffer)
  view.setUint16(0, CLUSTER_FORMAT, true)
  view.setUint32(4, json.length, true)
  message.set(json, HEADER_BYTES)
  message.set(bytes, HEADER_BYTES + json.length)
  view.setUint32(8, checksum(message), true)
  return message
}

/** `bytes` is a view of `message`. Throws NOT_SUPPORTED for a newer format, INVALID_REQUEST for what is no message. */
export function decodePeerMessage(message: Uint8Array): PeerMessage {
  if (message.length < HEADER_BYTES) throw notAMessage(`${message.length} bytes`)
  const view = new DataView(message.buffer, message.byteOffset, message.length)
  const format = view.getUint16(0, true)
  if (format > CLUSTER_FORMAT)
    throw new MembraneError(
      'NOT_SUPPORTED',
      `The message has format ${format}; this version reads up to ${CLUSTER_FORMAT}.`,
      { remedy: 'Update this node, or let the newer one speak the older format.' },
    )
  const jsonBytes = view.getUint32(4, true)
  if (format === 0 || jsonBytes > LIMITS.clusterFieldsBytesMax || HEADER_BYTES + jsonBytes > message.length)
    throw notAMessage(`a beginning that says format ${format} and ${jsonBytes} bytes of fields`)
  if (view.getUint32(8, true) !== checksum(message)) throw notAMessage('bytes that were damaged on the way')
  let fields: Fields
  try {
    fields = fieldsOf(JSON.parse(decoder.decode(message.subarray(HEADER_BYTES, HEADER_BYTES + jsonBytes))), 'a message')
  } catch (cause) {
    throw notAMessage('fields that are no JSON object', cause)
  }
  const { kind } = fields
  if (typeof kind !== 'string' || !KIND.test(kind)) throw notAMessage('no kind')
  return { kind, fields, bytes: message.subarray(HEADER_BYTES + jsonBytes) }
}

/** FNV-1a, 32 bits, over all but the header: no change of a single byte goes unseen, and it is no defence against anybody. */
function checksum(message: Uint8Array): number {
  let sum = 0x811c9dc5
  for (let at = HEADER_BYTES; at < message.length; at++) sum = Math.imul(sum ^ (message[at] ?? 0), 0x01000193)
  return sum >>> 0
}

function notAMessage(found: string, cause?: unknown): MembraneError {
  return new MembraneError('INVALID_REQUEST', `A message of a node was expected; found ${found}.`, { cause })
}
