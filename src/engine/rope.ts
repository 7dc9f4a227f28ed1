/**
 * The angle by which each pair of a head turns from one position to the next: theta^(-2i / headDim). Made of additions,
 * multiplications and divisions alone, which give the same bits on every machine; `Math.pow` does not.
 */
export function ropeFrequencies(theta: number, headDim: number): Float64Array {
  const logarithm = naturalLogarithm(theta)
  return Float64Array.from({ length: headDim / 2 }, (_, pair) => exponential(((-2 * pair) / headDim) * logarithm))
}

/** Of a number above 0. */
function naturalLogarithm(x: number): number {
  let exponent = 0
  let mantissa = x
  while (mantissa > Math.SQRT2) {
    mantissa /= 2
    exponent += 1
  }
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2
    exponent -= 1
  }
  // ln m = 2 artanh((m - 1) / (m + 1)), whose argument is below 0.172 here: 12 terms leave less than a 64-bit float shows.
  const y = (mantissa - 1) / (mantissa + 1)
  let sum = 0
  for (let term = 12; term >= 0; term--) sum = sum * y * y + 1 / (2 * term + 1)
  return exponent * Math.LN2 + 2 * y * sum
}

function exponential(x: number): number {
  const power = Math.round(x / Math.LN2)
  const rest = x - power * Math.LN2
  // Taylor's series to the 20th term, of an argument below 0.35.
  let sum = 1
  for (let term = 20; term >= 1; term--) sum = 1 + (sum * rest) / term
  let scale = 1
  for (let step = 0; step < Math.abs(power); step++) scale *= 2
  return power < 0 ? sum / scale : sum * scale
}
