import { EventSchedule } from './event-schedule.ts'
import { SharedLink } from './sim-link.ts'
import { ServerPool } from './sim-pool.ts'
import { AreaTally, drive, Jobs, JobTally, type Streams } from './validate-run.ts'
import type { Service } from './validate-services.ts'
import type { Batches, RunLength } from './validate-statistics.ts'

/** What is needed to run a station: whose jobs, for how long, with which numbers. */
export interface StationRun extends Streams {
  readonly service: Service
  readonly length: RunLength
}

/** Sojourns "about" a bound are less than this share of it away. */
export const ABOUT = 0.1

export interface PoolRun extends StationRun {
  readonly servers: number
  /** Who finds this many inside is turned away. */
  readonly insideMax: number
  /** Waits above this are counted. */
  readonly longWaitSeconds: number
  /** Sojourns above and about this are counted. */
  readonly longSojournSeconds: number
}

export interface PoolBatches {
  readonly lost: Batches
  readonly waitSeconds: Batches
  readonly waited: Batches
  readonly waitedLong: Batches
  readonly stayedLong: Batches
  readonly stayedAbout: Batches
  /** Inside, as arrivals see it. */
  readonly seen: Batches
  readonly seenEmpty: Batches
  /** Inside, averaged over time. */
  readonly inside: Batches
  readonly busy: Batches
}

/** The simulator's prefill pool: first come, first served. */
export function runPool(run: PoolRun): PoolBatches {
  const { servers, insideMax, service, services, length, gap, longWaitSeconds, longSojournSeconds } = run
  const schedule = new EventSchedule(1 + servers)
  const pool = new ServerPool({ schedule, firstSource: 1, servers })
  const jobs = new Jobs()
  const tally = (): JobTally => new JobTally(length.batches)
  const [lost, wait, waited, waitedLong] = [tally(), tally(), tally(), tally()]
  const [stayedLong, stayedAbout, seen, seenEmpty] = [tally(), tally(), tally(), tally()]
  const inside = new AreaTally(pool.inSystem, length.batches)
  const busy = new AreaTally(pool.busy, length.batches)
  const start = (job: number, now: number): void => {
    const seconds = service.draw(services)
    const batch = jobs.batch(job)
    const waitSeconds = jobs.ageSeconds(job, now)
    wait.add(batch, waitSeconds, 1)
    waited.add(batch, waitSeconds > 0 ? 1 : 0, 1)
    waitedLong.add(batch, waitSeconds > longWaitSeconds ? 1 : 0, 1)
    const overSeconds = waitSeconds + seconds - longSojournSeconds
    stayedLong.add(batch, overSeconds > 0 ? 1 : 0, 1)
    stayedAbout.add(batch, Math.abs(overSeconds) < ABOUT * longSojournSeconds ? 1 : 0, 1)
    pool.start(job, seconds, now)
  }
  drive({
    schedule,
    jobs,
    gap,
    length,
    areas: [inside, busy],
    arrive: (batch, now) => {
      const present = pool.inSystem.value
      const isLost = present >= insideMax
      lost.add(batch, isLost ? 1 : 0, 1)
      seen.add(batch, present, 1)
      seenEmpty.add(batch, present === 0 ? 1 : 0, 1)
      if (isLost) return
      const job = jobs.enter(batch, now)
      if (pool.arrive(job, now)) start(job, now)
    },
    fire: (source, now) => {
      jobs.leave(pool.finish(source, now))
      const next = pool.nextWaiting()
      if (next >= 0) start(next, now)
    },
  })
  return {
    lost: lost.batches,
    waitSeconds: wait.batches,
    waited: waited.batches,
    waitedLong: waitedLong.batches,
    stayedLong: stayedLong.batches,
    stayedAbout: stayedAbout.batches,
    seen: seen.batches,
    seenEmpty: seenEmpty.batches,
    inside: inside.batches,
    busy: busy.batches,
  }
}

export interface TandemBatches {
  readonly firstWaitSeconds: Batches
  readonly secondWaitSeconds: Batches
}

/** Two single servers in a row. A job counts in the batch of its arrival at the first. */
export function runTandem({ service, services, length, gap }: StationRun): TandemBatches {
  const schedule = new EventSchedule(3)
  const first = new ServerPool({ schedule, firstSource: 1, servers: 1 })
  const second = new ServerPool({ schedule, firstSource: 2, servers: 1 })
  const jobs = new Jobs()
  const firstWait = new JobTally(length.batches)
  const secondWait = new JobTally(length.batches)
  const startFirst = (job: number, now: number): void => {
    firstWait.add(jobs.batch(job), jobs.ageSeconds(job, now), 1)
    first.start(job, service.draw(services), now)
  }
  const startSecond = (job: number, now: number): void => {
    secondWait.add(jobs.batch(job), jobs.ageSeconds(job, now), 1)
    second.start(job, service.draw(services), now)
  }
  drive({
    schedule,
    jobs,
    gap,
    length,
    areas: [],
    arrive: (batch, now) => {
      const job = jobs.enter(batch, now)
      if (first.arrive(job, now)) startFirst(job, now)
    },
    fire: (source, now) => {
      if (source === 1) {
        const job = first.finish(source, now)
        const next = first.nextWaiting()
        if (next >= 0) startFirst(next, now)
        jobs.arrivedAtSeconds[job] = now
        if (second.arrive(job, now)) startSecond(job, now)
      } else {
        jobs.leave(second.finish(source, now))
        const next = second.nextWaiting()
        if (next >= 0) startSecond(next, now)
      }
    },
  })
  return { firstWaitSeconds: firstWait.batches, secondWaitSeconds: secondWait.batches }
}

export interface LinkRun extends StationRun {
  /** Transfers below and above these sizes are looked at apart. */
  readonly smallBytes: number
  readonly largeBytes: number
}

export interface LinkBatches {
  readonly sojournSeconds: Batches
  /** Seconds per second that the transfer would take alone. */
  readonly stretchOfSmall: Batches
  readonly stretchOfLarge: Batches
  /** Transfers at once, averaged over time. */
  readonly flows: Batches
}

/** The simulator's link, of one byte a second: all transfers share it equally. */
export function runLink({ service, services, length, gap, smallBytes, largeBytes }: LinkRun): LinkBatches {
  const schedule = new EventSchedule(2)
  const link = new SharedLink({ schedule, source: 1, bytesPerSecond: 1 })
  const jobs = new Jobs()
  const sojourn = new JobTally(length.batches)
  const small = new JobTally(length.batches)
  const large = new JobTally(length.batches)
  const flows = new AreaTally(link.flows, length.batches)
  drive({
    schedule,
    jobs,
    gap,
    length,
    areas: [flows],
    arrive: (batch, now) => {
      const job = jobs.enter(batch, now)
      const bytes = service.draw(services)
      jobs.sizes[job] = bytes
      link.start(job, bytes, now)
    },
    fire: (_, now) => {
      const job = link.finish(now)
      const seconds = jobs.ageSeconds(job, now)
      const bytes = jobs.sizes[job] ?? 0
      sojourn.add(jobs.batch(job), seconds, 1)
      if (bytes < smallBytes) small.add(jobs.batch(job), seconds, bytes)
      else if (bytes > largeBytes) large.add(jobs.batch(job), seconds, bytes)
      jobs.leave(job)
    },
  })
  return {
    sojournSeconds: sojourn.batches,
    stretchOfSmall: small.batches,
    stretchOfLarge: large.batches,
    flows: flows.batches,
  }
}
