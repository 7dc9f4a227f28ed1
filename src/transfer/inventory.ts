/**
 * What a node or a tenant holds, summed up so that two nodes find their differences by exchanging few bytes: a tree over
 * the leading digits of entry ids, 16 branches a node, where each node has the number of its entries and the sum of their
 * ids. Equal sets have equal roots; where nodes differ, their children are compared (`reconcile.ts`).
 *
 * Sums of hashes that everybody can compute can be made equal on purpose (by linear algebra, or generalized birthdays),
 * and an entry hidden by that would never be copied. So ids are hashed with a secret of the fleet: who does not have it
 * knows no id, and can do no better than chance, 2^-64 for each comparison. A node that has it can lie without collisions.
 */
import { MembraneError } from '../core/errors.ts'
import type { ContentHash } from '../core/ids.ts'
import { lengthPrefixed } from '../core/length-prefixed.ts'
import { LIMITS } from '../core/limits.ts'
import type { HashFunction } from '../core/ports.ts'
import { ID_WORDS, type IdPrefix, InventoryTable } from './inventory-table.ts'

/** Branches of a node. */
export const FANOUT = 16
/** Numbers of a node: entries, and the sum of the last two words of their ids, word by word. */
export const DIGEST_WORDS = 3
/** Ids are told apart by so many leading digits at most while they are compared; what is left is listed. */
export const PREFIX_DIGITS_MAX = 8
/** Slots of the table for each stored node of the lowest level, at most: what looking closer scans. */
const LEAF_SLOTS_MAX = 16 * FANOUT
const ID_BYTES = 4 * ID_WORDS

/** One thing that is held. */
export interface InventoryEntry {
  /** 1 to LIMITS.storeKeyBytesMax bytes of UTF-8. */
  readonly key: string
  readonly contentHash: ContentHash
  readonly payloadBytes: number
}

/** What ids are made with: alike on all nodes of a fleet. */
export interface InventoryOptions {
  /** 16 bytes or more, such as BLAKE3. */
  readonly hash: HashFunction
  /** 16 to 64 bytes that only the nodes of the fleet know. */
  readonly secret: Uint8Array
}

/**
 * Entries, and the tree over their ids. An entry is one key with one content hash; under another content hash the key is
 * another entry. Adding and removing cost a hash and a step a level. A million entries take 51 MB beside the entries
 * themselves: 2^21 slots of an id and a place, and 0.8 MB of nodes.
 */
export class Inventory {
  readonly #hash: HashFunction
  /** Begins with what all entries share; used again for each. */
  readonly #message: Uint8Array
  readonly #lengths: DataView
  readonly #fixedBytes: number
  readonly #digest: Uint8Array
  readonly #words: DataView
  readonly #id = new Uint32Array(ID_WORDS)
  readonly #table = new InventoryTable<InventoryEntry>()
  /** Nodes of all prefixes of 0 to `#digits` digits, level after level. */
  #nodes = new Uint32Array(DIGEST_WORDS)
  #digits = 0

  /** Throws INVALID_CONFIG for a secret or a hash that is too short. */
  constructor({ hash, secret }: InventoryOptions) {
    if (hash.digestBytes < ID_BYTES)
      throw new MembraneError(
        'INVALID_CONFIG',
        `An inventory needs a hash of ${ID_BYTES} bytes, found ${hash.digestBytes}.`,
      )
    if (secret.length < 16 || secret.length > 64)
      throw new MembraneError('INVALID_CONFIG', `An inventory's secret has 16 to 64 bytes, found ${secret.length}.`)
    this.#hash = hash
    const fixed = lengthPrefixed(DOMAIN, [secret])
    this.#fixedBytes = fixed.length
    this.#message = new Uint8Array(fixed.length + 8 + LIMITS.storeKeyBytesMax + CONTENT_HASH_BYTES_MAX)
    this.#message.set(fixed)
    this.#lengths = new DataView(this.#message.buffer)
    this.#digest = new Uint8Array(hash.digestBytes)
    this.#words = new DataView(this.#digest.buffer)
  }

  /** Entries held, 0 to LIMITS.inventoryEntriesMax. */
  get count(): number {
    return this.#table.count
  }

