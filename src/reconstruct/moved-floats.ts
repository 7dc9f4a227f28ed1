/** Numbers of 16 bits, as keys and values are often kept, and back, rounded to the nearest. */

const words = new Uint32Array(1)
const float = new Float32Array(words.buffer)

/** Of the bits of an IEEE half. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/** Bits of the nearest half, of two equally near the even one; beyond the greatest, infinity. */
export function toHalf(number: number): number {
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0
  const size = Math.abs(number)
  if (Number.isNaN(size)) return 0x7e00
  if (size >= 65_520) return sign | 0x7c00
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24)
  const exponent = Math.floor(Math.log2(size))
  // The logarithm of a number just below a power of two may be rounded up to it.
  const exact = size < 2 ** exponent ? exponent - 1 : exponent
  // A fraction that is rounded up to 1024 is carried into the exponent, as it should be.
  return sign | (((exact + 15) << 10) + roundToEven(size * 2 ** (10 - exact)) - 1024)
}

/** Of the bits of a bfloat16: the upper half of a 32-bit float. */
export function fromBfloat(bits: number): number {
  words[0] = bits << 16
  return float[0] ?? 0
}

/** Bits of the nearest bfloat16, of two equally near the even one. */
export function toBfloat(number: number): number {
  float[0] = number
  const word = words[0] ?? 0
  if (Number.isNaN(number)) return 0x7fc0
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff
}

function roundToEven(number: number): number {
  const below = Math.floor(number)
  const rest = number - below
  if (rest !== 0.5) return Math.round(number)
  return below + (below % 2)
}
