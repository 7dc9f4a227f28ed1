/**
 * One aggregated engine, iteration by iteration: chunked prefill and decode share every batch, as in vLLM V1. It takes
 * what arrives and says when first and last tokens come out. Several replicas share the arrivals; in lockstep (experts
 * spread over all of them) the slowest sets the pace of each iteration.
 *
 *     arrivals ─► engine-group: least loaded replica, boundaries in time ─► engine-replica: who computes what
 *                      └─ engine-step: what an iteration costs               └─ engine-jobs: how far each request is
 */
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { EngineGroup } from './engine-group.ts'
import { EngineJobs, type EngineRequests } from './engine-jobs.ts'
import { ENGINE_BLOCK_TOKENS, type EngineOptions } from './engine-options.ts'
import { type EngineStepSeconds, stepWeights } from './engine-step.ts'

/** Columns have a row for each awaited request. */
export interface EngineRun {
  /** When each request's first and last token came out, on the clock of its arrival. */
  readonly firstTokenSeconds: Float64Array
  readonly lastTokenSeconds: Float64Array
  /** Those of replicas in lockstep count once. */
  readonly iterations: number
}

/**
 * Runs until the first `awaitedCount` requests (default: all) have their last tokens, with the load of those behind
 * them. Throws INVALID_REQUEST, INVALID_CONFIG, INVALID_PROFILE, or INFEASIBLE when a request exceeds the KV cache.
 */
export function simulateEngine(
  requests: EngineRequests,
  options: EngineOptions,
  stepSeconds: EngineStepSeconds,
  awaitedCount: number = requests.arrivalSeconds.length,
): EngineRun {
  checkOptions(options)
  checkRequests(requests, options)
  const jobs = new EngineJobs(requests, awaitedCount)
  const groups = groupsOf(jobs, options, stepSeconds)
  for (const [job, atSeconds] of requests.arrivalSeconds.entries()) {
    for (const group of groups) group.runBefore(atSeconds)
    if (jobs.isOver) break
    leastLoaded(groups).arrive(job, atSeconds)
  }
  for (const group of groups) group.runBefore(Number.POSITIVE_INFINITY)
  assert(jobs.isOver, 'every awaited request finishes')
  return {
    firstTokenSeconds: jobs.firstTokenSeconds.subarray(0, awaitedCount),
    lastTokenSeconds: jobs.lastTokenSeconds.subarray(0, awaitedCount),
    iterations: groups.reduce((sum, group) => sum + group.iterations, 0),
  }
}

function groupsOf(jobs: EngineJobs, options: EngineOptions, stepSeconds: EngineStepSeconds): readonly EngineGroup[] {
  const weights = stepWeights(stepSeconds)
  const { replicas, isLockstep } = options
  const sizes = isLockstep ? [replicas] : Array.from({ length: replicas }, () => 1)
  return sizes.map((size) => new EngineGroup({ jobs, options, weights, replicas: size }))
}

/** The group with the replica that has the least to do; the first of equals. */
function leastLoaded(groups: readonly EngineGroup[]): EngineGroup {
  return groups.reduce((least, group) => (group.leastLoad() < least.leastLoad() ? group : least))
}

function checkOptions(options: EngineOptions): void {
  const { sequencesMax, batchTokensMax, replicas, stepsInFlight, kvTokensMax } = options
  const { engineSequencesMax, engineBatchTokensMax, engineReplicasMax, engineStepsInFlightMax } = LIMITS
  const bounded = [
    ['sequencesMax', sequencesMax, engineSequencesMax],
    ['batchTokensMax', batchTokensMax, engineBatchTokensMax],
    ['replicas', replicas, engineReplicasMax],
    ['stepsInFlight', stepsInFlight, engineStepsInFlightMax],
  ] as const
  for (const [name, value, max] of bounded) {
    if (Number.isInteger(value) && value >= 1 && value <= max) continue
    throw new MembraneError(
      'INVALID_CONFIG',
      `An engine's ${name} must be a whole number from 1 to ${max}, found ${value}.`,
    )
  }
  if (kvTokensMax !== null && !(kvTokensMax >= 1 && kvTokensMax <= LIMITS.engineKvTokensMax)) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `An engine's kvTokensMax must be from 1 to ${LIMITS.engineKvTokensMax}, found ${kvTokensMax}.`,
    )
  }
}

function checkRequests(
  { arrivalSeconds, inputTokens, outputTokens }: EngineRequests,
  { kvTokensMax }: EngineOptions,
): void {
  let lastSeconds = Number.NEGATIVE_INFINITY
  for (const [job, atSeconds] of arrivalSeconds.entries()) {
    const input = inputTokens[job] ?? 0
    const output = outputTokens[job] ?? 0
    if (!(atSeconds >= lastSeconds && atSeconds < Number.POSITIVE_INFINITY && input >= 1 && output >= 1)) {
      throw new MembraneError(
        'INVALID_REQUEST',
        `Requests must be in order of arrival with at least 1 input and 1 output token; request ${job + 1} arrives at ${atSeconds} s after ${lastSeconds} s with ${input} and ${output}.`,
      )
    }
    lastSeconds = atSeconds
    if (kvTokensMax === null || input + output <= kvTokensMax - (kvTokensMax % ENGINE_BLOCK_TOKENS)) continue
    throw new MembraneError(
      'INFEASIBLE',
      `Request ${job + 1} has ${input + output} tokens, more than a KV cache of ${kvTokensMax} holds in whole blocks of ${ENGINE_BLOCK_TOKENS}.`,
      { remedy: 'Give the engine a larger KV cache, or leave the request out.' },
    )
  }
}
