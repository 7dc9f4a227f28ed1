import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CASE_STUDY, PLANNED } from '../../test/case-study.ts'
import { runs } from '../../test/effort.ts'
import type { SimulationOptions } from './sim-options.ts'
import { openSimulation } from './sim-run.ts'
import { checkLaws } from './simulation-laws.ts'
import type { Simulation } from './simulate.ts'

const options: SimulationOptions = { ...PLANNED, requests: 2000, seed: 3 }

function opened(change: Partial<SimulationOptions> = {}): Simulation {
  return openSimulation(CASE_STUDY, { ...options, ...change }).simulation
}

function runUntil(simulation: Simulation, seconds: number): void {
  while (!simulation.isDone && simulation.nowSeconds < seconds) simulation.run(1)
}

/** Instances that take prefills, that take sequences, that are on their way, that finish what they have. */
function counts({ local, locals }: Simulation): {
  prefill: number
  decode: number
  changing: number
  draining: number
} {
  const [prefill, decode, changing] = [local.openServers, locals.decoding.value, locals.changing]
  return { prefill, decode, changing, draining: locals.alive - prefill - decode - changing }
}

describe('a change of roles', () => {
  it('from decode to prefill drains first, takes nothing new, and serves after the time a change takes', () => {
    const simulation = opened()
    runUntil(simulation, 200)
    simulation.setPrefillRoles(4)
    const begun = simulation.nowSeconds
    expect(simulation.locals.prefillRoles).toBe(4)
    expect(counts(simulation)).toEqual({ prefill: 3, decode: 4, changing: 0, draining: 1 })
    // The emptiest of those that decoded.
    const draining = simulation.locals.decoders.toSorted((a, b) => a.batch - b.batch).find(({ batch }) => batch > 0)
    let [batch, emptySeconds] = [draining?.batch ?? 0, 0]
    while (counts(simulation).prefill < 4) {
      simulation.run(1)
      expect(draining?.batch).toBeLessThanOrEqual(batch)
      batch = draining?.batch ?? 0
      if (batch === 0 && emptySeconds === 0) {
        emptySeconds = simulation.nowSeconds
        expect(counts(simulation)).toEqual({ prefill: 3, decode: 4, changing: 1, draining: 0 })
      }
    }
    expect(emptySeconds).toBeGreaterThan(begun)
    expect(simulation.nowSeconds - emptySeconds).toBeCloseTo(30, 9)
    expect(counts(simulation)).toEqual({ prefill: 4, decode: 4, changing: 0, draining: 0 })
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
  })

  it('from prefill to decode finishes its prefill first, and others are let into its slots afterwards', () => {
    const simulation = opened({ rateRps: 2.8 })
    runUntil(simulation, 200)
    while (simulation.local.busy.value < 3) simulation.run(1)
    simulation.setPrefillRoles(2)
    expect(counts(simulation)).toEqual({ prefill: 2, decode: 5, changing: 0, draining: 1 })
    expect(simulation.local.busy.value).toBe(3)
    while (counts(simulation).draining > 0) simulation.run(1)
    const freeSeconds = simulation.nowSeconds
    while (counts(simulation).decode < 6) simulation.run(1)
    expect(simulation.nowSeconds - freeSeconds).toBeCloseTo(30, 9)
    runUntil(simulation, simulation.nowSeconds + 100)
    expect(simulation.locals.decoders.filter(({ batch }) => batch > 0).length).toBe(6)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
  })

  it('never takes the last instance that decodes', () => {
    const simulation = opened({ requests: 200 })
    simulation.setPrefillRoles(8)
    expect(simulation.locals.prefillRoles).toBe(7)
    simulation.run(Number.POSITIVE_INFINITY)
    expect(counts(simulation)).toEqual({ prefill: 7, decode: 1, changing: 0, draining: 0 })
    checkLaws(simulation)
  })

  it('keeps the counts of instances, whatever is asked, lost and restored at any time', () => {
    const steps = fc.array(
      fc.record({
        seconds: fc.double({ min: 0, max: 60, noNaN: true }),
        what: fc.constantFrom('roles', 'lose', 'restore'),
        pool: fc.constantFrom('localPrefill' as const, 'decode' as const),
        count: fc.integer({ min: 1, max: 8 }),
      }),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(steps, fc.nat(), fc.constantFrom(0, 30), (list, seed, roleChangeSeconds) => {
        const simulation = opened({ seed, requests: 300, roleChangeSeconds })
        const { locals } = simulation
        for (const { seconds, what, pool, count } of list) {
          runUntilStuck(simulation, simulation.nowSeconds + seconds)
          if (simulation.isDone) return
          if (what === 'roles') simulation.setPrefillRoles(count)
          else if (what === 'lose') simulation.lose(pool, count)
          else simulation.restore(pool, count)
          const { prefill, decode, changing, draining } = counts(simulation)
          expect(Math.min(prefill, decode, changing, draining)).toBeGreaterThanOrEqual(0)
          const lost = locals.decoders.filter((_, k) => locals.isLost(k)).length
          expect(locals.alive + lost).toBe(8)
          expect(locals.prefillRoles).toBeLessThanOrEqual(locals.alive)
          const taking = locals.decoders.filter((instance, k) => locals.isLost(k) && instance.batch > 0)
          expect(taking).toEqual([])
        }
        for (const pool of ['localPrefill', 'decode'] as const) simulation.restore(pool, 8)
        if (locals.prefillRoles === 8) simulation.setPrefillRoles(7)
        simulation.run(Number.POSITIVE_INFINITY)
        expect(simulation.isDone).toBe(true)
        checkLaws(simulation)
      }),
      { numRuns: runs(40) },
    )
  })
})

/** Nothing may be pending while everybody waits for instances that a test restores later. */
function runUntilStuck(simulation: Simulation, seconds: number): void {
  while (!simulation.isDone && simulation.schedule.nextSource() >= 0 && simulation.schedule.nextSeconds() < seconds)
    simulation.run(1)
}
