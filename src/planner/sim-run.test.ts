import { describe, expect, it } from 'vitest'
import { AGENTS, CASE_STUDY, CLUSTER_CACHES, PLANNED, simulatePlanned } from '../../test/case-study.ts'
import { lose, restore } from '../../test/losses.ts'
import type { SimulationOptions } from './sim-options.ts'
import { openSimulation, simulateBatch } from './sim-run.ts'

describe('a run', () => {
  it('is the same to the last bit for the same seed, whatever it simulates, and another for another', () => {
    const changes: Partial<SimulationOptions>[] = [
      {},
      { scheduler: 'on', replanSeconds: 60, seriesSeconds: 30, timelines: 50 },
      { scheduler: 'off' },
      { events: [lose(300, 'remotePrefill', 4), lose(320, 'decode', 2), restore(500, 'remotePrefill', 4)] },
      { workload: AGENTS, caches: CLUSTER_CACHES, rateRps: 2 },
    ]
    for (const change of changes) {
      const [one, again, other] = [1, 1, 2].map((seed) => simulatePlanned({ ...change, seed, requests: 1200 }))
      expect(one).toEqual(again)
      expect(other?.latencies.ttft.sum).not.toBe(one?.latencies.ttft.sum)
    }
  })

  it('does not depend on how often its progress is asked for, or on what is recorded beside it', () => {
    const { simulation } = openSimulation(CASE_STUDY, PLANNED)
    while (!simulation.isDone) simulation.run(7)
    expect(simulation.record.ttft.data()).toEqual(simulatePlanned({}).latencies.ttft)
    expect(simulatePlanned({ seriesSeconds: 10, timelines: 100 }).latencies).toEqual(simulatePlanned({}).latencies)
  })

  it('sees the same requests at the same times under every scheduler, threshold and deployment', () => {
    const of = (change: Partial<SimulationOptions>): (readonly [number, number, number])[] =>
      simulatePlanned({ ...change, timelines: 3000 })
        .timelines.toSorted((a, b) => a.number - b.number)
        .map(({ number, arrivalSeconds, promptTokens }) => [number, arrivalSeconds, promptTokens])
    const base = of({})
    expect(base.length).toBe(2940)
    expect(of({ scheduler: 'on' })).toEqual(base)
    expect(of({ thresholdTokens: 50_000, roles: { remotePrefill: 2, localPrefill: 7, decode: 9 } })).toEqual(base)
  })

  it('keeps timelines whose times are in order and add up', () => {
    const { timelines } = simulatePlanned({ timelines: 200 })
    expect(timelines.length).toBe(200)
    for (const one of timelines) {
      const times = [
        one.arrivalSeconds,
        one.prefillStartSeconds,
        one.prefillEndSeconds,
        one.kvReadySeconds,
        one.joinSeconds,
        one.firstTokenSeconds,
        one.endSeconds,
      ]
      for (const [k, time] of times.entries()) expect(time).toBeGreaterThanOrEqual((times[k - 1] ?? 0) - 1e-9)
      expect(one.place).toBe(one.promptTokens > 19_405 ? 'remote' : 'local')
    }
  })

  it('records a series that adds up to the whole', () => {
    const data = simulatePlanned({ seriesSeconds: 25 })
    const { series } = data
    expect(series?.endSeconds[0]).toBe(25)
    const arrivals = series?.arrivalsRps.reduce((sum, rate) => sum + rate * 25, 0) ?? 0
    expect(arrivals).toBeGreaterThan(2900)
    expect(arrivals).toBeLessThanOrEqual(3000.001)
    for (const shares of [series?.linkUtilisation, series?.remoteUtilisation, series?.localUtilisation])
      for (const share of shares ?? []) expect(share >= 0 && share <= 1 + 1e-9).toBe(true)
    expect(series?.localPrefill.every((count) => count === 3)).toBe(true)
  })

  it('calls for progress until all is done', () => {
    const seen: number[] = []
    simulateBatch(CASE_STUDY, PLANNED, (completed) => seen.push(completed))
    expect(seen.at(-1)).toBe(3000)
  })
})
