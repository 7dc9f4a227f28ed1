/**
 * Where the record of each key lies. Columns of numbers, since an object for each of millions of entries would take
 * three times the room: about 120 bytes an entry and its key. Heads and hashes are read from the records.
 */
import { assert } from '../core/errors.ts'

export interface DiskEntry {
  readonly sequence: number
  readonly segment: number
  readonly offset: number
  /** Of header, key and head. */
  readonly metaBytes: number
  readonly payloadBytes: number
  readonly expiresAtMs: number | null
}

const FIRST_SLOTS = 1024

export class DiskIndex {
  readonly #slotOf = new Map<string, number>()
  readonly #keys: (string | undefined)[] = []
  readonly #free: number[] = []
  #sequences = new Float64Array(FIRST_SLOTS)
  #segments = new Float64Array(FIRST_SLOTS)
  #expiries = new Float64Array(FIRST_SLOTS)
  #offsets = new Uint32Array(FIRST_SLOTS)
  #metaBytes = new Uint32Array(FIRST_SLOTS)
  #payloadBytes = new Uint32Array(FIRST_SLOTS)
  #totalPayloadBytes = 0
  #expiring = 0

  get entries(): number {
    return this.#slotOf.size
  }

  get payloadBytes(): number {
    return this.#totalPayloadBytes
  }

  /** Entries that will expire. */
  get expiring(): number {
    return this.#expiring
  }

  /** Slots, used or not: what `keyAt` can be asked for. */
  get slots(): number {
    return this.#keys.length
  }

  keyAt(slot: number): string | undefined {
    return this.#keys[slot]
  }

  /** Null when the slot is not used, or its entry has not expired. */
  expiredKeyAt(slot: number, nowMs: number): string | null {
    const key = this.#keys[slot]
    return key !== undefined && (this.#expiries[slot] ?? Number.NaN) <= nowMs ? key : null
  }

  get(key: string): DiskEntry | null {
    const slot = this.#slotOf.get(key)
    return slot === undefined ? null : this.#entryAt(slot)
  }

  set(key: string, entry: DiskEntry): void {
    let slot = this.#slotOf.get(key)
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#keys.length
      if (slot === this.#sequences.length) this.#grow()
      this.#slotOf.set(key, slot)
      this.#keys[slot] = key
    } else {
      this.#uncount(slot)
    }
    this.#sequences[slot] = entry.sequence
    this.#segments[slot] = entry.segment
    this.#offsets[slot] = entry.offset
    this.#metaBytes[slot] = entry.metaBytes
    this.#payloadBytes[slot] = entry.payloadBytes
    this.#expiries[slot] = entry.expiresAtMs ?? Number.POSITIVE_INFINITY
    this.#totalPayloadBytes += entry.payloadBytes
    if (entry.expiresAtMs !== null) this.#expiring += 1
  }

  delete(key: string): void {
    const slot = this.#slotOf.get(key)
    assert(slot !== undefined, 'a key that is not in the index was to be deleted')
    this.#uncount(slot)
    this.#slotOf.delete(key)
    this.#keys[slot] = undefined
    this.#free.push(slot)
  }

  #uncount(slot: number): void {
    this.#totalPayloadBytes -= this.#payloadBytes[slot] ?? 0
    if (this.#expiries[slot] !== Number.POSITIVE_INFINITY) this.#expiring -= 1
  }

  #entryAt(slot: number): DiskEntry {
    const expiry = this.#expiries[slot] ?? Number.NaN
    return {
      sequence: this.#sequences[slot] ?? Number.NaN,
      segment: this.#segments[slot] ?? Number.NaN,
      offset: this.#offsets[slot] ?? Number.NaN,
      metaBytes: this.#metaBytes[slot] ?? Number.NaN,
      payloadBytes: this.#payloadBytes[slot] ?? Number.NaN,
      expiresAtMs: expiry === Number.POSITIVE_INFINITY ? null : expiry,
    }
  }

  #grow(): void {
    const slots = 2 * this.#sequences.length
    this.#sequences = grown(new Float64Array(slots), this.#sequences)
    this.#segments = grown(new Float64Array(slots), this.#segments)
    this.#expiries = grown(new Float64Array(slots), this.#expiries)
    this.#offsets = grown(new Uint32Array(slots), this.#offsets)
    this.#metaBytes = grown(new Uint32Array(slots), this.#metaBytes)
    this.#payloadBytes = grown(new Uint32Array(slots), this.#payloadBytes)
  }
}

/** Of header, key, head and payload. */
export function recordBytesOf(entry: DiskEntry): number {
  return entry.metaBytes + entry.payloadBytes
}

export function isSamePut(left: DiskEntry | null, right: DiskEntry): boolean {
  return left !== null && left.sequence === right.sequence && left.segment === right.segment
}

function grown<Column extends Float64Array | Uint32Array>(wider: Column, column: Column): Column {
  wider.set(column)
  return wider
}
