/** What fragments are, as gRPC messages say it. */
import { byteDescription } from '../core/fragment-bytes.ts'
import { decodeDescription, encodeDescription } from '../core/fragment-codec.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import { MembraneError } from '../core/errors.ts'
import type { StoredEntry } from '../core/ports.ts'
import type { EntryMessage } from '../api/grpc-messages.ts'
import { PRIORITIES, type PriorityName, type RetentionHints } from '../server/fragment-head.ts'
import type { Described } from '../server/tenant-fabric.ts'

/** A whole number that came over the wire, 0 or more. Throws INVALID_REQUEST. */
export function wholeNumber(name: string, value: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value
  throw new MembraneError('INVALID_REQUEST', `${name} is a whole number from 0 to ${max}; found ${value}.`)
}

/** Of canonical JSON; of bytes without a context where there is none. Throws INVALID_FRAGMENT. */
export function readDescription(json: Uint8Array, mediaType: string): FragmentDescription {
  return json.length > 0
    ? decodeDescription(json)
    : byteDescription('artifact', mediaType === '' ? undefined : mediaType)
}

/** Throws INVALID_REQUEST. */
export function readHints(priority: string, isPinned: boolean): Partial<RetentionHints> {
  if (priority === '') return { isPinned }
  if (!Object.hasOwn(PRIORITIES, priority))
    throw new MembraneError('INVALID_REQUEST', `A priority is low, normal or high; found ${JSON.stringify(priority)}.`)
  return { isPinned, priority: PRIORITIES[priority as PriorityName] }
}

export function entryMessage(entry: Described<StoredEntry>): EntryMessage {
  const { key, contentHash, payloadBytes, description, hints, expiresAtMs } = entry
  const names = Object.keys(PRIORITIES) as PriorityName[]
  return {
    key,
    contentHash,
    payloadBytes,
    description: encodeDescription(description),
    priority: names.find((name) => PRIORITIES[name] === hints.priority) ?? '',
    isPinned: hints.isPinned,
    ...(expiresAtMs === null ? {} : { expiresAtMs }),
  }
}
