import type { PrefillEstimate } from '../policy/cost.ts'
import { type RouteQuestion, routeTo } from '../policy/route.ts'
import type { Scenario } from './scenario.ts'
import type { Simulation } from './simulate.ts'

/** What prefilling a request in either cluster would take now, as far as queues and link tell. */
export function prefillEstimates(
  simulation: Simulation,
  question: RouteQuestion,
): { readonly remote: PrefillEstimate; readonly local: PrefillEstimate } {
  const { scenario, nowSeconds } = simulation
  const { remote, local, link } = scenario
  const lackingTokens = Math.max(1, question.promptTokens - question.localCachedTokens)
  const bytes = remote.profile.kvBytes.at(lackingTokens)
  const toRemote = routeTo('remote', question)
  const toLocal = routeTo('local', question)
  const copySeconds = (tokens: number): number =>
    tokens > 0 ? simulation.transferSeconds(remote.profile.kvBytes.at(tokens)) : 0
  const prefillSeconds = remote.profile.prefillSeconds.at(toRemote.uncachedTokens)
  return {
    remote: {
      waitSeconds: simulation.remote.waitSeconds(nowSeconds) + copySeconds(toRemote.copiedTokens),
      prefillSeconds,
      transferSeconds: simulation.afterPrefillSeconds(bytes, prefillSeconds),
      transferBytes: bytes,
      pricePerInstanceSecond: pricePerSecond(remote),
      pricePerByte: (link.pricePerGigabyte ?? 0) / 1e9,
    },
    local: {
      waitSeconds: simulation.local.waitSeconds(nowSeconds) + copySeconds(toLocal.copiedTokens),
      prefillSeconds: local.profile.prefillSeconds.at(toLocal.uncachedTokens),
      transferSeconds: 0,
      transferBytes: toLocal.copiedTokens > 0 ? remote.profile.kvBytes.at(toLocal.copiedTokens) : 0,
      pricePerInstanceSecond: pricePerSecond(local),
      pricePerByte: (link.pricePerGigabyte ?? 0) / 1e9,
    },
  }
}

function pricePerSecond({ pricePerGpuHour, profile }: Scenario['remote']): number {
  return ((pricePerGpuHour ?? 0) * profile.data.gpusPerInstance) / 3600
}
