import { unreachable } from '../core/errors.ts'
import { type Curve, curveOfPieces, evaluatePiece, type Piece, rootsOfQuadratic } from './curve.ts'

/**
 * Curves through measured points. The paper prints four points and not the curve between them; which one is
 * taken moves its results by up to 4 %, so the choice is part of a profile and is named in every answer.
 */
export const INTERPOLATIONS = ['linear', 'monotone-cubic', 'log-log-cubic', 'least-squares-quadratic'] as const
export type Interpolation = (typeof INTERPOLATIONS)[number]

/** What holds outside the measured range: the last value, or the curve's own continuation. */
export const END_RULES = ['hold', 'extrapolate'] as const
export type EndRule = (typeof END_RULES)[number]

export interface Ends {
  readonly below: EndRule
  readonly above: EndRule
}

/** At least two points, `x` ascending and positive; `log-log-cubic` also needs positive `y`. Checked by the caller. */
export function interpolate(x: readonly number[], y: readonly number[], kind: Interpolation, ends: Ends): Curve {
  switch (kind) {
    case 'linear':
      return withEnds(segments(x, y, secants(x, y)), x, y, ends)
    case 'monotone-cubic':
      return withEnds(hermite(x, y, monotoneSlopes(x, y)), x, y, ends)
    case 'least-squares-quadratic':
      return leastSquaresQuadratic(x, y, ends)
    case 'log-log-cubic':
      return logLogCubic(x, y, ends)
    default:
      return unreachable(kind)
  }
}

const at = (values: readonly number[], index: number): number => values[index] ?? Number.NaN

function secants(x: readonly number[], y: readonly number[]): number[] {
  return x.slice(1).map((next, k) => (at(y, k + 1) - at(y, k)) / (next - at(x, k)))
}

function segments(x: readonly number[], y: readonly number[], slopes: readonly number[]): Piece[] {
  return slopes.map((slope, k) => ({ from: at(x, k), origin: at(x, k), coefficients: [at(y, k), slope] }))
}

/** Cubic Hermite pieces from a slope at every knot. */
function hermite(x: readonly number[], y: readonly number[], slopes: readonly number[]): Piece[] {
  return secants(x, y).map((secant, k) => {
    const width = at(x, k + 1) - at(x, k)
    const [left, right] = [at(slopes, k), at(slopes, k + 1)]
    const square = (3 * secant - 2 * left - right) / width
    const cube = (left + right - 2 * secant) / (width * width)
    return { from: at(x, k), origin: at(x, k), coefficients: [at(y, k), left, square, cube] }
  })
}

/** Fritsch and Butland (1984): weighted harmonic mean of the neighbouring secants, 0 where they change sign. */
function monotoneSlopes(x: readonly number[], y: readonly number[]): number[] {
  const secant = secants(x, y)
  const width = x.slice(1).map((next, k) => next - at(x, k))
  const last = x.length - 1
  return x.map((_, k) => {
    if (last === 1) return at(secant, 0)
    if (k === 0) return endSlope(at(width, 0), at(width, 1), at(secant, 0), at(secant, 1))
    if (k === last) return endSlope(at(width, k - 1), at(width, k - 2), at(secant, k - 1), at(secant, k - 2))
    const [before, after] = [at(secant, k - 1), at(secant, k)]
    if (before * after <= 0) return 0
    const weightBefore = 2 * at(width, k) + at(width, k - 1)
    const weightAfter = at(width, k) + 2 * at(width, k - 1)
    return (weightBefore + weightAfter) / (weightBefore / before + weightAfter / after)
  })
}

/** Three-point end slope, limited so that the end piece stays monotone. */
function endSlope(width: number, nextWidth: number, secant: number, nextSecant: number): number {
  const slope = ((2 * width + nextWidth) * secant - width * nextSecant) / (width + nextWidth)
  if (slope * secant <= 0) return 0
  if (secant * nextSecant <= 0 && Math.abs(slope) > 3 * Math.abs(secant)) return 3 * secant
  return slope
}

