/** HOT: words of a block hash, and how they are mixed so that no chosen hashes pile up. Nothing is allocated. */

/** A word of the digest that begins at `from`; what lies beyond its end is 0. */
export function wordAt(reader: DataView, from: number, digestBytes: number, word: number): number {
  return 4 * word + 4 <= digestBytes
    ? reader.getInt32(from + 4 * word, true)
    : shortWord(reader, from, digestBytes, word)
}

function shortWord(reader: DataView, at: number, digestBytes: number, word: number): number {
  let value = 0
  for (let byte = 4 * word; byte < Math.min(digestBytes, 4 * word + 4); byte++)
    value |= reader.getUint8(at + byte) << (8 * (byte & 3))
  return value
}

export function digestOfRest(seed: number, word1: number, word2: number, word3: number, namespace: number): number {
  let state = Math.imul(seed ^ namespace, 0x9e3779b1)
  state = Math.imul(state ^ (state >>> 15) ^ word1, 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 13) ^ word2, 0xc2b2ae35)
  state = Math.imul(state ^ (state >>> 16) ^ word3, 0x27d4eb2f)
  return state ^ (state >>> 15)
}

/** The finalizer of MurmurHash3: one to one on 32 bits. */
export function mix(word: number): number {
  let state = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
  return state ^ (state >>> 16)
}

/** What `mix` was given: shifts undone, and products with the inverses of its factors. */
export function unmix(word: number): number {
  let state = Math.imul(word ^ (word >>> 16), 0x7ed1b41d)
  state = Math.imul(state ^ (state >>> 13) ^ (state >>> 26), 0xa5cb9243)
  return state ^ (state >>> 16)
}
