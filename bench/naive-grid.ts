/**
 * The peer: the grid as an earlier implementation in Python searched it, written anew in plain JavaScript. Nothing is
 * sorted or summed beforehand: each of the 1,771 points walks the whole sample.
 */
import type { Scenario } from '../src/planner/scenario.ts'
import { LOCAL_PREFILLS, THRESHOLDS } from './paper-grid.ts'

export interface NaiveBest {
  readonly thresholdTokens: number
  readonly localPrefill: number
  readonly lambdaMaxRps: number
}

export function searchNaively(scenario: Scenario, sample: Float64Array): NaiveBest {
  let best: NaiveBest = { thresholdTokens: 0, localPrefill: 0, lambdaMaxRps: 0 }
  for (const localPrefill of LOCAL_PREFILLS) {
    for (const thresholdTokens of THRESHOLDS) {
      const lambdaMaxRps = lambdaAt(scenario, sample, thresholdTokens, localPrefill)
      if (lambdaMaxRps > best.lambdaMaxRps) best = { thresholdTokens, localPrefill, lambdaMaxRps }
    }
  }
  return best
}

function lambdaAt(scenario: Scenario, sample: Float64Array, thresholdTokens: number, localPrefill: number): number {
  let [longCount, longSum, shortSum] = [0, 0, 0]
  for (const tokens of sample) {
    if (tokens > thresholdTokens) {
      longCount += 1
      longSum += tokens
    } else shortSum += tokens
  }
  const { remote, local, link, decodeBatch, outputTokens } = scenario
  const offloadedRatio = longCount / sample.length
  const longTokens = longSum / longCount
  const shortTokens = shortSum / (sample.length - longCount)
  const remoteRps = Math.min(
    remote.instances / remote.profile.prefillSeconds.at(longTokens),
    (link.gbps * 1e9) / 8 / remote.profile.kvBytes.at(longTokens),
  )
  const localRps = localPrefill / local.profile.prefillSeconds.at(shortTokens)
  const decodeRps = ((local.instances - localPrefill) * decodeBatch.batch) / (decodeBatch.stepSeconds * outputTokens)
  return Math.min(
    longCount === 0 ? Number.POSITIVE_INFINITY : remoteRps / offloadedRatio,
    longCount === sample.length ? Number.POSITIVE_INFINITY : localRps / (1 - offloadedRatio),
    decodeRps,
  )
}
