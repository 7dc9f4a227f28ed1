/**
 * The standard normal distribution to double precision. JavaScript has no erf; the closed forms of the
 * truncated log-normal subtract two probabilities, so a short approximation would cost digits.
 */

const INVERSE_SQRT_PI = 0.5641895835477563
const SQRT_HALF = Math.SQRT1_2

// W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969).
const SMALL_TOP = [0.18577770618460315, 3.1611237438705655, 113.86415415105016, 377.485237685302, 3209.3775891384694]
const SMALL_BOTTOM = [1, 23.601290952344122, 244.02463793444417, 1282.6165260773723, 2844.236833439171]
const MIDDLE_TOP = [
  2.1531153547440383e-8, 0.5641884969886701, 8.883149794388377, 66.11919063714163, 298.6351381974001, 881.952221241769,
  1712.0476126340707, 2051.0783778260716, 1230.3393547979972,
]
const MIDDLE_BOTTOM = [
  1, 15.744926110709835, 117.6939508913125, 537.1811018620099, 1621.3895745666903, 3290.7992357334597,
  4362.619090143247, 3439.3676741437216, 1230.3393548037495,
]
const LARGE_TOP = [
  0.016315387137302097, 0.30532663496123236, 0.36034489994980445, 0.12578172611122926, 0.016083785148742275,
  0.0006587491615298378,
]
const LARGE_BOTTOM = [
  1, 2.568520192289822, 1.8729528499234604, 0.5279051029514285, 0.06051834131244132, 0.0023352049762686918,
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
