import { describe, expect, it } from 'vitest'
import { exponential, seededRandom } from '../core/random.ts'
import { EventSchedule } from './event-schedule.ts'
import { ServerPool } from './sim-pool.ts'
import { drive, Jobs, streams } from './validate-run.ts'
import { EXPONENTIAL, type Service } from './validate-services.ts'
import { runLink, runPool, runTandem } from './validate-stations.ts'
import { type Batches, estimate, type RunLength } from './validate-statistics.ts'
import { SYSTEMS } from './validate-systems.ts'
import { rowsCoarse, rowsOff, runTask, taskArrivals, validationRows, validationTasks } from './validate.ts'

const SEEDS = [1, 2, 3, 4]

describe('the rows', () => {
  // Loads to 0.8 only: what lies above costs ten times as much, and `membrane validate` shows it.
  const tasks = validationTasks({ effort: 0.05, seeds: SEEDS, loadMax: 0.8 })
  const rows = validationRows(tasks, tasks.map(runTask))

  it('are within four standard errors of theory at fixed seeds', () => {
    expect(rows.length).toBeGreaterThan(100)
    expect(rowsOff(rows)).toEqual([])
  })

  it('are spread around theory as their standard errors say', () => {
    const squares = rows.reduce((sum, { z }) => sum + z * z, 0) / rows.length
    // Rows of one run are not independent, which widens this.
    expect(squares).toBeGreaterThan(0.5)
    expect(squares).toBeLessThan(1.6)
  })

  it('say whose errors are wider than a full run leaves', () => {
    for (const { system, load, quantity, standardError, standardErrorMax, theory } of rowsCoarse(rows)) {
      expect(standardError, `${system} at ${load}: ${quantity}`).toBeGreaterThan(standardErrorMax)
      expect(standardErrorMax / theory).toBeCloseTo(0.01, 12)
    }
    expect(rowsCoarse(rows).length).toBeGreaterThan(50)
  })

  it('do not depend on the order in which tasks are run', () => {
    const some = tasks.filter(({ system }) => system === 'M/M/1')
    const backwards = some.toReversed().map(runTask).toReversed()
    expect(validationRows(some, backwards)).toEqual(rows.filter(({ system }) => system === 'M/M/1'))
  })

  it('count an error that is no number as off', () => {
    const [row] = rows
    expect(row).toBeDefined()
    if (row !== undefined) expect(rowsOff([{ ...row, z: Number.NaN }])).toHaveLength(1)
  })

  it('show that Poisson arrivals see time averages and that bursty ones see more', () => {
    const seen = rows.filter(({ quantity }) => quantity.startsWith('number inside: seen'))
    for (const { system, simulated, standardError } of seen) {
      const off = (simulated - 1) / standardError
      if (system === 'M/M/1') expect(Math.abs(off)).toBeLessThan(4)
      else if (system.endsWith('0.5')) expect(off).toBeLessThan(-4)
      else expect(off).toBeGreaterThan(4)
    }
    expect(seen).toHaveLength(9)
  })

  it('show that sharing stretches small and large transfers alike, whatever the law of their sizes', () => {
    const stretches = rows.filter(({ quantity, load }) => quantity.startsWith('stretch') && load === 0.7)
    expect(stretches).toHaveLength(4)
    for (const { simulated } of stretches) expect(simulated * (1 - 0.7)).toBeCloseTo(1, 0.5)
  })
})

describe('a full run', () => {
  const tasks = validationTasks({ effort: 1, seeds: SEEDS })

  it('has at least 30 batches for each seed and every system of theory at loads 0.5 to 0.95', () => {
    for (const { length } of tasks) expect(length.batches).toBeGreaterThanOrEqual(30)
    for (const { name, loads } of SYSTEMS) {
      if (!name.endsWith('heavy traffic')) expect(loads, name).toEqual([0.5, 0.7, 0.8, 0.9, 0.95])
    }
  })

  it('costs no more than a minute of two cores: 300 million arrivals', () => {
    expect(tasks.reduce((sum, task) => sum + taskArrivals(task), 0)).toBeLessThan(300e6)
  })

  it('checks the slope of heavy traffic: (1 - load) x wait is near (ca2 + scv) / (2 c) at load 0.98', () => {
    const limits = { 'M/D/1': 1 / 2, 'GI/M/1': 1.5 / 2, 'M/M/2': 2 / 4 }
    for (const [name, limit] of Object.entries(limits)) {
      const [claim] = SYSTEMS.find((system) => system.name === `${name}, heavy traffic`)?.theory(0.98) ?? []
      expect(claim?.theory).toBeLessThan(limit)
      expect(claim?.theory).toBeGreaterThan(0.96 * limit)
    }
  })
})

