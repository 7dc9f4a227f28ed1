/** Draws tokens from logits. The same logits, sampling and stream give the same token on every machine. */
import type { Sampling } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { type Random, seededRandom } from '../core/random.ts'
import { exponentialOf } from './sampling-exponential.ts'

/** A stream of tokens from one seed: the n-th draw is the same whenever the logits before it and at it are. */
export class TokenSampler {
  readonly #sampling: Sampling
  readonly #random: Random

  /** Throws INVALID_REQUEST for a sampling out of range. */
  constructor(sampling: Sampling) {
    checkSampling(sampling)
    this.#sampling = sampling
    this.#random = seededRandom(sampling.seed)
  }

  /** The next token. Throws COMPUTE_FAILED for logits that are no distribution. */
  next(logits: Float32Array): number {
    return draw(logits, this.#sampling, this.#random)
  }
}

/**
 * One token: the likeliest at temperature 0, of equals the smallest id; else the logits are divided by the temperature,
 * then the `topK` likeliest are kept, then of these the fewest likeliest whose probabilities together reach `topP`, and
 * one number of `random` chooses among them (`seed` is not looked at). Of equal logits the smaller id is kept first.
 * Throws INVALID_REQUEST for a sampling out of range, COMPUTE_FAILED for logits with a NaN or an infinity above all, or
 * without a token that can be.
 */
export function sample(logits: Float32Array, sampling: Sampling, random: Random): number {
  checkSampling(sampling)
  return draw(logits, sampling, random)
}

/** The same, when it is in range. Throws INVALID_REQUEST. */
export function checkedSampling(sampling: Sampling): Sampling {
  checkSampling(sampling)
  return sampling
}

function checkSampling({ temperature, topK, topP, seed }: Sampling): void {
  const refuse = (name: string, expected: string, found: number): never => {
    throw new MembraneError('INVALID_REQUEST', `${name} must be ${expected}, and is ${found}.`, {
      details: { [name]: found },
    })
  }
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) refuse('temperature', '0 or more', temperature)
  if (!(Number.isSafeInteger(topK) && topK >= 0)) refuse('topK', 'a whole number from 0 on', topK)
  if (!(topP > 0 && topP <= 1)) refuse('topP', 'above 0 and at most 1', topP)
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    refuse('seed', 'a whole number from 0 to 4294967295', seed)
}

function draw(logits: Float32Array, { temperature, topK, topP }: Sampling, random: Random): number {
  const likeliest = likeliestOf(logits)
  if (temperature === 0 || topK === 1) return likeliest
  const greatest = logits[likeliest] ?? 0
  const weightOf = (id: number): number => exponentialOf(((logits[id] ?? 0) - greatest) / temperature)
  const weigh = (ids: Int32Array): Float64Array => {
    const weights = new Float64Array(ids.length)
    for (let index = 0; index < ids.length; index++) weights[index] = weightOf(ids[index] ?? 0)
    return weights
  }
  const isCut = topK > 0 && topK < logits.length
  const first = isCut ? firstOf(logits, topK) : new Int32Array(logits.length).map((_, id) => id)
  const weights = weigh(first)
  if (topP === 1) return first[chosen(weights, random)] ?? likeliest
  const total = sum(weights)
  // All that weigh less than this weigh less together than what may be left out: most need not be sorted.
  const cutoff = (total - topP * total) / first.length / 2
  const likely = first.filter((_, index) => (weights[index] ?? 0) >= cutoff).sort(byLogit(logits))
  return likely[chosen(reaching(topP * total, weigh(likely)), random)] ?? likeliest
}

/** Greedy; looks at every logit. */
function likeliestOf(logits: Float32Array): number {
  assert(logits.length > 0, 'there is a logit to choose')
  let best = 0
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? 0
    if (Number.isNaN(logit)) throw noDistribution(`the logit of token ${id} is not a number`, id)
    if (logit > (logits[best] ?? 0)) best = id
  }
  const greatest = logits[best] ?? 0
  if (Number.isFinite(greatest)) return best
  throw noDistribution(greatest > 0 ? `the logit of token ${best} is infinite` : 'every logit is minus infinity', best)
}

function noDistribution(what: string, tokenId: number): MembraneError {
  return new MembraneError('COMPUTE_FAILED', `No token can be drawn: ${what}.`, { details: { tokenId } })
}

/** Of ids, the likeliest first, of equals the smaller id. */
function byLogit(logits: Float32Array): (a: number, b: number) => number {
  // Minus infinities have a difference that is not a number, which stands for none here.
  return (a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b
}

/** The `count` likeliest, in order, without sorting all: what is below the least of `count` is passed by. */
function firstOf(logits: Float32Array, count: number): Int32Array {
  const order = byLogit(logits)
  const kept: number[] = []
  let least = Number.NEGATIVE_INFINITY
  for (let id = 0; id < logits.length; id++) {
    if (kept.length >= count && (logits[id] ?? 0) <= least) continue
    kept.push(id)
    if (kept.length < 2 * count) continue
    kept.sort(order).length = count
    least = logits[kept[count - 1] ?? 0] ?? least
  }
  return Int32Array.from(kept.sort(order).slice(0, count))
}

/** The first so many that reach `wanted` together. */
function reaching(wanted: number, weights: Float64Array): Float64Array {
  let reached = 0
  const end = weights.findIndex((weight) => (reached += weight) >= wanted)
  return end < 0 ? weights : weights.subarray(0, end + 1)
}

function sum(weights: Float64Array): number {
  let total = 0
  for (let index = 0; index < weights.length; index++) total += weights[index] ?? 0
  return total
}

/** An index, each as likely as its weight. */
function chosen(weights: Float64Array, random: Random): number {
  let left = random() * sum(weights)
  let last = 0
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index] ?? 0
    if (weight === 0) continue
    last = index
    left -= weight
    if (left < 0) return index
  }
  // Rounding may leave a little.
  return last
}
