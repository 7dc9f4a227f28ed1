/**
 * Phases that decide where a prompt is prefilled: by the rates that this engine has just shown and by the KV bytes of
 * its model. What no single machine can measure (a faster cluster, the link to it, prices) is stated.
 */
import { expectedPrice, expectedTtftSeconds, type PrefillEstimate } from '../policy/cost.ts'
import { routeByPrice } from '../policy/economic-route.ts'
import { routeByLatency } from '../policy/latency-route.ts'
import { type Place, routePrefill } from '../policy/route.ts'
import type { Phase, PhaseOutcome } from './demo-full-phase.ts'
import { type DemoWorld, kvBytesPerToken } from './demo-full-world.ts'
import { figure, table } from './print.ts'
import { secondsText } from './print-generation.ts'
import { bytesText } from './units.ts'

export const OFFLOAD_PHASE: Phase = {
  name: 'offload',
  title: 'Offload: which prompts are worth sending to a faster cluster',
  run: runOffload,
}

export const PRICE_PHASE: Phase = {
  name: 'price',
  title: 'Price: the cheapest place that is in time',
  run: runPrice,
}

/** Stated: a cluster four times as fast as this engine, behind 1 Gbps and 20 ms. */
const REMOTE = { speedup: 4, linkBytesPerSecond: 125e6, linkSeconds: 0.02 } as const
/** Stated: prices of an hour here and there, and of a gigabyte on the link, in one currency. */
const PRICES = { localHour: 1, remoteHour: 6, linkGigabyte: 0.05 } as const
const SECONDS_PER_HOUR = 3600
const LONG_TOKENS = 1500
const SHORT_TOKENS = 24

interface Estimates {
  readonly local: PrefillEstimate
  readonly remote: PrefillEstimate
}

/** Both places hold `cachedTokens` of the prompt. */
function estimatesOf({ rates, backend }: DemoWorld, promptTokens: number, cachedTokens: number): Estimates {
  const span = { start: cachedTokens, end: promptTokens }
  const prefillSeconds = rates.prefillCallSeconds + rates.prefillSeconds(span)
  const transferBytes = (span.end - span.start) * kvBytesPerToken(backend.model)
  return {
    local: {
      waitSeconds: 0,
      prefillSeconds,
      transferSeconds: 0,
      transferBytes: 0,
      pricePerInstanceSecond: PRICES.localHour / SECONDS_PER_HOUR,
      pricePerByte: 0,
    },
    remote: {
      waitSeconds: 0,
      prefillSeconds: prefillSeconds / REMOTE.speedup,
      transferSeconds: REMOTE.linkSeconds + transferBytes / REMOTE.linkBytesPerSecond,
      transferBytes,
      pricePerInstanceSecond: PRICES.remoteHour / SECONDS_PER_HOUR,
      pricePerByte: PRICES.linkGigabyte / 1e9,
    },
  }
}

/** The most uncached tokens that are computed here sooner than there; all, where nothing is sooner there. */
function breakEvenTokens(world: DemoWorld): number {
  const { contextTokensMax } = world.backend.model
  let tokens = 0
  while (tokens < contextTokensMax) {
    const { remote, local } = estimatesOf(world, tokens + 1, 0)
    if (routeByLatency(remote, local) === 'remote') break
    tokens += 1
  }
  return tokens
}

