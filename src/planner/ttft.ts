import { massAtMost } from './lengths.ts'
import type { Scenario } from './scenario.ts'

export interface TtftSeconds {
  readonly mean: number
  readonly p90: number
}

/**
 * Time to first token as Table 6 has it: service times alone, until the KV is complete where it is decoded.
 * The paper gives no formula; this one returns its six values. ASSUMPTION: ttft-definition.
 */
export function ttftWithoutQueues(scenario: Scenario, thresholdTokens: number): TtftSeconds {
  const { lengths, local, remoteTtftSeconds } = scenario
  const mean =
    lengths.expect(local.profile.prefillSeconds, 1, 0, thresholdTokens) +
    lengths.expect(remoteTtftSeconds, 1, thresholdTokens, lengths.maxTokens)
  return { mean, p90: ttftQuantile(scenario, thresholdTokens, 0.9) }
}

/** The smallest latency that a share `probability` of requests does not exceed, by bisection on the exact mass. */
export function ttftQuantile(scenario: Scenario, thresholdTokens: number, probability: number): number {
  const atMost = (seconds: number): number => ttftMassAtMost(scenario, thresholdTokens, seconds)
  let high = 1
  while (atMost(high) < probability - 1e-12) high *= 2
  let low = 0
  for (let step = 0; step < 100 && high - low > 1e-10 * high; step++) {
    const middle = (low + high) / 2
    if (atMost(middle) >= probability - 1e-12) high = middle
    else low = middle
  }
  return high
}

function ttftMassAtMost(
  { lengths, local, remoteTtftSeconds }: Scenario,
  thresholdTokens: number,
  seconds: number,
): number {
  return (
    massAtMost(lengths, local.profile.prefillSeconds, seconds, 0, thresholdTokens) +
    massAtMost(lengths, remoteTtftSeconds, seconds, thresholdTokens, lengths.maxTokens)
  )
}