  /** Whether it was new. Throws LIMIT_REACHED when it is full, INVALID_REQUEST for a key that is too long. */
  add(entry: InventoryEntry): boolean {
    if (this.count >= LIMITS.inventoryEntriesMax)
      throw new MembraneError('LIMIT_REACHED', `An inventory holds at most ${LIMITS.inventoryEntriesMax} entries.`)
    const id = this.#idOf(entry)
    if (this.#table.set(id, entry) !== null) return false
    if (this.#table.slots > LEAF_SLOTS_MAX * FANOUT ** this.#digits) this.#deepen()
    else this.#count(id, 1)
    return true
  }

  /** Whether it was there. */
  remove(entry: Pick<InventoryEntry, 'key' | 'contentHash'>): boolean {
    const id = this.#idOf(entry)
    if (!this.#table.delete(id)) return false
    this.#count(id, -1)
    return true
  }

  has(entry: Pick<InventoryEntry, 'key' | 'contentHash'>): boolean {
    return this.#table.get(this.#idOf(entry)) !== null
  }

  /** Of all entries: three words. */
  root(): Uint32Array {
    return this.#nodes.slice(0, DIGEST_WORDS)
  }

  /** Of the 16 prefixes that are one digit longer, three words each, in order. `digits` of the prefix is at most 7. */
  children(prefix: IdPrefix): Uint32Array {
    const { digits, value } = prefix
    if (digits < this.#digits) {
      const start = DIGEST_WORDS * (firstNode(digits + 1) + FANOUT * value)
      return this.#nodes.slice(start, start + DIGEST_WORDS * FANOUT)
    }
    const words = new Uint32Array(DIGEST_WORDS * FANOUT)
    this.#table.visit(prefix, (ids, at) => {
      const child = ((ids[at] ?? 0) >>> (28 - 4 * digits)) & 15
      addTo(words, DIGEST_WORDS * child, { ids, at, sign: 1 })
    })
    return words
  }

  /** How many entries have ids that begin so. */
  countOf(prefix: IdPrefix): number {
    const { digits, value } = prefix
    if (digits <= this.#digits) return this.#nodes[DIGEST_WORDS * (firstNode(digits) + value)] ?? 0
    let count = 0
    this.#table.visit(prefix, () => {
      count += 1
    })
    return count
  }

  /** Calls with the id, big-endian, in a buffer that is used again, and the entry; in no order. */
  visit(prefix: IdPrefix, visit: (id: Uint8Array, entry: InventoryEntry) => void): void {
    const id = new Uint8Array(ID_BYTES)
    const view = new DataView(id.buffer)
    this.#table.visit(prefix, (ids, at, entry) => {
      for (let word = 0; word < ID_WORDS; word++) view.setUint32(4 * word, ids[at + word] ?? 0)
      visit(id, entry)
    })
  }

  /** Whether the entry's id begins with these bytes: whoever names an entry by its id cannot be answered with another one. */
  isNamed(entry: Pick<InventoryEntry, 'key' | 'contentHash'>, idStart: Uint8Array): boolean {
    this.#idOf(entry)
    return idStart.every((byte, index) => byte === this.#digest[index])
  }

  /** The entry whose id begins with these bytes, 8 or more; null when there is none. */
  find(idStart: Uint8Array): InventoryEntry | null {
    const value = new DataView(idStart.buffer, idStart.byteOffset).getUint32(0)
    let found: InventoryEntry | null = null
    this.visit({ digits: PREFIX_DIGITS_MAX, value }, (id, entry) => {
      if (idStart.every((byte, index) => byte === id[index])) found = entry
    })
    return found
  }

  /** HOT: the hash of secret, key and content hash, each behind its length, without allocating anything. */
  #idOf({ key, contentHash }: Pick<InventoryEntry, 'key' | 'contentHash'>): Uint32Array {
    let at = this.#fixedBytes
    for (const text of [key, contentHash]) {
      const { read, written } = encoder.encodeInto(text, this.#message.subarray(at + 4))
      if (read < text.length) throw tooLong(key)
      this.#lengths.setUint32(at, written, true)
      at += 4 + written
    }
    this.#hash.digestInto(this.#message.subarray(0, at), this.#digest, 0)
    for (let word = 0; word < ID_WORDS; word++) this.#id[word] = this.#words.getUint32(4 * word)
    return this.#id
  }

  #count(ids: Uint32Array, sign: 1 | -1, at = 0): void {
    for (let digits = 0; digits <= this.#digits; digits++) {
      const prefix = digits === 0 ? 0 : (ids[at] ?? 0) >>> (32 - 4 * digits)
      addTo(this.#nodes, DIGEST_WORDS * (firstNode(digits) + prefix), { ids, at, sign })
    }
  }

  /** One level more, once there are entries enough for it. Counts all anew. */
  #deepen(): void {
    this.#digits += 1
    this.#nodes = new Uint32Array(DIGEST_WORDS * firstNode(this.#digits + 1))
    this.#table.visit({ digits: 0, value: 0 }, (ids, at) => {
      this.#count(ids, 1, at)
    })
  }
}

const DOMAIN = 'membrane inventory 1'
/** `s256:` and 64 digits. */
const CONTENT_HASH_BYTES_MAX = 69
const encoder = new TextEncoder()

function tooLong(key: string): MembraneError {
  const found = `${key.slice(0, 100)}…`
  return new MembraneError('INVALID_REQUEST', `A key takes at most ${LIMITS.storeKeyBytesMax} bytes, found ${found}`)
}

/** Nodes of all shorter prefixes: 0, 1, 17, 273, … */
function firstNode(digits: number): number {
  return (FANOUT ** digits - 1) / (FANOUT - 1)
}

interface Addend {
  readonly ids: Uint32Array
  readonly at: number
  readonly sign: 1 | -1
}

/** The prefix says nothing about the last words: all 64 bits of a sum are worth the same at every level. */
function addTo(nodes: Uint32Array, node: number, { ids, at, sign }: Addend): void {
  nodes[node] = (nodes[node] ?? 0) + sign
  nodes[node + 1] = (nodes[node + 1] ?? 0) + sign * (ids[at + 2] ?? 0)
  nodes[node + 2] = (nodes[node + 2] ?? 0) + sign * (ids[at + 3] ?? 0)
}