/** Adds the pieces outside the measured range: a constant, or the straight continuation of the end slope. */
function withEnds(inner: readonly Piece[], x: readonly number[], y: readonly number[], ends: Ends): Curve {
  const [firstX, lastX, lastY] = [at(x, 0), at(x, x.length - 1), at(y, y.length - 1)]
  const slopeBelow = ends.below === 'hold' ? 0 : slopeAt(inner[0], firstX)
  const slopeAbove = ends.above === 'hold' ? 0 : slopeAt(inner.at(-1), lastX)
  return curveOfPieces([
    { from: 0, origin: firstX, coefficients: [at(y, 0), slopeBelow] },
    ...inner,
    { from: lastX, origin: lastX, coefficients: [lastY, slopeAbove] },
  ])
}

function slopeAt(piece: Piece | undefined, tokens: number): number {
  if (piece === undefined) return 0
  const x = tokens - piece.origin
  return piece.coefficients.reduce((sum, coefficient, k) => sum + (k === 0 ? 0 : k * coefficient * x ** (k - 1)), 0)
}

/** One parabola nearest to all points; it need not pass through any of them. Two points give their line. */
function leastSquaresQuadratic(x: readonly number[], y: readonly number[], ends: Ends): Curve {
  const [firstX, lastX] = [at(x, 0), at(x, x.length - 1)]
  // Tokens are scaled to about one: the normal equations hold fourth powers.
  const origin = (firstX + lastX) / 2
  const scale = (lastX - firstX) / 2
  const u = x.map((tokens) => (tokens - origin) / scale)
  const degree = Math.min(2, x.length - 1)
  const power = (k: number) => u.reduce((sum, value) => sum + value ** k, 0)
  const matrix = Array.from({ length: degree + 1 }, (_, row) => [
    ...Array.from({ length: degree + 1 }, (_, column) => power(row + column)),
    u.reduce((sum, value, k) => sum + value ** row * at(y, k), 0),
  ])
  const coefficients = solveLinear(matrix).map((value, k) => value / scale ** k)
  const parabola: Piece = { from: 0, origin, coefficients }
  const hold = (tokens: number): number[] => [evaluatePiece(parabola, tokens)]
  return curveOfPieces([
    ends.below === 'hold' ? { from: 0, origin: firstX, coefficients: hold(firstX) } : parabola,
    { ...parabola, from: firstX },
    ends.above === 'hold' ? { from: lastX, origin: lastX, coefficients: hold(lastX) } : { ...parabola, from: lastX },
  ])
}

/** Gaussian elimination with row exchange on an augmented matrix of at most a few rows. */
function solveLinear(augmented: readonly (readonly number[])[]): number[] {
  const rows = augmented.map((row) => [...row])
  const size = rows.length
  for (let column = 0; column < size; column++) {
    const pivot = rows
      .slice(column)
      .reduce((best, row) => (Math.abs(at(row, column)) > Math.abs(at(best, column)) ? row : best))
    rows.splice(rows.indexOf(pivot), 1)
    rows.splice(column, 0, pivot)
    for (const row of rows.slice(column + 1)) {
      const factor = at(row, column) / at(pivot, column)
      for (let k = column; k <= size; k++) row[k] = at(row, k) - factor * at(pivot, k)
    }
  }
  const solution = Array.from({ length: size }, () => 0)
  for (let k = size - 1; k >= 0; k--) {
    const row = rows[k] ?? []
    const known = solution.reduce((sum, value, j) => (j > k ? sum + at(row, j) * value : sum), 0)
    solution[k] = (at(row, size) - known) / at(row, k)
  }
  return solution
}

/**
 * Cubic spline of ln y over ln x with not-a-knot ends; through four points it is the one cubic. It bends with the
 * data (the best reading of the paper's Table 5) but may turn upward outside it, so `hold` is the usual end below.
 */
