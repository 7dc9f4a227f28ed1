/**
 * What entries are called that another node named by their ids, on the wire:
 *
 *   request   'M' 'N' 1 | number of ids | each: its length, 8 to 12, and the bytes that it begins with
 *   response  'M' 'E' 1 | one for each id: 0 not here, or 1 | length of the key | key, UTF-8 | content hash | payload bytes
 */
import { LIMITS } from '../core/limits.ts'
import { PREFIX_DIGITS_MAX, type Inventory, type InventoryEntry } from './inventory.ts'
import { LISTED_BYTES } from './inventory-messages.ts'
import { readContentHash, writeContentHash } from './manifest-codec.ts'
import { WireReader } from './wire-reader.ts'
import { WireWriter } from './wire-writer.ts'

const REQUEST = Uint8Array.of(0x4d, 0x4e, 1)
const RESPONSE = Uint8Array.of(0x4d, 0x45, 1)
const ID_BYTES_MAX = LISTED_BYTES + PREFIX_DIGITS_MAX / 2

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** At most LIMITS.inventoryEntriesAskedMax ids. */
export function encodeIds(ids: readonly Uint8Array[]): Uint8Array {
  const writer = new WireWriter()
  writer.raw(REQUEST)
  writer.varint(ids.length)
  for (const id of ids) {
    writer.byte(id.length)
    writer.raw(id)
  }
  return writer.written()
}

/** Throws INVALID_REQUEST for anything that `encodeIds` does not write. */
export function decodeIds(bytes: Uint8Array): readonly Uint8Array[] {
  const reader = new WireReader(bytes, 'A question about entries')
  reader.magic(REQUEST)
  const count = reader.varint('the number of ids', LIMITS.inventoryEntriesAskedMax)
  const ids = Array.from({ length: count }, () =>
    reader.raw('an id', reader.varint('the length of an id', ID_BYTES_MAX, LISTED_BYTES)),
  )
  reader.end()
  return ids
}

/** The response to `encodeIds` of another node. Throws INVALID_REQUEST. */
export function answerEntries(inventory: Inventory, request: Uint8Array): Uint8Array {
  const writer = new WireWriter(1024)
  writer.raw(RESPONSE)
  for (const id of decodeIds(request)) {
    const entry = inventory.find(id)
    writer.byte(entry === null ? 0 : 1)
    if (entry === null) continue
    const key = encoder.encode(entry.key)
    writer.varint(key.length)
    writer.raw(key)
    writeContentHash(writer, entry.contentHash)
    writer.varint(entry.payloadBytes)
  }
  return writer.written()
}

/** One for each id, in order; null for what is there no more. Throws INVALID_REQUEST for anything that `answerEntries` does not write. */
export function decodeEntries(bytes: Uint8Array, count: number): readonly (InventoryEntry | null)[] {
  const reader = new WireReader(bytes, 'An answer about entries')
  reader.magic(RESPONSE)
  const entries = Array.from({ length: count }, () => readEntry(reader))
  reader.end()
  return entries
}

function readEntry(reader: WireReader): InventoryEntry | null {
  const form = reader.byte('whether an entry is there')
  if (form === 0) return null
  if (form !== 1) throw reader.invalid('an entry is there or not')
  const keyBytes = reader.raw('a key', reader.varint('the length of a key', LIMITS.storeKeyBytesMax, 1))
  const contentHash = readContentHash(reader)
  const payloadBytes = reader.varint('the size of a payload', LIMITS.payloadBytesMax)
  try {
    return { key: decoder.decode(keyBytes), contentHash, payloadBytes }
  } catch {
    throw reader.invalid('a key is not UTF-8')
  }
}
