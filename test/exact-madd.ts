/** a * b + c of 32-bit floats, rounded once, in whole numbers of any length: slow, and plainly right. */

/** Of finite numbers. A zero of the result may have either sign. */
export function exactMadd(a: number, b: number, c: number): number {
  const product = whole(a) * whole(b)
  const sum = product + (whole(c) << BigInt(UNIT))
  // `sum` counts 2^-2*UNIT.
  return sum < 0n ? -rounded(-sum) : rounded(sum)
}

/** Every 32-bit float is a whole multiple of 2^-149. */
const UNIT = 149

/** Exact in 64 bits: at most 2^128 times 2^149. */
function whole(x: number): bigint {
  return BigInt(x * 2 ** UNIT)
}

/** `sum` * 2^-(2 * UNIT) to the nearest 32-bit float, ties to even. */
function rounded(sum: bigint): number {
  const bits = sum.toString(2).length
  // 24 bits stay, but none below 2^-149.
  const cut = Math.max(bits - 24, UNIT)
  const kept = sum >> BigInt(cut)
  const rest = sum - (kept << BigInt(cut))
  const half = 1n << BigInt(cut - 1)
  const up = rest > half || (rest === half && kept % 2n === 1n) ? 1n : 0n
  const value = Number(kept + up) * 2 ** (cut - 2 * UNIT)
  return value > 3.4028234663852886e38 ? Number.POSITIVE_INFINITY : value
}