function logLogCubic(x: readonly number[], y: readonly number[], ends: Ends): Curve {
  const u = x.map(Math.log)
  const v = y.map(Math.log)
  const inner = hermite(u, v, notAKnotSlopes(u, v))
  const [firstX, lastX, firstY, lastY] = [at(x, 0), at(x, x.length - 1), at(y, 0), at(y, y.length - 1)]
  const evaluate = (tokens: number): number => {
    if (tokens <= firstX && ends.below === 'hold') return firstY
    if (tokens >= lastX && ends.above === 'hold') return lastY
    const logTokens = Math.log(tokens)
    const piece = inner.findLast((candidate) => candidate.from <= logTokens) ?? inner[0]
    return piece === undefined ? Number.NaN : Math.exp(evaluatePiece(piece, logTokens))
  }
  return { at: evaluate, breaks: [...x, ...logTurns(inner, Math.log(lastX), ends)].sort((a, b) => a - b), pieces: null }
}

/** Token counts at which a log-log piece turns; the end pieces are followed outside the range when extrapolated. */
function logTurns(inner: readonly Piece[], logLast: number, ends: Ends): number[] {
  return inner.flatMap((piece, k) => {
    const from = k === 0 && ends.below === 'extrapolate' ? Number.NEGATIVE_INFINITY : piece.from
    const to = inner[k + 1]?.from ?? (ends.above === 'extrapolate' ? Number.POSITIVE_INFINITY : logLast)
    const [, b = 0, c = 0, d = 0] = piece.coefficients
    return rootsOfQuadratic(3 * d, 2 * c, b)
      .map((root) => root + piece.origin)
      .filter((u) => u > from && u < to)
      .map(Math.exp)
  })
}

/** Knot slopes of the cubic spline whose third derivative is continuous at the second and last-but-one knot. */
function notAKnotSlopes(x: readonly number[], y: readonly number[]): number[] {
  const secant = secants(x, y)
  const count = x.length
  if (count === 2) return [at(secant, 0), at(secant, 0)]
  const width = x.slice(1).map((next, k) => next - at(x, k))
  if (count === 3) return parabolaSlopes(width, secant)
  const last = count - 1
  const rows = x.map((_, k): TridiagonalRow => {
    if (k === 0) return endRow(at(width, 0), at(width, 1), at(secant, 0), at(secant, 1))
    if (k === last) {
      const { diagonal, above, right } = endRow(
        at(width, k - 1),
        at(width, k - 2),
        at(secant, k - 1),
        at(secant, k - 2),
      )
      return { below: above, diagonal, above: 0, right }
    }
    const [before, after] = [at(width, k - 1), at(width, k)]
    const right = 3 * (after * at(secant, k - 1) + before * at(secant, k))
    return { below: after, diagonal: 2 * (before + after), above: before, right }
  })
  return solveTridiagonal(rows)
}

interface TridiagonalRow {
  readonly below: number
  readonly diagonal: number
  readonly above: number
  readonly right: number
}

/** The not-a-knot condition at an end, seen from it: `h0` and `h1` are the first two widths inward. */
function endRow(h0: number, h1: number, secant0: number, secant1: number): TridiagonalRow {
  const right = ((h0 + 2 * (h0 + h1)) * h1 * secant0 + h0 * h0 * secant1) / (h0 + h1)
  return { below: 0, diagonal: h1, above: h0 + h1, right }
}

/** Forward elimination and back substitution, one pass each. */
function solveTridiagonal(rows: readonly TridiagonalRow[]): number[] {
  const above: number[] = []
  const right: number[] = []
  for (const [k, row] of rows.entries()) {
    const pivot = row.diagonal - row.below * (above[k - 1] ?? 0)
    above.push(row.above / pivot)
    right.push((row.right - row.below * (right[k - 1] ?? 0)) / pivot)
  }
  for (let k = rows.length - 2; k >= 0; k--) right[k] = at(right, k) - at(above, k) * at(right, k + 1)
  return right
}

function parabolaSlopes(width: readonly number[], secant: readonly number[]): number[] {
  const bend = (at(secant, 1) - at(secant, 0)) / (at(width, 0) + at(width, 1))
  return [at(secant, 0) - bend * at(width, 0), at(secant, 0) + bend * at(width, 0), at(secant, 1) + bend * at(width, 1)]
}
