/** Chance that a seed repeats. */
export interface Random {
  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number
}

/** Mulberry32: 32 bits of state, good enough to choose what fails. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  return {
    below: (bound) => {
      state = (state + 0x6d2b79f5) >>> 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
    },
  }
}

/** Bytes that differ from seed to seed. */
export function randomBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = (seed * 2_654_435_761 + length) >>> 0
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[index] = state >>> 24
  }
  return bytes
}
