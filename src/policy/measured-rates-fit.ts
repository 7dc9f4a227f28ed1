/**
 * Learns what something costs from what it took: a sum of terms that are known (a call, its bytes, its tokens), each
 * with a factor that is not. Recursive least squares on relative seconds, so that small calls say as much as large
 * ones; old observations fade; factors are never negative. Where observations cannot tell terms apart, for all of them
 * were alike, the terms keep the proportions that were assumed.
 */

/** All that is known: plain numbers, so that a node remembers it. */
export interface FitState {
  /** Sums of products of terms' shares, row by row, and of shares with the ratios of observed to assumed seconds. */
  readonly products: readonly number[]
  readonly responses: readonly number[]
  /** Faded count of observations, and mean of the ratios. */
  readonly weight: number
  readonly meanRatio: number
  /** Observations in a row that were far above what was expected, or, negative, far below. */
  readonly surprises: number
}

/** An observation so many times above or below what was expected is a surprise: */
const SURPRISE_RATIO = 1.5
/** one alone counts no more than this (a pause, a neighbour), */
const LONE_RATIO_MAX = 2
/** two in a row are a change, which counts as it is seen, within reason, and makes older ones fade at once. */
const CHANGE_RATIO_MAX = 32
const KEPT_AT_CHANGE = 0.1
/** Weight of the assumed proportions, in observations: decides what observations do not. */
const PROPORTIONS_WEIGHT = 1e-3
/** One observation counts at most so many times more, or less, than another. */
const TRUST_MAX = 100
/** Ratios of observed to assumed seconds are taken within these: no clock says more. */
const RATIO_MIN = 1e-9
const RATIO_MAX = 1e9

export interface FitOptions {
  readonly terms: number
  /** Kept of all older observations when one is added, 0 to 1: the smaller, the sooner a change is seen, and the noisier. */
  readonly kept: number
}

export class RateFit {
  readonly #terms: number
  readonly #kept: number
  #state: FitState
  #factors: readonly number[] | null = null

  constructor({ terms, kept }: FitOptions, state: FitState = emptyFit(terms)) {
    this.#terms = terms
    this.#kept = kept
    this.#state = state
  }

  get isMeasured(): boolean {
    return this.#state.weight > 0
  }

  get state(): FitState {
    return this.#state
  }

  /** What each term's assumed seconds are multiplied by; 1 until something was observed. */
  get factors(): readonly number[] {
    this.#factors ??= this.isMeasured
      ? nonNegativeFactors(this.#state, this.#terms)
      : Array.from({ length: this.#terms }, () => 1)
    return this.#factors
  }

  /**
   * What `seconds` was observed for, as the seconds that are assumed of each term. What is no time, or was of nothing,
   * is left out.
   */
  observe(assumedSeconds: readonly number[], seconds: number): void {
    const sum = assumedSeconds.reduce((total, term) => total + term, 0)
    if (!(seconds >= 0 && seconds < Infinity && sum > 0 && sum < Infinity)) return
    const shares = assumedSeconds.map((term) => term / sum)
    const expected = this.factors.reduce((total, factor, term) => total + factor * (shares[term] ?? 0), 0)
    const { ratio, surprises } = this.#believed(
      clamped(seconds / sum, RATIO_MIN, RATIO_MAX),
      Math.max(expected, RATIO_MIN),
    )
    const { products, responses, weight, meanRatio } = this.#state
    const kept = Math.abs(surprises) === 2 ? KEPT_AT_CHANGE : this.#kept
    // Noise is relative: what is expected to take long beside the others says less by as much.
    const trust = clamped((meanRatio / Math.max(expected, RATIO_MIN)) ** 2, 1 / TRUST_MAX, TRUST_MAX)
    const n = this.#terms
    this.#state = {
      products: products.map((sum, k) => kept * sum + trust * (shares[Math.floor(k / n)] ?? 0) * (shares[k % n] ?? 0)),
      responses: responses.map((sum, k) => kept * sum + trust * (shares[k] ?? 0) * ratio),
      weight: kept * weight + 1,
      meanRatio: (kept * weight * meanRatio + ratio) / (kept * weight + 1),
      surprises,
    }
    this.#factors = null
  }

  #believed(ratio: number, expected: number): { readonly ratio: number; readonly surprises: number } {
    if (!this.isMeasured) return { ratio, surprises: 0 }
    const before = this.#state.surprises
    const direction = ratio > expected * SURPRISE_RATIO ? 1 : ratio < expected / SURPRISE_RATIO ? -1 : 0
    const surprises = direction === 0 ? 0 : direction * before > 0 ? before + direction : direction
    const bound = Math.abs(surprises) >= 2 ? CHANGE_RATIO_MAX : LONE_RATIO_MAX
    return { ratio: clamped(ratio, expected / bound, expected * bound), surprises: clamped(surprises, -3, 3) }
  }
}

