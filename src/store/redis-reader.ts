/** Reads entries from Redis: whole, in part, or their beginnings, and tells what is found from what is missing or damaged. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan, Clock, GetOptions, StoredEntry, StoredFragment } from '../core/ports.ts'
import { checkInto, isExpired, spanWithin } from './arguments.ts'
import { type RedisClient, type Reply, WRONG_TYPE } from './redis-client.ts'
import type { RedisKeys } from './redis-keys.ts'
import { entryOf, FIXED_BYTES, readStart, type ValueStart } from './redis-value.ts'

/** Heads up to here come with the first round trip. */
const HEAD_GUESS_BYTES = 2048
/** How often a span is read again because its entry was replaced between the two round trips. */
const ATTEMPTS = 4

/** What lies at the beginning of a value. */
export type Beginning = Found | { readonly kind: 'missing' } | { readonly kind: 'damaged' }

interface Found {
  readonly kind: 'found'
  readonly start: ValueStart
  /** What was read after the fixed part. */
  readonly rest: Buffer
}

export interface RedisReaderPorts {
  readonly keys: RedisKeys
  readonly clock: Clock
  /** For payloads. */
  readonly bulk: RedisClient
  /** For all else. */
  readonly quick: RedisClient
  readonly onDamaged: () => void
}

export class RedisReader {
  readonly #ports: RedisReaderPorts

  constructor(ports: RedisReaderPorts) {
    this.#ports = ports
  }

  /** One round trip. */
  async whole(key: string, into: Uint8Array | undefined): Promise<StoredFragment | null> {
    const { bulk, keys } = this.#ports
    // How much will come is not known; a server that goes silent ends it early.
    const [reply = null] = await bulk.each('read a value', LIMITS.redisValueBytesMax, [['get', keys.of(key)]])
    const found = this.#live(beginningOf(key, reply))
    if (found === null) return null
    const { start, rest } = found
    const entry = entryOf(key, start, rest.subarray(0, start.headBytes))
    const payload = rest.subarray(start.headBytes)
    if (entry === null || payload.length !== start.payloadBytes) return this.#damaged()
    checkInto(into, payload.length)
    return { ...entry, payload }
  }

  /** Two round trips: where the payload begins is known only after the first. */
  async part(key: string, { span, into }: GetOptions): Promise<StoredFragment | null> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const begun = await this.begin(key)
      if (begun === null) return null
      const { start: from, end } = spanWithin(span, begun.entry)
      checkInto(into, end - from)
      const payload = await this.payloadPart(key, begun.start, { start: from, end })
      if (payload === null) continue
      return payload.length === end - from ? { ...begun.entry, payload } : this.#damaged()
    }
    throw entryChanged(key)
  }

  /** A part of the payload of the put that `start` is of; null when that is no longer there. One round trip. */
  async payloadPart(key: string, start: ValueStart, span: ByteSpan): Promise<Buffer | null> {
    const { bulk, keys } = this.#ports
    const bytes = span.end - span.start
    const first = FIXED_BYTES + start.headBytes + span.start
    // The end is inclusive, so that no range is empty: one byte is asked for and left.
    const range = ['getrange', keys.of(key), first, first + Math.max(1, bytes) - 1] as const
    const [fixed = null, part = null] = await bulk.atomic('read a part', bytes, [keys.startCommand(key, 0), range])
    if (!isBytes(fixed) || !fixed.equals(start.bytes)) return null
    return isBytes(part) ? part.subarray(0, bytes) : null
  }

  /** One round trip, two for a long head. */
  async begin(key: string): Promise<{ readonly entry: StoredEntry; readonly start: ValueStart } | null> {
    let found = await this.#beginning(key, HEAD_GUESS_BYTES)
    if (found !== null && found.rest.length < found.start.headBytes) {
      found = await this.#beginning(key, LIMITS.storeHeadBytesMax)
    }
    if (found === null) return null
    const { start, rest } = found
    const entry = entryOf(key, start, rest.subarray(0, start.headBytes))
    return entry === null ? this.#damaged() : { entry, start }
  }

  /** Whether the value has the length that its beginning says. */
  async isWhole(key: string, { headBytes, payloadBytes }: ValueStart): Promise<boolean> {
    const [length] = await this.#ports.quick.each('read a length', 0, [['strlen', this.#ports.keys.of(key)]])
    return length === FIXED_BYTES + headBytes + payloadBytes
  }

  /** One round trip, and one more for each long head. Keys whose entries are gone are left out. */
  async entries(keys: readonly string[]): Promise<readonly StoredEntry[]> {
    const beginnings = await this.#beginnings(keys, HEAD_GUESS_BYTES)
    const entries: StoredEntry[] = []
    for (const [index, key] of keys.entries()) {
      const found = beginnings[index] ?? null
      if (found === null) continue
      const { start, rest } = found
      if (rest.length < start.headBytes) {
        const begun = await this.begin(key)
        if (begun !== null) entries.push(begun.entry)
      } else {
        const entry = entryOf(key, start, rest.subarray(0, start.headBytes)) ?? this.#damaged()
        if (entry !== null) entries.push(entry)
      }
    }
    return entries
  }

  /** One round trip. */
  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    return (await this.#beginnings(keys, 0)).map((found) => found !== null)
  }

  isLive(beginning: Beginning): beginning is Found {
    return beginning.kind === 'found' && !isExpired(beginning.start, this.#ports.clock.nowMs())
  }

  /** Null for what is missing or expired, and for what is damaged, which is counted. */
  #live(beginning: Beginning): Found | null {
    if (beginning.kind === 'damaged') return this.#damaged()
    return this.isLive(beginning) ? beginning : null
  }

  async #beginning(key: string, headBytes: number): Promise<Found | null> {
    const [found = null] = await this.#beginnings([key], headBytes)
    return found
  }

  async #beginnings(keys: readonly string[], headBytes: number): Promise<readonly (Found | null)[]> {
    const commands = keys.map((key) => this.#ports.keys.startCommand(key, headBytes))
    const replies = await this.#ports.quick.each('read entries', 0, commands)
    return keys.map((key, index) => this.#live(beginningOf(key, replies[index] ?? null)))
  }

  #damaged(): null {
    this.#ports.onDamaged()
    return null
  }
}

export function beginningOf(key: string, reply: Reply): Beginning {
  if (reply === WRONG_TYPE) return { kind: 'damaged' }
  if (!isBytes(reply) || reply.length === 0) return { kind: 'missing' }
  const start = readStart(key, reply)
  return start === null ? { kind: 'damaged' } : { kind: 'found', start, rest: reply.subarray(FIXED_BYTES) }
}

export function entryChanged(key: string): MembraneError {
  const message = 'The entry was replaced or removed while it was read.'
  return new MembraneError('STORE_UNAVAILABLE', message, { details: { key }, remedy: 'Read it again.' })
}

function isBytes(reply: Reply): reply is Buffer {
  return reply instanceof Buffer
}
