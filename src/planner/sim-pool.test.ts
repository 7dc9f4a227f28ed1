import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { exponential, seededRandom } from '../core/random.ts'
import { EventSchedule } from './event-schedule.ts'
import { ServerPool } from './sim-pool.ts'

/** Delays of a pool on its own, by job: what each waits before its service. */
function delays(
  jobs: readonly { readonly at: number; readonly seconds: number }[],
  servers: number,
): { readonly waits: number[]; readonly pool: ServerPool; readonly endSeconds: number } {
  const schedule = new EventSchedule(1 + servers)
  const pool = new ServerPool({ schedule, firstSource: 1, servers })
  const waits: number[] = []
  let [arrived, now] = [0, 0]
  const start = (job: number): void => {
    waits[job] = now - (jobs[job]?.at ?? 0)
    pool.start(job, jobs[job]?.seconds ?? 0, now)
  }
  schedule.set(0, jobs[0]?.at ?? 0)
  for (let source = schedule.nextSource(); source >= 0; source = schedule.nextSource()) {
    now = schedule.nextSeconds()
    if (source === 0) {
      if (pool.arrive(arrived, now)) start(arrived)
      arrived += 1
      schedule.set(0, jobs[arrived]?.at ?? Number.POSITIVE_INFINITY)
    } else {
      pool.finish(source, now)
      const next = pool.nextWaiting()
      if (next >= 0) start(next)
    }
  }
  return { waits, pool, endSeconds: now }
}

describe('a pool of servers', () => {
  const streams = fc.record({
    seed: fc.nat(),
    servers: fc.integer({ min: 1, max: 5 }),
    load: fc.double({ min: 0.3, max: 1.4, noNaN: true }),
  })
  const jobsOf = (seed: number, rate: number): { at: number; seconds: number }[] => {
    const random = seededRandom(seed)
    let at = 0
    return Array.from({ length: 200 }, () => {
      at += exponential(random) / rate
      return { at, seconds: exponential(random) }
    })
  }
  const noneLater = (few: readonly number[], many: readonly number[]): void => {
    for (const [k, wait] of few.entries()) expect(wait).toBeLessThanOrEqual((many[k] ?? 0) + 1e-9)
  }

  it('never delays a request more with one server more', () => {
    fc.assert(
      fc.property(streams, ({ seed, servers, load }) => {
        const jobs = jobsOf(seed, load * servers)
        noneLater(delays(jobs, servers + 1).waits, delays(jobs, servers).waits)
      }),
      { numRuns: runs(60) },
    )
  })

  it('never delays a request more at a lower rate, or with shorter services', () => {
    fc.assert(
      fc.property(streams, fc.double({ min: 1, max: 3, noNaN: true }), ({ seed, servers, load }, factor) => {
        const jobs = jobsOf(seed, load * servers)
        const { waits } = delays(jobs, servers)
        const slower = jobs.map(({ at, seconds }) => ({ at: at * factor, seconds }))
        noneLater(delays(slower, servers).waits, waits)
        const shorter = jobs.map(({ at, seconds }) => ({ at, seconds: seconds / factor }))
        noneLater(delays(shorter, servers).waits, waits)
      }),
      { numRuns: runs(60) },
    )
  })

  it('obeys Little, and is busy for exactly the service it gives', () => {
    fc.assert(
      fc.property(streams, ({ seed, servers, load }) => {
        const jobs = jobsOf(seed, load * servers)
        const { waits, pool, endSeconds } = delays(jobs, servers)
        const service = jobs.reduce((sum, { seconds }) => sum + seconds, 0)
        expect(pool.busy.area(endSeconds)).toBeCloseTo(service, 6)
        expect(pool.inSystem.area(endSeconds)).toBeCloseTo(
          waits.reduce((sum, wait) => sum + wait, service),
          6,
        )
      }),
      { numRuns: runs(20) },
    )
  })

  it('foretells the wait of one server exactly', () => {
    const schedule = new EventSchedule(2)
    const pool = new ServerPool({ schedule, firstSource: 0, servers: 1 })
    expect(pool.waitSeconds(0)).toBe(0)
    expect(pool.arrive(0, 0)).toBe(true)
    pool.start(0, 5, 0)
    expect(pool.arrive(1, 1)).toBe(false)
    pool.queuedWorkSeconds += 3
    expect(pool.waitSeconds(2)).toBe(6)
  })

  it('closes servers after what they do, opens them again, and loses what a lost one did', () => {
    const schedule = new EventSchedule(4)
    const pool = new ServerPool({ schedule, firstSource: 0, servers: 3, closed: 1 })
    expect(pool.openServers).toBe(2)
    pool.arrive(0, 0)
    pool.start(0, 5, 0)
    pool.arrive(1, 0)
    pool.start(1, 7, 0)
    expect(pool.arrive(2, 0)).toBe(false)
    const first = schedule.nextSource()
    pool.closeServer(first, 1)
    expect([pool.openServers, pool.isServing(first)]).toEqual([1, true])
    expect(pool.finish(first, 5)).toBe(0)
    // The server that is closed takes nobody, although somebody waits.
    expect(pool.nextWaiting()).toBe(-1)
    pool.openServer(2, 6)
    expect(pool.nextWaiting()).toBe(2)
    pool.start(2, 1, 6)
    expect(pool.lose(2, 6.5)).toBe(2)
    expect([pool.inSystem.value, pool.busy.value, pool.openServers]).toEqual([1, 1, 1])
    expect(schedule.secondsOf(2)).toBe(Number.POSITIVE_INFINITY)
    expect(pool.lose(2, 7)).toBe(-1)
    expect(pool.withdraw(7)).toBe(-1)
  })
})
