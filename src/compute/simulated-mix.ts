/**
 * HOT: the made-up numbers of a simulated model and their digests, a nanosecond or two a word of 4 bytes. Everything is
 * 32-bit arithmetic, so it is the same on every machine. A digest or a seed is a pair of words.
 */

/** Murmur3's finalizer: every bit of the result depends on every bit of the word. */
export function mixWord(word: number): number {
  let mixed = word | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** Takes a word into the pair at `at`. */
export function absorb(pairs: Uint32Array, at: number, word: number): void {
  const first = mixWord((pairs[at] ?? 0) ^ word)
  pairs[at] = first
  pairs[at + 1] = mixWord(Math.imul((pairs[at + 1] ?? 0) ^ word, 0x9e3779b1) + first)
}

/** The bits of a word that are made up, and those that are set, so that its numbers are finite. */
export interface WordForm {
  readonly keep: number
  readonly set: number
}

/** Words of a form, from a seed: xoroshiro64*, whose words are taken into the digest at `digestAt` as they are made. */
export function fillWords(target: Words, seed: Pair, form: WordForm, digest: Pair): void {
  const { words, start, count } = target
  const { keep, set } = form
  let a = (seed.pairs[seed.at] ?? 0) | 1
  let b = seed.pairs[seed.at + 1] ?? 0
  let first = digest.pairs[digest.at] ?? 0
  let second = digest.pairs[digest.at + 1] ?? 0
  for (let index = start; index < start + count; index++) {
    const word = (Math.imul(a, 0x9e3779bb) & keep) | set
    b ^= a
    a = ((a << 26) | (a >>> 6)) ^ b ^ (b << 9)
    b = (b << 13) | (b >>> 19)
    words[index] = word
    first = Math.imul(first ^ word, 0x85ebca6b)
    first ^= first >>> 15
    second = Math.imul(second + word, 0xc2b2ae35) ^ first
  }
  digest.pairs[digest.at] = first
  digest.pairs[digest.at + 1] = second
}

/** Takes words into a digest: of words that `fillWords` made, the same digest. */
export function digestWords({ words, start, count }: Words, digest: Pair): void {
  let first = digest.pairs[digest.at] ?? 0
  let second = digest.pairs[digest.at + 1] ?? 0
  for (let index = start; index < start + count; index++) {
    const word = words[index] ?? 0
    first = Math.imul(first ^ word, 0x85ebca6b)
    first ^= first >>> 15
    second = Math.imul(second + word, 0xc2b2ae35) ^ first
  }
  digest.pairs[digest.at] = first
  digest.pairs[digest.at + 1] = second
}

/** `count` words of an array, from `start` on. */
export interface Words {
  readonly words: Uint32Array
  readonly start: number
  readonly count: number
}

/** Two words of an array, from `at` on. */
export interface Pair {
  readonly pairs: Uint32Array
  readonly at: number
}