describe('a run', () => {
  it('counts every job of every batch, those too that leave long after the last arrival of their batch', () => {
    const { sojournSeconds, flows } = runLink({
      ...streams('counted', { rateRps: 0.9, burstiness: 1 }),
      service: EXPONENTIAL,
      length: { warmUpArrivals: 10, batches: 20, batchArrivals: 50 },
      smallBytes: 0.5,
      largeBytes: 2,
    })
    expect([...sojournSeconds.weights]).toEqual(Array.from({ length: 20 }, () => 50))
    for (const seconds of flows.weights) expect(seconds).toBeGreaterThan(0)
  })
})

describe('a broken station is found', { timeout: 30_000 }, () => {
  const length: RunLength = { warmUpArrivals: 1000, batches: 60, batchArrivals: 3000 }
  const slow: Service = { ...EXPONENTIAL, draw: (random) => 1.03 * exponential(random) }
  const drawn = () => streams('broken', { rateRps: 0.5, burstiness: 1 })
  const never = { longWaitSeconds: Number.POSITIVE_INFINITY, longSojournSeconds: Number.POSITIVE_INFINITY }

  /** What each station says of one run, with what theory says of service of mean 1 at load 0.5. */
  function found(service: Service): readonly (readonly [Batches, number])[] {
    const run = { length, service }
    const pool = runPool({ ...drawn(), ...run, ...never, servers: 1, insideMax: Number.POSITIVE_INFINITY })
    const link = runLink({ ...drawn(), ...run, smallBytes: 0.5, largeBytes: 2 })
    return [
      [pool.waitSeconds, 1],
      [pool.inside, 1],
      [pool.busy, 0.5],
      [runTandem({ ...drawn(), ...run }).secondWaitSeconds, 1],
      [link.sojournSeconds, 2],
      [link.flows, 1],
      [link.stretchOfSmall, 2],
    ]
  }

  function offs(service: Service): number[] {
    return found(service).map(([batches, theory]) => {
      const { mean, standardError } = estimate([batches])
      return (mean - theory) / standardError
    })
  }

  it('by every quantity that is asked, when service takes 3 % longer', () => {
    for (const off of offs(EXPONENTIAL)) expect(Math.abs(off)).toBeLessThan(4)
    for (const off of offs(slow)) expect(off).toBeGreaterThan(4)
  })
})

describe('waits in M/M/1, of those who wait', () => {
  /** Waits so far apart that they are independent: one in 200 at load 0.7, whose memory is 44 arrivals. */
  function sparseWaits(count: number): number[] {
    const random = seededRandom(7)
    const schedule = new EventSchedule(2)
    const pool = new ServerPool({ schedule, firstSource: 1, servers: 1 })
    const jobs = new Jobs()
    const waits: number[] = []
    let arrived = 0
    const chosen = new Set<number>()
    const start = (job: number, now: number): void => {
      if (chosen.delete(job)) waits.push(jobs.ageSeconds(job, now))
      pool.start(job, exponential(random), now)
    }
    drive({
      schedule,
      jobs,
      gap: streams('sparse', { rateRps: 0.7, burstiness: 1 }).gap,
      length: { warmUpArrivals: 1000, batches: 1, batchArrivals: 200 * count },
      areas: [],
      arrive: (batch, now) => {
        const job = jobs.enter(batch, now)
        if (batch > 0 && arrived++ % 200 === 0) chosen.add(job)
        if (pool.arrive(job, now)) start(job, now)
      },
      fire: (source, now) => {
        jobs.leave(pool.finish(source, now))
        const next = pool.nextWaiting()
        if (next >= 0) start(next, now)
      },
    })
    return waits.filter((wait) => wait > 0)
  }

  /** Kolmogorov and Smirnov's distance to an exponential law, times the root of the count: above 1.95 once in a thousand. */
  function distance(sample: readonly number[], rate: number): number {
    const sorted = sample.toSorted((a, b) => a - b)
    const gaps = sorted.map((value, k) => {
      const share = 1 - Math.exp(-rate * value)
      return Math.max(share - k / sorted.length, (k + 1) / sorted.length - share)
    })
    return Math.sqrt(sorted.length) * Math.max(...gaps)
  }

  it('are exponential of rate mu - lambda', () => {
    const waits = sparseWaits(3000)
    // 70 % of them wait.
    expect(waits.length).toBeGreaterThan(2000)
    expect(distance(waits, 0.3)).toBeLessThan(1.95)
    expect(distance(waits, 0.25)).toBeGreaterThan(1.95)
  })
})
