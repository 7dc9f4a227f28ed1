import { describe, expect, it } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { sampleLength } from './lengths.ts'
import { preset } from './presets.ts'
import { type ObservedLoad, replan } from './reallocate.ts'
import { requestCapacity } from './request-capacity.ts'
import { buildScenario } from './scenario.ts'

const scenario = buildScenario(preset('case-study'))
const random = seededRandom(8)
const uncachedTokens = Float64Array.from({ length: 3000 }, () => sampleLength(scenario.lengths, random))
const load: ObservedLoad = {
  rateRps: 2.6,
  burstiness: 1,
  uncachedTokens,
  outputTokensMean: 1024,
  linkGbps: 100,
  remoteInstances: 4,
  localInstances: 8,
}
const plan = (change: Partial<ObservedLoad>, localPrefill = 3) => replan(scenario, { ...load, ...change }, localPrefill)

describe('a plan made anew', () => {
  it('for the load it was made for is about the plan there was', () => {
    // At this rate one decode instance less would be busier than is planned with.
    const { best, asItIs } = plan({ rateRps: 2.9 })
    expect(best.roles).toEqual({ remotePrefill: 4, localPrefill: 3, decode: 5 })
    expect(best.thresholdTokens).toBe(asItIs.thresholdTokens)
    expect(best.thresholdTokens).toBeGreaterThan(15_000)
    expect(best.thresholdTokens).toBeLessThan(25_000)
    expect(best.prediction.headroom).toBeGreaterThan(1.08)
  })

  it('raises the threshold when the link drops, and more the further it drops', () => {
    const thresholds = [100, 20, 8, 3].map((linkGbps) => plan({ linkGbps, rateRps: 1.5 }).asItIs.thresholdTokens)
    for (const [k, threshold] of thresholds.entries()) expect(threshold).toBeGreaterThanOrEqual(thresholds[k - 1] ?? 0)
    expect(thresholds.at(-1)).toBeGreaterThan(1.2 * (thresholds[0] ?? 0))
  })

  it('keeps more local when remote instances are lost, everything when all are', () => {
    const thresholds = [4, 3, 2, 1].map(
      (remoteInstances) => plan({ remoteInstances, rateRps: 1.2 }).asItIs.thresholdTokens,
    )
    for (const [k, threshold] of thresholds.entries()) expect(threshold).toBeGreaterThanOrEqual(thresholds[k - 1] ?? 0)
    expect(thresholds.at(-1)).toBeGreaterThan(thresholds[0] ?? 0)
    const alone = plan({ remoteInstances: 0, rateRps: 0.8 })
    expect(alone.best.thresholdTokens).toBeGreaterThanOrEqual(Math.max(...uncachedTokens))
    expect(alone.best.roles.remotePrefill).toBe(0)
  })

  it('gives more instances to decode when answers grow longer, and fewer when they shrink', () => {
    const decode = [256, 1024, 1400].map((outputTokensMean) => plan({ outputTokensMean, rateRps: 2 }).best.roles.decode)
    expect(decode[0]).toBeLessThan(decode[1] ?? 0)
    expect(decode[1]).toBeLessThanOrEqual(decode[2] ?? 0)
  })

  it('is never worse than the plan for the roles as they are', () => {
    for (const rateRps of [0.5, 2, 3, 5]) {
      for (const localPrefill of [1, 3, 6]) {
        const { best, asItIs } = plan({ rateRps }, localPrefill)
        expect(asItIs.roles.localPrefill).toBe(localPrefill)
        const [a, b] = [best.prediction, asItIs.prediction]
        if (b.ttftSecondsP90 !== null) expect(a.ttftSecondsP90).toBeLessThanOrEqual(b.ttftSecondsP90)
        else if (a.ttftSecondsP90 === null) expect(a.headroom).toBeGreaterThanOrEqual(b.headroom)
      }
    }
  })

  it('never overloads decode where another split avoids it', () => {
    for (const outputTokensMean of [512, 1024, 2048, 4096]) {
      for (const rateRps of [0.5, 1, 2, 3, 4]) {
        const { best } = plan({ outputTokensMean, rateRps })
        const decodable = ({ decode }: { readonly decode: number }): number =>
          (decode * scenario.decodeBatch.batch) / (scenario.decodeBatch.stepSeconds * outputTokensMean)
        // Seven that decode leave one to prefill, and the remote cluster.
        if (best.prediction.ttftSecondsP90 !== null) expect(decodable(best.roles)).toBeGreaterThan(rateRps)
      }
    }
  })

  it('for an overload takes the largest rate there is', () => {
    const { best } = plan({ rateRps: 9 })
    expect(best.prediction.ttftSecondsP90).toBeNull()
    const carried = best.prediction.headroom * 9
    for (let localPrefill = 0; localPrefill < 8; localPrefill++) {
      const roles = { remotePrefill: 4, localPrefill, decode: 8 - localPrefill }
      for (const thresholdTokens of [10_000, 19_405, 40_000])
        expect(requestCapacity(scenario, { roles, thresholdTokens, rateRps: 9 }).equation6Rps).toBeLessThan(
          carried * 1.03,
        )
    }
  })

  it('says so where nothing can be served', () => {
    expect(plan({ remoteInstances: 0, localInstances: 1 }, 0).best.prediction).toEqual({
      ttftSecondsP90: null,
      headroom: 0,
    })
  })
})
