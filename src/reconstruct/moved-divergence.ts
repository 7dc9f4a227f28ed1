/**
 * How far approximate KV leads away from what the model would have said: measured on a share of the calls by computing
 * everything after all, because nothing that is cheaper knows.
 */
import type { CallOptions, KvBackend, KvContext } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { Random } from '../core/random.ts'

/** What an answer says of itself when KV of other positions was used for it. */
export interface ApproximateLabel {
  /** Whether this call was measured. */
  readonly sampled: boolean
  /**
   * Kullback-Leibler divergence of the distribution of the next token, from that of a full prefill: 0 for no
   * difference, some thousandths for one that is hardly seen. Null when it was not measured.
   */
  readonly klNats: number | null
}

/** Which calls are measured. */
export interface DivergenceSampling {
  /** Share of calls, 0 to 1: each costs a full prefill and a second context. */
  readonly share: number
  readonly random: Random
}

/**
 * The divergence of distribution Q from P, in nats: how much worse it is to expect Q where P is true. Of logits, which
 * are natural logarithms of probabilities up to a constant. Never below 0; infinite where Q excludes what P does not.
 * Throws INVALID_REQUEST when they are not of one vocabulary, or either has no finite or positive infinite logit.
 */
export function kullbackLeibler(logitsP: Float32Array, logitsQ: Float32Array): number {
  if (logitsP.length !== logitsQ.length)
    throw new MembraneError(
      'INVALID_REQUEST',
      `Logits of one vocabulary were expected; found ${logitsP.length} and ${logitsQ.length} tokens.`,
    )
  const p = normalizer(logitsP)
  const q = normalizer(logitsQ)
  let divergence = 0
  let lost = 0
  for (const [tokenId, logit] of logitsP.entries()) {
    const term = termOf(logit - p, (logitsQ[tokenId] ?? 0) - q)
    if (term === Number.POSITIVE_INFINITY) return term
    const next = term - lost
    const sum = divergence + next
    lost = sum - divergence - next
    divergence = sum
  }
  return divergence
}

/**
 * p (ln p - ln q) + q - p: the differences of q and p add up to 0 over all tokens, and with them no term is negative, so
 * that nothing cancels out.
 */
function termOf(logP: number, logQ: number): number {
  if (logP === Number.NEGATIVE_INFINITY) return Math.exp(logQ)
  if (logQ === Number.NEGATIVE_INFINITY) return Number.POSITIVE_INFINITY
  const ratio = logQ - logP
  if (Math.abs(ratio) < 1) return Math.exp(logP) * (Math.expm1(ratio) - ratio)
  return Math.max(0, Math.exp(logQ) - Math.exp(logP) * (1 + ratio))
}

/** The logarithm of the sum of the exponentials. */
function normalizer(logits: Float32Array): number {
  const greatest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY)
  if (!Number.isFinite(greatest))
    throw new MembraneError('INVALID_REQUEST', `The greatest logit must be a finite number; found ${greatest}.`)
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - greatest)
  return greatest + Math.log(sum)
}

/**
 * Labels an answer that begins with `logits`, those of the last of `tokenIds`. Measures when chance says so and the
 * engine has room for a second context; throws ABORTED, and what the engine throws otherwise.
 */
export async function labelApproximate(
  backend: KvBackend,
  answer: { readonly tokenIds: Uint32Array; readonly logits: Float32Array },
  { share, random, signal }: DivergenceSampling & CallOptions,
): Promise<ApproximateLabel> {
  if (random() >= share) return { sampled: false, klNats: null }
  const approximate = answer.logits.slice()
  const full = await openIfRoom(backend, answer.tokenIds.length)
  if (full === null) return { sampled: false, klNats: null }
  try {
    await full.prefill(0, answer.tokenIds, { signal })
    return { sampled: true, klNats: kullbackLeibler(full.logits(), approximate) }
  } finally {
    await full.close()
  }
}

async function openIfRoom(backend: KvBackend, tokens: number): Promise<KvContext | null> {
  try {
    return await backend.openContext(tokens)
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'COMPUTE_FULL') return null
    throw error
  }
}
