import { describe, expect, it } from 'vitest'
import { CASE_STUDY, PLANNED, simulatePlanned } from '../../test/case-study.ts'
import { lose, restore, runUntil } from '../../test/losses.ts'
import type { TimedEvent } from './sim-options.ts'
import { openSimulation } from './sim-run.ts'
import { checkLaws } from './simulation-laws.ts'

const { spec } = CASE_STUDY

describe('a loss of instances', () => {
  it('repeats the prefills that were under way, and every request is served', () => {
    const data = simulatePlanned({
      events: [
        lose(400, 'remotePrefill', 2),
        lose(400, 'localPrefill', 1),
        restore(600, 'remotePrefill', 2),
        restore(600, 'localPrefill', 1),
      ],
    })
    expect(data.repeated).toBeGreaterThan(0)
    expect(data.repeated).toBeLessThanOrEqual(3)
    expect(data.requests).toBe(3000)
    // Open servers are fewer for so long.
    expect(data.stages.remotePrefill.openSeconds).toBeCloseTo(4 * data.seconds - 2 * 200, 6)
    expect(data.stages.localPrefill.openSeconds).toBeCloseTo(3 * data.seconds - 200, 6)
  })

  it('of decode instances leaves the first tokens that users saw as they were', () => {
    const of = (events: readonly TimedEvent[]) =>
      openSimulation(CASE_STUDY, { ...PLANNED, events, timelines: 3000, requests: 1500 })
    const [calm, broken] = [of([]), of([lose(400, 'decode', 3), restore(420, 'decode', 3)])]
    calm.simulation.run(Number.POSITIVE_INFINITY)
    broken.simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(broken.simulation)
    // Who had a first token before the loss keeps it: the same number of latencies, and all of those before are the same.
    const repeated = broken.simulation.record.repeated
    expect(repeated).toBeGreaterThan(10)
    const before = new Map(calm.control.timelines.map((one) => [one.number, one]))
    const ended = broken.control.timelines.filter(({ endSeconds }) => endSeconds < 400)
    expect(ended.length).toBeGreaterThan(500)
    for (const one of ended) expect(one).toEqual(before.get(one.number))
    // A sequence that is repeated ends later, but its TTFT is counted once, from the first time.
    expect(broken.simulation.record.ttft.count).toBe(calm.simulation.record.ttft.count)
    expect(broken.simulation.record.e2e.sum).toBeGreaterThan(calm.simulation.record.e2e.sum)
  })

  it('right after a first token counts that token once, and the request still generates all of its answer', () => {
    const one = { ...PLANNED, requests: 1, rateRps: 1, thresholdTokens: 1e6 }
    const reference = openSimulation(CASE_STUDY, one).simulation
    reference.run(Number.POSITIVE_INFINITY)
    const step = spec.local.decode.stepSeconds.fixed
    const [ttft, e2e] = [reference.record.ttft.sum, reference.record.e2e.sum]
    const { simulation } = openSimulation(CASE_STUDY, {
      ...one,
      roles: { remotePrefill: 0, localPrefill: 1, decode: 2 },
    })
    const arrival = reference.record.lastArrivalSeconds
    // In the middle of the tenth step; the step counts as done.
    runUntil(simulation, () => simulation.locals.decoders.some(({ batch }) => batch === 1))
    const joined = simulation.nowSeconds
    simulation.schedule.set(4, joined + 9.5 * step)
    simulation.run(1)
    const job = 0
    simulation.lose('decode', 2)
    expect(simulation.jobs.tokensDone[job]).toBe(10)
    simulation.restore('decode', 2)
    simulation.run(Number.POSITIVE_INFINITY)
    expect(simulation.record.ttft.sum).toBeCloseTo(ttft, 9)
    expect(simulation.record.firstToken.sum).toBeCloseTo(ttft + step, 9)
    // The prompt and ten tokens are prefilled anew, then the other 1014 generated.
    const seconds =
      9.5 * step +
      CASE_STUDY.local.profile.prefillSeconds.at((simulation.jobs.promptTokens[job] ?? 0) + 10) +
      1014 * step
    expect(simulation.record.e2e.sum).toBeCloseTo(joined - arrival + seconds, 6)
    expect(simulation.record.e2e.sum).toBeGreaterThan(e2e)
    checkLaws(simulation)
  })

  it('in the last step of an answer repeats that step alone', () => {
    const one = {
      ...PLANNED,
      requests: 1,
      rateRps: 1,
      thresholdTokens: 1e6,
      roles: { remotePrefill: 0, localPrefill: 1, decode: 1 },
    }
    const { simulation } = openSimulation(CASE_STUDY, one)
    runUntil(simulation, () => simulation.locals.decoders.some(({ batch }) => batch === 1))
    simulation.schedule.set(4, simulation.nowSeconds + 1023.5 * spec.local.decode.stepSeconds.fixed)
    simulation.run(1)
    simulation.lose('decode', 1)
    expect(simulation.jobs.tokensDone[0]).toBe(1023)
    simulation.restore('decode', 1)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
    expect(simulation.record.completed).toBe(1)
  })

  it('of all that prefills locally sends on who waits there, and the other way round', () => {
    const { simulation } = openSimulation(CASE_STUDY, {
      ...PLANNED,
      requests: 400,
      rateRps: 3,
      thresholdTokens: 60_000,
      events: [lose(100, 'localPrefill', 3)],
    })
    runUntil(simulation, () => simulation.nowSeconds > 99)
    expect(simulation.local.waiting).toBeGreaterThan(0)
    runUntil(simulation, () => simulation.nowSeconds > 101)
    expect(simulation.local.waiting).toBe(0)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
    const both = [lose(50, 'remotePrefill', 4), lose(50, 'localPrefill', 3), restore(90, 'localPrefill', 3)]
    // The remote cluster never comes back, but the local one can do its work.
    expect(simulatePlanned({ requests: 200, events: both }).requests).toBe(200)
  })

  it('of which nothing comes back ends with an error that says so, not with a run that never ends', () => {
    const stuck = expect.objectContaining({ code: 'OUT_OF_DOMAIN' })
    for (const scheduler of ['on', 'fixed', 'off'] as const) {
      expect(() =>
        simulatePlanned({ scheduler, requests: 300, events: [lose(20, 'decode', 5), lose(20, 'localPrefill', 3)] }),
      ).toThrow(stuck)
    }
    expect(() => simulatePlanned({ requests: 300, events: [lose(20, 'decode', 5)] })).toThrow(
      /requests wait for instances that are lost/,
    )
    expect(() => simulatePlanned({ requests: 300, events: [{ kind: 'link', atSeconds: 20, gbps: 0 }] })).toThrow(
      /requests wait for a link that carries nothing/,
    )
  })
})