function emptyFit(terms: number): FitState {
  return {
    products: Array.from({ length: terms * terms }, () => 0),
    responses: Array.from({ length: terms }, () => 0),
    weight: 0,
    meanRatio: 1,
    surprises: 0,
  }
}

/** Whether it is a state that a fit of so many terms can go on from. */
export function isFitState(value: unknown, terms: number): value is FitState {
  if (typeof value !== 'object' || value === null) return false
  const { products, responses, weight, meanRatio, surprises } = value as Record<string, unknown>
  return (
    isNumbers(products, terms * terms) &&
    isNumbers(responses, terms) &&
    isNumbers([weight, meanRatio], 2) &&
    Number.isInteger(surprises) &&
    Math.abs(Number(surprises)) <= 3
  )
}

function isNumbers(values: unknown, length: number): boolean {
  const isCount = (value: unknown): boolean => typeof value === 'number' && value >= 0 && value <= 1e12
  return Array.isArray(values) && values.length === length && values.every(isCount)
}

/**
 * Least squares over factors of which none is negative: of two or three terms all choices of those that are above 0
 * are tried, and the best is the answer.
 */
function nonNegativeFactors({ products, responses, meanRatio }: FitState, terms: number): readonly number[] {
  const matrix = products.map((sum, k) => sum + (k % (terms + 1) === 0 ? PROPORTIONS_WEIGHT : 0))
  const right = responses.map((sum) => sum + PROPORTIONS_WEIGHT * meanRatio)
  let best: readonly number[] = Array.from({ length: terms }, () => meanRatio)
  let least = Infinity
  for (let chosen = 1; chosen < 2 ** terms; chosen++) {
    const factors = solved(matrix, right, chosen)
    if (factors.some((factor) => !(factor >= 0 && factor < Infinity))) continue
    let error = 0
    for (let row = 0; row < terms; row++) {
      let image = 0
      for (let column = 0; column < terms; column++)
        image += (matrix[row * terms + column] ?? 0) * (factors[column] ?? 0)
      error += (factors[row] ?? 0) * (image - 2 * (right[row] ?? 0))
    }
    if (error < least) [best, least] = [factors, error]
  }
  return best
}

/** Gauss's elimination over the terms whose bit is set; the others are 0. The matrix is positive definite. */
function solved(matrix: readonly number[], right: readonly number[], chosen: number): number[] {
  const terms = right.length
  const used = Array.from(right.keys()).filter((term) => (chosen >> term) % 2 === 1)
  const rows = used.map((row) => [...used.map((column) => matrix[row * terms + column] ?? 0), right[row] ?? 0])
  for (const [k, pivot] of rows.entries()) {
    for (const [r, row] of rows.entries()) {
      if (r === k) continue
      const scale = (row[k] ?? 0) / (pivot[k] ?? 1)
      for (let column = k; column < row.length; column++)
        row[column] = (row[column] ?? 0) - scale * (pivot[column] ?? 0)
    }
  }
  const factors = Array.from({ length: terms }, () => 0)
  for (const [k, term] of used.entries()) factors[term] = (rows[k]?.at(-1) ?? 0) / (rows[k]?.[k] ?? 1)
  return factors
}

function clamped(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value))
}
