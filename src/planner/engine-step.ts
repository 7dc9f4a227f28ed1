/** HOT: what one iteration of an engine is made of, and what that costs. Budget: some ns an iteration. */
import { MembraneError } from '../core/errors.ts'
import type { ReplicaStep } from './engine-replica.ts'

/** The terms of an iteration's time. The coefficient of a term is seconds for one unit of it. */
export const STEP_TERMS = [
  /** 1 in every iteration: weights read once, launches, sampling. */
  'fixed',
  /** Sequences that decode one token. */
  'perSequence',
  /** Tokens of context that those sequences read. */
  'perContextToken',
  /** 1 when the iteration prefills: it cannot replay the graph that is captured for pure decoding. */
  'withPrefill',
  /** Prompt tokens computed. */
  'perPrefillToken',
  /** Pairs of a prompt token and a token before it, or itself, that it attends to. */
  'perPrefillPair',
] as const

/** Key of `EngineStepSeconds`. */
export type StepTerm = (typeof STEP_TERMS)[number]

/** Seconds for one unit of each term, 0 or more. */
export type EngineStepSeconds = Readonly<Record<StepTerm, number>>

/** Names coefficients that stand in the order of STEP_TERMS. */
export function stepSecondsFrom(weights: readonly number[]): EngineStepSeconds {
  const [fixed = 0, perSequence = 0, perContextToken = 0, withPrefill = 0, perPrefillToken = 0, perPrefillPair = 0] =
    weights
  return { fixed, perSequence, perContextToken, withPrefill, perPrefillToken, perPrefillPair }
}

/** Coefficients in the order of STEP_TERMS. Throws INVALID_PROFILE. */
export function stepWeights(seconds: EngineStepSeconds): Float64Array {
  const weights = Float64Array.from(STEP_TERMS, (term) => seconds[term])
  for (const [index, weight] of weights.entries()) {
    if (Number.isFinite(weight) && weight >= 0) continue
    throw new MembraneError(
      'INVALID_PROFILE',
      `An engine's ${STEP_TERMS[index]} must be a number of seconds, 0 or more, found ${weight}.`,
    )
  }
  return weights
}

/** Writes the terms' values, in the order of STEP_TERMS. */
export function termsOf(step: ReplicaStep, terms: Float64Array): void {
  terms[0] = 1
  terms[1] = step.decodes
  terms[2] = step.contextTokens
  terms[3] = step.prefillTokens > 0 ? 1 : 0
  terms[4] = step.prefillTokens
  terms[5] = step.prefillPairs
}
