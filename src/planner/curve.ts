import { assert } from '../core/errors.ts'

/**
 * A function of a token count: prefill seconds, KV bytes, or their sum. Where it is made of polynomials it shows
 * them, so that expectations over a length distribution have closed forms.
 */
export interface Curve {
  at(tokens: number): number
  /** Ascending token counts; between two neighbours (and beyond the ends) the curve is smooth and monotone. */
  readonly breaks: readonly number[]
  /** Polynomial pieces that cover (0, infinity) in order, or null when the curve is not polynomial. */
  readonly pieces: readonly Piece[] | null
}

/** sum over k of coefficients[k] (tokens - origin)^k, from `from` up to the next piece. */
export interface Piece {
  readonly from: number
  readonly origin: number
  readonly coefficients: readonly number[]
}

export function evaluatePiece(piece: Piece, tokens: number): number {
  const x = tokens - piece.origin
  let sum = 0
  for (let k = piece.coefficients.length - 1; k >= 0; k--) sum = sum * x + (piece.coefficients[k] ?? 0)
  return sum
}

/** A curve of polynomial pieces; the first must start at or below 0 and the starts must ascend. */
export function curveOfPieces(pieces: readonly Piece[]): Curve {
  const [first, ...rest] = pieces
  assert(first !== undefined && first.from <= 0, 'pieces start at 0')
  const starts = Float64Array.from(pieces, (piece) => piece.from)
  return {
    pieces,
    breaks: [...new Set([...rest.map((piece) => piece.from), ...pieces.flatMap(turningPoints(pieces))])].sort(
      (a, b) => a - b,
    ),
    at: (tokens) => evaluatePiece(pieces[lastStartAtOrBelow(starts, tokens)] ?? first, tokens),
  }
}

/** Fixed part plus a part proportional to the length: the KV size of every attention kind (paper, Table 5). */
export function affineCurve(fixed: number, perToken: number): Curve {
  return curveOfPieces([{ from: 0, origin: 0, coefficients: [fixed, perToken] }])
}

/** a(l) + factor b(l). */
export function addCurves(a: Curve, b: Curve, factor: number): Curve {
  if (a.pieces !== null && b.pieces !== null) return curveOfPieces(addPieces(a.pieces, b.pieces, factor))
  return {
    pieces: null,
    // Neither curve alone says where the sum turns, so the cuts are made dense enough that it hardly matters.
    breaks: subdivide([...new Set([...a.breaks, ...b.breaks])].sort((x, y) => x - y)),
    at: (tokens) => a.at(tokens) + factor * b.at(tokens),
  }
}

function addPieces(a: readonly Piece[], b: readonly Piece[], factor: number): Piece[] {
  const starts = [...new Set([...a, ...b].map((piece) => piece.from))].sort((x, y) => x - y)
  const pieceAt = (pieces: readonly Piece[], from: number): Piece => {
    const piece = pieces.findLast((candidate) => candidate.from <= from)
    assert(piece !== undefined, 'pieces cover every start')
    return piece
  }
  return starts.map((from) => {
    const left = pieceAt(a, from)
    const right = shiftOrigin(pieceAt(b, from), left.origin)
    const length = Math.max(left.coefficients.length, right.length)
    const coefficients = Array.from({ length }, (_, k) => (left.coefficients[k] ?? 0) + factor * (right[k] ?? 0))
    return { from, origin: left.origin, coefficients }
  })
}

/** Coefficients of the same polynomial around another origin (repeated synthetic division). */
export function shiftOrigin(piece: Piece, origin: number): number[] {
  const shift = origin - piece.origin
  const coefficients = [...piece.coefficients]
  for (let done = 0; done < coefficients.length - 1; done++) {
    for (let k = coefficients.length - 2; k >= done; k--) {
      coefficients[k] = (coefficients[k] ?? 0) + shift * (coefficients[k + 1] ?? 0)
    }
  }
  return coefficients
}

/** Where a piece of degree up to three turns inside its own range. */
function turningPoints(pieces: readonly Piece[]): (piece: Piece, index: number) => number[] {
  return (piece, index) => {
    const to = pieces[index + 1]?.from ?? Number.POSITIVE_INFINITY
    const [, b = 0, c = 0, d = 0] = piece.coefficients
    return rootsOfQuadratic(3 * d, 2 * c, b)
      .map((root) => root + piece.origin)
      .filter((tokens) => tokens > Math.max(piece.from, 0) && tokens < to)
  }
}

/** Real roots of a x^2 + b x + c. */
export function rootsOfQuadratic(a: number, b: number, c: number): number[] {
  if (a === 0) return b === 0 ? [] : [-c / b]
  const discriminant = b * b - 4 * a * c
  if (discriminant < 0) return []
  // Adds numbers of one sign only, so a small root keeps its digits.
  const q = -0.5 * (b + (b < 0 ? -1 : 1) * Math.sqrt(discriminant))
  return q === 0 ? [0] : [q / a, c / q]
}

const SUBDIVISIONS = 16

function subdivide(breaks: readonly number[]): number[] {
  return breaks.flatMap((from, index) => {
    const to = breaks[index + 1]
    if (to === undefined) return [from]
    return Array.from({ length: SUBDIVISIONS }, (_, k) => from * (to / from) ** (k / SUBDIVISIONS))
  })
}

function lastStartAtOrBelow(starts: Float64Array, tokens: number): number {
  let low = 0
  let high = starts.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((starts[middle] ?? 0) <= tokens) low = middle
    else high = middle
  }
  return low
}