async function runOffload(world: DemoWorld): Promise<PhaseOutcome> {
  const { rates, backend } = world
  const thresholdTokens = breakEvenTokens(world)
  const cases = [
    { name: 'short', promptTokens: SHORT_TOKENS, cachedTokens: 0 },
    { name: 'long', promptTokens: LONG_TOKENS, cachedTokens: 0 },
    { name: 'long, all but its end cached', promptTokens: LONG_TOKENS, cachedTokens: LONG_TOKENS - SHORT_TOKENS },
  ].map(({ name, promptTokens, cachedTokens }) => {
    const route = routeOf(promptTokens, cachedTokens, thresholdTokens)
    const { local, remote } = estimatesOf(world, promptTokens, cachedTokens)
    const [localSeconds, remoteSeconds] = [expectedTtftSeconds(local), expectedTtftSeconds(remote)]
    return {
      name,
      promptTokens,
      cachedTokens,
      route,
      fastest: routeByLatency(remote, local),
      localSeconds,
      remoteSeconds,
    }
  })
  const perTokenSeconds = rates.prefillSeconds({ start: 0, end: LONG_TOKENS }) / LONG_TOKENS
  const bytesPerToken = kvBytesPerToken(backend.model)
  const edges = [thresholdTokens, thresholdTokens + 1].map((tokens) => routeOf(tokens, 0, thresholdTokens))
  return {
    says: [
      `Measured here: ${secondsText(perTokenSeconds)} and ${bytesText(bytesPerToken)} of KV a token. Stated: a cluster ${REMOTE.speedup} times as fast, behind 1 Gbps and ${secondsText(REMOTE.linkSeconds)}. So the threshold is ${thresholdTokens} uncached tokens.`,
      table(
        ['tokens', 'cached', 'ready here', 'ready there', 'sent'],
        cases.map(({ promptTokens, cachedTokens, route, localSeconds, remoteSeconds }) => [
          promptTokens,
          cachedTokens,
          secondsText(localSeconds),
          secondsText(remoteSeconds),
          route === 'remote' ? 'yes' : 'no',
        ]),
      ),
    ],
    figures: {
      thresholdTokens,
      measured: { prefillSecondsPerToken: perTokenSeconds, kvBytesPerToken: bytesPerToken },
      stated: REMOTE,
      cases,
    },
    checks: [
      { claim: 'what computing costs was measured, not assumed', holds: rates.isPrefillMeasured },
      { claim: 'the threshold is passed by one token more', holds: edges[0] === 'local' && edges[1] === 'remote' },
      {
        // The end of a cached prompt attends to all of it, which a count of uncached tokens does not see.
        claim: 'of nothing cached, the threshold sends a prompt where it is ready first',
        holds: cases.every(({ cachedTokens, route, fastest }) => cachedTokens > 0 || route === fastest),
      },
      { claim: 'what is cached does not travel', holds: cases[2]?.route === 'local' },
    ],
  }
}

function routeOf(promptTokens: number, cachedTokens: number, thresholdTokens: number): Place {
  return routePrefill({
    promptTokens,
    localCachedTokens: cachedTokens,
    remoteCachedTokens: cachedTokens,
    thresholdTokens,
    regime: 'bandwidth-scarce',
  }).prefill
}

async function runPrice(world: DemoWorld): Promise<PhaseOutcome> {
  const { local, remote } = estimatesOf(world, LONG_TOKENS, 0)
  const [localSeconds, remoteSeconds] = [expectedTtftSeconds(local), expectedTtftSeconds(remote)]
  const [localPrice, remotePrice] = [1000 * expectedPrice(local), 1000 * expectedPrice(remote)]
  const looseSeconds = 2 * Math.max(localSeconds, remoteSeconds)
  const tightSeconds = (localSeconds + remoteSeconds) / 2
  const [loose, tight] = [looseSeconds, tightSeconds].map((bound) => routeByPrice(remote, local, bound))
  const cheapest = localPrice <= remotePrice ? 'local' : 'remote'
  return {
    says: [
      `Stated: ${PRICES.localHour} an hour here, ${PRICES.remoteHour} there, ${PRICES.linkGigabyte} a GB on the link. ${LONG_TOKENS} tokens: here ${secondsText(localSeconds)} and ${figure(localPrice)} per 1,000 requests, there ${secondsText(remoteSeconds)} and ${figure(remotePrice)}.`,
      `Taken if a first token within ${secondsText(looseSeconds)} will do: ${placeText(loose)}. Within ${secondsText(tightSeconds)}: ${placeText(tight)}.`,
    ],
    figures: {
      stated: { ...PRICES, ...REMOTE },
      ttftSeconds: { local: localSeconds, remote: remoteSeconds },
      pricePer1000: { local: localPrice, remote: remotePrice },
      routes: [
        { ttftSecondsMax: looseSeconds, route: loose },
        { ttftSecondsMax: tightSeconds, route: tight },
      ],
    },
    checks: [
      { claim: 'what computing costs was measured, not assumed', holds: world.rates.isPrefillMeasured },
      { claim: 'with time enough the cheapest place is taken', holds: loose === cheapest },
      { claim: 'with too little time for it, the one that is in time', holds: tight === routeByLatency(remote, local) },
    ],
  }
}

function placeText(place: Place | undefined): string {
  return place === 'remote' ? 'there' : 'here'
}
