/**
 * HOT: finds what a prompt has in common with another one: the beginning, the end, and between them runs that begin with
 * some block of the base, found by a rolling hash. Budget: 10 ms for 131,072 tokens against as many; linear whatever the
 * tokens are, since each token is compared with few of the base before it is copied or passed.
 */

/** `length` tokens from `start` of the prompt on are those from `from` on of the base. */
export interface CopiedRun {
  readonly start: number
  readonly from: number
  readonly length: number
}

/** Shorter runs are not looked for: a run takes up to 8 bytes, a token up to 3. */
const BLOCK_TOKENS = 16
/** Whoever chooses tokens can crowd a place of the table: what finds no room in so many is not found. */
const PROBES_MAX = 16
const FACTOR = 0x9e3779b1
/** FACTOR to the power of BLOCK_TOKENS - 1, modulo 2^32: what the token that leaves the window counts. */
const LEAVING = power(FACTOR, BLOCK_TOKENS - 1)

/** In the order of the prompt, without overlaps there. */
export function copiedRuns(tokenIds: Uint32Array, base: Uint32Array): readonly CopiedRun[] {
  const shorter = Math.min(tokenIds.length, base.length)
  let prefix = 0
  while (prefix < shorter && tokenIds[prefix] === base[prefix]) prefix += 1
  let suffix = 0
  while (suffix < shorter - prefix && tokenIds[tokenIds.length - 1 - suffix] === base[base.length - 1 - suffix])
    suffix += 1
  const runs: CopiedRun[] = []
  const keep = (run: CopiedRun): void => {
    if (run.length >= BLOCK_TOKENS) runs.push(run)
  }
  keep({ start: 0, from: 0, length: prefix })
  // What is not worth a copy is looked at with the rest.
  const start = prefix >= BLOCK_TOKENS ? prefix : 0
  const end = suffix >= BLOCK_TOKENS ? tokenIds.length - suffix : tokenIds.length
  if (end - start >= BLOCK_TOKENS && base.length >= BLOCK_TOKENS) findRuns({ tokenIds, base, start, end }, runs)
  keep({ start: tokenIds.length - suffix, from: base.length - suffix, length: suffix })
  return runs
}

interface Stretch {
  readonly tokenIds: Uint32Array
  readonly base: Uint32Array
  readonly start: number
  readonly end: number
}

function findRuns({ tokenIds, base, start, end }: Stretch, runs: CopiedRun[]): void {
  const blocks = new BlockTable(base)
  /** What is before has been copied, or is at the start. */
  let free = start
  let at = start
  let hash = hashOf(tokenIds, at)
  for (;;) {
    const from = blocks.find(hash, tokenIds, at)
    if (from === null) {
      if (at + BLOCK_TOKENS >= end) return
      hash =
        Math.imul(hash - Math.imul(mixed(tokenIds[at] ?? 0), LEAVING), FACTOR) + mixed(tokenIds[at + BLOCK_TOKENS] ?? 0)
      at += 1
      continue
    }
    let back = 0
    while (at - back > free && from - back > 0 && tokenIds[at - back - 1] === base[from - back - 1]) back += 1
    let length = BLOCK_TOKENS
    while (at + length < end && from + length < base.length && tokenIds[at + length] === base[from + length])
      length += 1
    runs.push({ start: at - back, from: from - back, length: back + length })
    at += length
    free = at
    if (at + BLOCK_TOKENS > end) return
    hash = hashOf(tokenIds, at)
  }
}

/** Blocks of the base at multiples of their length, by their hashes; of equal hashes the first block. */
class BlockTable {
  readonly #base: Uint32Array
  readonly #mask: number
  readonly #hashes: Int32Array
  /** Block, plus one; 0: none. */
  readonly #blocks: Int32Array

  constructor(base: Uint32Array) {
    const count = Math.floor(base.length / BLOCK_TOKENS)
    const slots = 2 ** Math.ceil(Math.log2(2 * count + 1))
    this.#base = base
    this.#mask = slots - 1
    this.#hashes = new Int32Array(slots)
    this.#blocks = new Int32Array(slots)
    for (let block = 0; block < count; block++) {
      const hash = hashOf(base, block * BLOCK_TOKENS) | 0
      const slot = this.#slotOf(hash)
      if (slot === null || this.#blocks[slot] !== 0) continue
      this.#hashes[slot] = hash
      this.#blocks[slot] = block + 1
    }
  }

  /** Where in the base the block stands that begins at `at` of the tokens. */
  find(hash: number, tokenIds: Uint32Array, at: number): number | null {
    const slot = this.#slotOf(hash | 0)
    const block = slot === null ? 0 : (this.#blocks[slot] ?? 0)
    if (block === 0) return null
    const from = (block - 1) * BLOCK_TOKENS
    for (let index = 0; index < BLOCK_TOKENS; index++)
      if (tokenIds[at + index] !== this.#base[from + index]) return null
    return from
  }

  /** Where the hash is, or may be put; null where it is not, and there is no room near its place. */
  #slotOf(hash: number): number | null {
    const first = Math.imul(hash, FACTOR) >>> 7
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const slot = (first + probe) & this.#mask
      if (this.#blocks[slot] === 0 || this.#hashes[slot] === hash) return slot
    }
    return null
  }
}

/** Of the block that begins at `at`, modulo 2^32. */
function hashOf(tokenIds: Uint32Array, at: number): number {
  let hash = 0
  for (let index = at; index < at + BLOCK_TOKENS; index++)
    hash = (Math.imul(hash, FACTOR) + mixed(tokenIds[index] ?? 0)) | 0
  return hash
}

/** Token ids are small and near each other: their sums would be too. */
function mixed(token: number): number {
  const once = Math.imul(token ^ (token >>> 15), 0x2c1b3c6d)
  return once ^ (once >>> 12)
}

function power(factor: number, exponent: number): number {
  let result = 1
  for (let times = 0; times < exponent; times++) result = Math.imul(result, factor)
  return result
}
