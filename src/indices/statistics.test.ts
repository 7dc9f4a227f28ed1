import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { type CacheCounts, INDEX_NAMES, OTHER_TENANTS, StatisticsRecorder } from './statistics.ts'
import { TIERS } from './tiers.ts'

const TENANT = 'one' as TenantId

describe('cache statistics', () => {
  test('add up to the same, by index, by tier and by tenant', () => {
    const event = fc.record({
      kind: fc.constantFrom('hit', 'miss', 'saved'),
      index: fc.constantFrom(...INDEX_NAMES),
      tenant: fc.constantFrom('one', 'two', 'three') as fc.Arbitrary<TenantId>,
      tier: fc.constantFrom(...TIERS),
      tokens: fc.nat({ max: 1000 }),
    })
    const property = fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const recorder = new StatisticsRecorder()
      for (const { kind, index, tenant, tier, tokens } of events) {
        if (kind === 'hit') recorder.hit(index, tenant, tier)
        else if (kind === 'miss') recorder.miss(index, tenant)
        else recorder.saved(index, tenant, { tier, tokens })
      }
      const counted = (of: readonly (typeof events)[number][]): CacheCounts => ({
        hits: of.filter(({ kind }) => kind === 'hit').length,
        misses: of.filter(({ kind }) => kind === 'miss').length,
        tokensSaved: of.reduce((sum, { kind, tokens }) => sum + (kind === 'saved' ? tokens : 0), 0),
      })
      const statistics = recorder.snapshot()
      expect(statistics).toMatchObject(counted(events))
      for (const [tenant, breakdown] of statistics.byTenant) {
        const own = events.filter((one) => one.tenant === tenant)
        expect(breakdown).toMatchObject(counted(own))
        for (const index of INDEX_NAMES)
          expect(breakdown.byIndex[index]).toEqual(counted(own.filter((one) => one.index === index)))
        for (const tier of TIERS) {
          const { hits, tokensSaved } = counted(own.filter((one) => one.tier === tier))
          expect(breakdown.byTier[tier]).toEqual({ hits, tokensSaved })
        }
      }
      expect(new Set(statistics.byTenant.keys())).toEqual(new Set(events.map(({ tenant }) => tenant)))
    })
    fc.assert(property, { numRuns: runs(100) })
  })

  test('count tenants above the bound together', () => {
    const recorder = new StatisticsRecorder()
    for (let tenant = 0; tenant < LIMITS.statisticsTenantsMax + 3; tenant++)
      recorder.miss('exact', `t${tenant}` as TenantId)
    recorder.miss('exact', 't0' as TenantId)
    const { byTenant, misses } = recorder.snapshot()
    expect([misses, byTenant.size]).toEqual([LIMITS.statisticsTenantsMax + 4, LIMITS.statisticsTenantsMax + 1])
    expect([byTenant.get(OTHER_TENANTS)?.misses, byTenant.get('t0')?.misses]).toEqual([3, 2])
  })

  test('taken once do not change', () => {
    const recorder = new StatisticsRecorder()
    recorder.hit('semantic', TENANT, 'disk')
    const before = recorder.snapshot()
    recorder.hit('semantic', TENANT, 'disk')
    expect(before.byTenant.get(TENANT)?.byTier.disk.hits).toBe(1)
  })
})
