import { describe, expect, it } from 'vitest'
import { type RouteQuestion, routePrefill } from './route.ts'

const question: RouteQuestion = {
  promptTokens: 30_000,
  remoteCachedTokens: 0,
  localCachedTokens: 0,
  thresholdTokens: 20_000,
  regime: 'bandwidth-scarce',
}

describe('with scarce bandwidth', () => {
  it('offloads strictly above the threshold only', () => {
    expect(routePrefill({ ...question, promptTokens: 20_001 }).prefill).toBe('remote')
    expect(routePrefill({ ...question, promptTokens: 20_000 }).prefill).toBe('local')
  })

  it('judges by the local cache and computes beyond the cache of the chosen cluster', () => {
    expect(routePrefill({ ...question, localCachedTokens: 10_000, remoteCachedTokens: 25_000 })).toEqual({
      prefill: 'local',
      uncachedTokens: 20_000,
      copiedTokens: 0,
    })
    expect(routePrefill({ ...question, localCachedTokens: 1000, remoteCachedTokens: 25_000 })).toEqual({
      prefill: 'remote',
      uncachedTokens: 5000,
      copiedTokens: 0,
    })
  })
})

describe('with abundant bandwidth', () => {
  const abundant = { ...question, regime: 'bandwidth-abundant' as const }

  it('judges by the longer cache and copies it when it is elsewhere', () => {
    expect(routePrefill({ ...abundant, remoteCachedTokens: 25_000 })).toEqual({
      prefill: 'local',
      uncachedTokens: 5000,
      copiedTokens: 25_000,
    })
    expect(routePrefill({ ...abundant, localCachedTokens: 4000 })).toEqual({
      prefill: 'remote',
      uncachedTokens: 26_000,
      copiedTokens: 4000,
    })
  })

  it('copies nothing when both caches are as long, or empty', () => {
    for (const cached of [0, 4000, 25_000]) {
      const route = routePrefill({ ...abundant, remoteCachedTokens: cached, localCachedTokens: cached })
      expect(route.copiedTokens).toBe(0)
    }
  })
})
