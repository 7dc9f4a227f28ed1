/**
 * HOT: numbers of 16 bits, as keys, values and weights are often kept, as 32-bit floats and back, rounded to the nearest,
 * of two equally near to the even one. Budget: 10 ns each.
 */

const words = new Uint32Array(1)
const float = new Float32Array(words.buffer)

/** Of the bits of an IEEE half. */
export function fromHalf(bits: number): number {
  const exponent = (bits >>> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return (bits & 0x8000 ? -fraction : fraction) * 2 ** -24
  // Infinities and NaN keep the greatest exponent; of all others it is counted from another zero.
  words[0] = ((bits & 0x8000) << 16) | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13)
  return float[0] ?? 0
}

/** Bits of the nearest half of a 32-bit float; beyond the greatest, infinity. */
export function toHalf(number: number): number {
  float[0] = number
  const bits = words[0] ?? 0
  const sign = (bits >>> 16) & 0x8000
  const size = bits & 0x7fffffff
  if (size > 0x7f800000) return 0x7e00
  // From 65,520 on, halfway between the greatest half and what would come next.
  if (size >= 0x477ff000) return sign | 0x7c00
  if (size < 0x38800000) {
    // Below 2^-14 halves are multiples of 2^-24: beside 2^23, a 32-bit float has no place for less than 1.
    const units = Math.fround(Math.abs(number) * 2 ** 24 + 2 ** 23) - 2 ** 23
    return sign | units
  }
  // A fraction that is rounded up to its end is carried into the exponent, as it should be.
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13)
}

/** Of the bits of a bfloat16: the upper half of a 32-bit float. */
export function fromBfloat(bits: number): number {
  words[0] = bits << 16
  return float[0] ?? 0
}

/** Bits of the nearest bfloat16 of a 32-bit float. */
export function toBfloat(number: number): number {
  float[0] = number
  const bits = words[0] ?? 0
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}
