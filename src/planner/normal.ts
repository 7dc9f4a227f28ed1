/**
 * The standard normal distribution to double precision. JavaScript has no erf; the closed forms of the
 * truncated log-normal subtract two probabilities, so a short approximation would cost digits.
 */

const INVERSE_SQRT_PI = 0.5641895835477563
const SQRT_HALF = Math.SQRT1_2

// W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969).
const SMALL_TOP = [
  1.85777706184603153e-1, 3.1611237438705656, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3,
]
const SMALL_BOTTOM = [1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3]
const MIDDLE_TOP = [
  2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
  8.8195222124176909e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
]
const MIDDLE_BOTTOM = [
  1, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3,
  4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
]
const LARGE_TOP = [
  1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
  1.60837851487422766e-2, 6.58749161529837803e-4,
]
const LARGE_BOTTOM = [
  1, 2.56852019228982242, 1.87295284992346047, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3,
]

/** Polynomial with the highest power first. */
function horner(coefficients: readonly number[], x: number): number {
  let sum = 0
  for (let k = 0; k < coefficients.length; k++) sum = sum * x + (coefficients[k] ?? 0)
  return sum
}

/** exp(-y^2) without the cancellation of squaring first: y is cut to 1/16ths. */
function expOfMinusSquare(y: number): number {
  const head = Math.trunc(y * 16) / 16
  return Math.exp(-head * head) * Math.exp(-(y - head) * (y + head))
}

/** Complementary error function, relative error about 1e-15 down to the smallest result. */
export function erfc(x: number): number {
  const y = Math.abs(x)
  if (y <= 0.46875) {
    const square = y * y
    return 1 - (x * horner(SMALL_TOP, square)) / horner(SMALL_BOTTOM, square)
  }
  const tail = y <= 4 ? middleTail(y) : largeTail(y)
  return x < 0 ? 2 - tail : tail
}

function middleTail(y: number): number {
  return (expOfMinusSquare(y) * horner(MIDDLE_TOP, y)) / horner(MIDDLE_BOTTOM, y)
}

function largeTail(y: number): number {
  if (y > 27) return 0
  const inverseSquare = 1 / (y * y)
  const correction = (inverseSquare * horner(LARGE_TOP, inverseSquare)) / horner(LARGE_BOTTOM, inverseSquare)
  return (expOfMinusSquare(y) * (INVERSE_SQRT_PI - correction)) / y
}

/** P(Z <= x). */
export function normalCdf(x: number): number {
  return 0.5 * erfc(-x * SQRT_HALF)
}

/** P(from < Z <= to), taken in the tail where both are small so that no digits cancel. 0 when `to <= from`. */
export function normalMass(from: number, to: number): number {
  if (!(to > from)) return 0
  if (from > 0) return 0.5 * (erfc(from * SQRT_HALF) - erfc(to * SQRT_HALF))
  return 0.5 * (erfc(-to * SQRT_HALF) - erfc(-from * SQRT_HALF))
}

const INVERSE_SQRT_TWO_PI = 0.3989422804014327

/** The x with P(Z <= x) = probability, for 0 < probability < 1; the ends give -Infinity and Infinity. */
export function normalQuantile(probability: number): number {
  if (probability <= 0) return Number.NEGATIVE_INFINITY
  if (probability >= 1) return Number.POSITIVE_INFINITY
  // The upper half mirrors the lower, where the probability itself keeps its digits.
  if (probability > 0.5) return -normalQuantile(1 - probability)
  let x = quantileFirstGuess(probability)
  for (let step = 0; step < 3; step++) {
    const error = (normalCdf(x) - probability) / (INVERSE_SQRT_TWO_PI * Math.exp((-x * x) / 2))
    x -= error / (1 + (x * error) / 2) // Halley: each step triples the number of right digits.
  }
  return x
}

/** Abramowitz and Stegun 26.2.23, error below 4.5e-4. */
function quantileFirstGuess(probability: number): number {
  const t = Math.sqrt(-2 * Math.log(probability))
  const top = 2.515517 + t * (0.802853 + t * 0.010328)
  const bottom = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308))
  return top / bottom - t
}
