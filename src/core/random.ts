/** A stream of uniform numbers in [0, 1). */
export type Random = () => number

/**
 * xoshiro128** (Blackman and Vigna, 2018), seeded by splitmix32: small, fast, and the same on every machine, because
 * it uses 32-bit integers only. Two draws make one number of 53 bits.
 */
export function seededRandom(seed: number): Random {
  let [a, b, c, d] = splitMix(seed)
  const next = (): number => {
    const scaled = Math.imul(b, 5)
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result
  }
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53
}

/** Four well-mixed words from one seed; seeds above 32 bits count with their upper half too. */
function splitMix(seed: number): [number, number, number, number] {
  let state = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b9)) | 0
  const word = (): number => {
    state = (state + 0x9e3779b9) | 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return z ^ (z >>> 15)
  }
  return [word(), word(), word(), word()]
}

/** An exponential number of mean 1. */
export function exponential(random: Random): number {
  return -Math.log(1 - random())
}

/** A standard normal number by Box and Muller; the second of the pair is thrown away, so that a stream's position never depends on its past. */
export function standardNormal(random: Random): number {
  return Math.sqrt(2 * exponential(random)) * Math.cos(2 * Math.PI * random())
}
