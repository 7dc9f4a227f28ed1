import { MembraneError } from '../core/errors.ts'
import type { Random } from '../core/random.ts'
import { type Curve, type Piece, shiftOrigin } from './curve.ts'
import type { LengthDistribution } from './lengths.ts'
import { normalCdf, normalMass, normalQuantile } from './normal.ts'
import { integrate } from './quadrature.ts'

/** A truncated log-normal, of tokens. */
export interface LogNormalParameters {
  /** Mean of ln(tokens). */
  readonly mu: number
  /** Standard deviation of ln(tokens), above 0 and at most 10. */
  readonly sigma: number
  /** Both ends in tokens, 0 < min < max; nothing lies outside. */
  readonly minTokens: number
  readonly maxTokens: number
}

/**
 * The truncated log-normal in closed form, section 4.1 of the paper. With U(x) = (ln x - mu) / sigma and
 * Z = F(U(max)) - F(U(min)), every partial moment is
 * E[L^k; x < L <= y] = exp(k mu + k^2 sigma^2 / 2) (F(U(y) - k sigma) - F(U(x) - k sigma)) / Z,
 * so nothing is sampled, and nothing is noisy.
 */
export function logNormalLengths(parameters: LogNormalParameters): LengthDistribution {
  const { mu, sigma, minTokens, maxTokens } = parameters
  checkParameters(parameters)
  const standard = (tokens: number): number => (Math.log(tokens) - mu) / sigma
  const [low, high] = [standard(minTokens), standard(maxTokens)]
  const total = normalMass(low, high)
  if (!(total > 1e-12)) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `A log-normal with mu ${mu} and sigma ${sigma} has no mass between ${minTokens} and ${maxTokens} tokens.`,
      {
        remedy: 'Choose minTokens and maxTokens around exp(mu).',
        details: { mu, sigma, minTokens, maxTokens },
      },
    )
  }

  const clamp = (tokens: number): number => (tokens <= minTokens ? low : tokens >= maxTokens ? high : standard(tokens))

  const moment = (power: number, from: number, to: number): number =>
    (Math.exp(power * mu + (power * sigma) ** 2 / 2) *
      normalMass(clamp(from) - power * sigma, clamp(to) - power * sigma)) /
    total

  const density = (u: number): number => (Math.exp((-u * u) / 2) * 0.3989422804014327) / total

  const byQuadrature = (curve: Curve, power: number, from: number, to: number): number => {
    const cuts = [from, ...curve.breaks.filter((tokens) => tokens > from && tokens < to), to].map(clamp)
    let sum = 0
    for (let k = 0; k + 1 < cuts.length; k++) {
      sum += integrateInSteps(
        (u) => density(u) * curve.at(Math.exp(mu + sigma * u)) ** power,
        cuts[k] ?? 0,
        cuts[k + 1] ?? 0,
      )
    }
    return sum
  }

  const quantile = (probability: number): number => {
    if (probability <= 0) return minTokens
    if (probability >= 1) return maxTokens
    // Counted from the end whose tail is the smaller, so that no digits are lost there.
    const u =
      low > 0
        ? -normalQuantile(normalCdf(-low) - probability * total)
        : normalQuantile(normalCdf(low) + probability * total)
    const tokens = Math.exp(mu + sigma * u)
    return Math.min(maxTokens, Math.max(minTokens, tokens))
  }

  return {
    minTokens,
    maxTokens,
    mass: (from, to) => normalMass(clamp(from), clamp(to)) / total,
    partialMean: (from, to) => moment(1, from, to),
    expect: (curve, power, from, to) => {
      const start = Math.max(from, minTokens)
      const end = Math.min(to, maxTokens)
      if (end <= start) return 0
      return curve.pieces === null
        ? byQuadrature(curve, power, start, end)
        : expectPieces(curve.pieces, {
            power,
            from: start,
            to: end,
            moment,
            byQuadrature: (a, b) => byQuadrature(curve, power, a, b),
          })
    },
    quantile,
    draw: drawByTable(quantile),
    scaled: (factor) =>
      logNormalLengths({
        mu: mu + Math.log(factor),
        sigma,
        minTokens: minTokens * factor,
        maxTokens: maxTokens * factor,
      }),
  }
}

/** Cells of equal probability, and how many of them at either end are drawn without the table. */
const DRAW_CELLS = 4096
const EXACT_CELLS = 32

