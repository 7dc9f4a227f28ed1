/**
 * A set of block names with how often each was added, in typed arrays: 23 bytes a slot, whatever the engine does with
 * objects. Beside it a digest of each of 256 buckets, by the first byte of a name, so that two such sets are compared
 * without naming what is in them.
 */
import { BLOCK_NAME_BYTES } from './block-directory.ts'

export const BUCKETS = 256
/** Of a bucket: how many names, and the sums of two of their words. */
export const DIGEST_WORDS = 3
const WORDS = 4
const SLOTS_MIN = 64
const COUNT_MAX = 0xffff
const FREE = 0
const TOMBSTONE = 0xff

export class NameTable {
  /** Of all buckets, DIGEST_WORDS each. */
  readonly digest = new Uint32Array(BUCKETS * DIGEST_WORDS)
  #slots = SLOTS_MIN
  #words = new Uint32Array(SLOTS_MIN * WORDS)
  #counts = new Uint16Array(SLOTS_MIN)
  /** 0 free, 255 removed, otherwise the value of the name. */
  #values = new Uint8Array(SLOTS_MIN)
  #used = 0
  #size = 0
  readonly #key = new Uint32Array(WORDS)
  readonly #keyBytes = new Uint8Array(this.#key.buffer)

  /** Names that are in it. */
  get size(): number {
    return this.#size
  }

  /** HOT: 1 to 254 when the name at `at` is there, otherwise 0. Budget: 50 ns. */
  valueAt(names: Uint8Array, at: number): number {
    const slot = this.#find(names, at)
    return slot < 0 ? 0 : (this.#values[slot] ?? 0)
  }

  /** Adds the name at `at` once more, with a value of 1 to 254; whether it was not there, or had a greater value. */
  add(names: Uint8Array, at: number, value: number): boolean {
    const found = this.#find(names, at)
    if (found >= 0) {
      this.#counts[found] = Math.min(COUNT_MAX, (this.#counts[found] ?? 0) + 1)
      if ((this.#values[found] ?? 0) <= value) return false
      this.#values[found] = value
      return true
    }
    // Half full at most, removed ones counted.
    if (2 * (this.#used + 1) > this.#slots) this.#grow()
    this.#load(names, at)
    let slot = this.#start()
    while (this.#values[slot] !== FREE && this.#values[slot] !== TOMBSTONE) slot = (slot + 1) & (this.#slots - 1)
    if (this.#values[slot] === FREE) this.#used += 1
    this.#words.set(this.#key, WORDS * slot)
    this.#counts[slot] = 1
    this.#values[slot] = value
    this.#size += 1
    this.#count(1)
    return true
  }

  /** Takes the name at `at` away once, or wholly; whether it is not there any more, and was. */
  remove(names: Uint8Array, at: number, { isWhole }: { readonly isWhole: boolean }): boolean {
    const slot = this.#find(names, at)
    if (slot < 0) return false
    const count = this.#counts[slot] ?? 0
    if (count > 1 && !isWhole) {
      this.#counts[slot] = count - 1
      return false
    }
    this.#values[slot] = TOMBSTONE
    this.#size -= 1
    this.#count(-1)
    return true
  }

  /** All names of a bucket, end to end. Looks at all slots. */
  bucket(bucket: number): Uint8Array {
    const words: number[] = []
    for (let slot = 0; slot < this.#slots; slot++) {
      if (!this.#isThere(slot) || ((this.#words[WORDS * slot] ?? 0) & 0xff) !== bucket) continue
      for (let word = 0; word < WORDS; word++) words.push(this.#words[WORDS * slot + word] ?? 0)
    }
    return new Uint8Array(Uint32Array.from(words).buffer)
  }

  /** All names, in pieces of `namesMax` at most. */
  *pieces(namesMax: number): Generator<Uint8Array> {
    let words: number[] = []
    for (let slot = 0; slot < this.#slots; slot++) {
      if (!this.#isThere(slot)) continue
      for (let word = 0; word < WORDS; word++) words.push(this.#words[WORDS * slot + word] ?? 0)
      if (words.length < namesMax * WORDS) continue
      yield new Uint8Array(Uint32Array.from(words).buffer)
      words = []
    }
    if (words.length > 0) yield new Uint8Array(Uint32Array.from(words).buffer)
  }

  /** Whether a bucket holds the same names as one with this digest. */
  isBucketAlike(bucket: number, digest: Uint32Array): boolean {
    for (let word = bucket * DIGEST_WORDS; word < (bucket + 1) * DIGEST_WORDS; word++)
      if (this.digest[word] !== digest[word]) return false
    return true
  }

  #isThere(slot: number): boolean {
    const value = this.#values[slot]
    return value !== FREE && value !== TOMBSTONE
  }

  #load(names: Uint8Array, at: number): void {
    this.#keyBytes.set(names.subarray(at * BLOCK_NAME_BYTES, (at + 1) * BLOCK_NAME_BYTES))
  }

  /** Names are pieces of hashes: any bits of them are as good as any others. */
  #start(): number {
    return ((this.#key[1] ?? 0) ^ ((this.#key[2] ?? 0) << 1)) & (this.#slots - 1)
  }

  #find(names: Uint8Array, at: number): number {
    this.#load(names, at)
    const [first, second, third, fourth] = this.#key
    for (let slot = this.#start(); this.#values[slot] !== FREE; slot = (slot + 1) & (this.#slots - 1)) {
      const word = WORDS * slot
      if (
        this.#words[word] === first &&
        this.#words[word + 1] === second &&
        this.#words[word + 2] === third &&
        this.#words[word + 3] === fourth &&
        this.#values[slot] !== TOMBSTONE
      )
        return slot
    }
    return -1
  }

  #count(sign: 1 | -1): void {
    const word = DIGEST_WORDS * ((this.#key[0] ?? 0) & 0xff)
    this.digest[word] = (this.digest[word] ?? 0) + sign
    this.digest[word + 1] = (this.digest[word + 1] ?? 0) + sign * (this.#key[2] ?? 0)
    this.digest[word + 2] = (this.digest[word + 2] ?? 0) + sign * (this.#key[3] ?? 0)
  }

  #grow(): void {
    const [words, counts, values, slots] = [this.#words, this.#counts, this.#values, this.#slots]
    // What was removed is left behind: many of those, and it stays as large.
    while (4 * (this.#size + 1) > this.#slots) this.#slots *= 2
    this.#words = new Uint32Array(this.#slots * WORDS)
    this.#counts = new Uint16Array(this.#slots)
    this.#values = new Uint8Array(this.#slots)
    this.#used = this.#size
    for (let slot = 0; slot < slots; slot++) {
      const value = values[slot] ?? FREE
      if (value === FREE || value === TOMBSTONE) continue
      this.#key.set(words.subarray(WORDS * slot, WORDS * (slot + 1)))
      let to = this.#start()
      while (this.#values[to] !== FREE) to = (to + 1) & (this.#slots - 1)
      this.#words.set(this.#key, WORDS * to)
      this.#counts[to] = counts[slot] ?? 0
      this.#values[to] = value
    }
  }
}