/**
 * HOT: inversion with a table of quantiles, straight lines between them: one uniform number a draw, and the draws rise
 * with it, so that runs with the same seed can be compared. The bend of the tails is left to the quantile itself; in
 * between the line is within 0.003 % of it. Budget: 25 ns a draw.
 */
function drawByTable(quantile: (probability: number) => number): (random: Random) => number {
  // Made at the first draw: most distributions are only asked for moments.
  let table: Float64Array | null = null
  return (random) => {
    table ??= Float64Array.from({ length: DRAW_CELLS + 1 }, (_, k) => quantile(k / DRAW_CELLS))
    const at = (1 - random()) * DRAW_CELLS
    const cell = Math.floor(at)
    if (cell < EXACT_CELLS || cell >= DRAW_CELLS - EXACT_CELLS) return quantile(at / DRAW_CELLS)
    const from = table[cell] ?? 0
    return from + (at - cell) * ((table[cell + 1] ?? 0) - from)
  }
}

/** Moments of wider ones leave the range of numbers, and no prompt lengths look like them. */
const SIGMA_MAX = 10

function checkParameters({ mu, sigma, minTokens, maxTokens }: LogNormalParameters): void {
  const details = { mu, sigma, minTokens, maxTokens }
  if (!Number.isFinite(mu) || !(sigma > 0) || !Number.isFinite(sigma)) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `A log-normal needs a finite mu and a sigma above 0, found mu ${mu} and sigma ${sigma}.`,
      { details },
    )
  }
  if (sigma > SIGMA_MAX) {
    throw new MembraneError('INVALID_CONFIG', `A log-normal needs a sigma of at most ${SIGMA_MAX}, found ${sigma}.`, {
      remedy: 'Prompt lengths have a sigma around 1; ln(tokens) was perhaps not taken.',
      details,
    })
  }
  if (!(minTokens > 0) || !(maxTokens > minTokens) || !Number.isFinite(maxTokens)) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `A log-normal needs 0 < minTokens < maxTokens, found ${minTokens} and ${maxTokens}.`,
      { details },
    )
  }
}

type Moment = (power: number, from: number, to: number) => number

interface PiecesQuestion {
  readonly power: 1 | 2
  readonly from: number
  readonly to: number
  readonly moment: Moment
  readonly byQuadrature: (from: number, to: number) => number
}

/** Terms this much larger than their sum have cancelled too many digits: such a piece is integrated instead. */
const CANCELLED = 1e5

function expectPieces(pieces: readonly Piece[], question: PiecesQuestion): number {
  let sum = 0
  for (const [k, piece] of pieces.entries()) {
    const start = Math.max(question.from, piece.from)
    const end = Math.min(question.to, pieces[k + 1]?.from ?? Number.POSITIVE_INFINITY)
    if (end > start) sum += expectPiece(piece, start, end, question)
  }
  return sum
}

/** In closed form, by powers of the length; a narrow piece far from zero has huge terms of both signs. */
function expectPiece(
  piece: Piece,
  start: number,
  end: number,
  { power, moment, byQuadrature }: PiecesQuestion,
): number {
  const coefficients = shiftOrigin(piece, 0)
  let [sum, largest] = [0, 0]
  for (const [degree, coefficient] of (power === 1 ? coefficients : squared(coefficients)).entries()) {
    if (coefficient === 0) continue
    const term = coefficient * moment(degree, start, end)
    sum += term
    largest = Math.max(largest, Math.abs(term))
  }
  return largest <= CANCELLED * Math.abs(sum) ? sum : byQuadrature(start, end)
}

function squared(coefficients: readonly number[]): number[] {
  const result = Array.from({ length: 2 * coefficients.length - 1 }, () => 0)
  for (const [j, a] of coefficients.entries()) {
    for (const [k, b] of coefficients.entries()) result[j + k] = (result[j + k] ?? 0) + a * b
  }
  return result
}

/** Panels of half a standard deviation keep sixteen nodes at full precision. */
function integrateInSteps(f: (u: number) => number, from: number, to: number): number {
  const panels = Math.max(1, Math.ceil((to - from) / 0.5))
  const width = (to - from) / panels
  let sum = 0
  for (let k = 0; k < panels; k++) sum += integrate(f, from + k * width, from + (k + 1) * width)
  return sum
}
