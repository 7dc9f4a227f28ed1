import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { exponential, seededRandom } from '../core/random.ts'
import { arrivalGaps } from './arrivals.ts'
import type { DecodeProfile } from './decode.ts'
import { EventSchedule } from './event-schedule.ts'
import { DecodeInstance } from './sim-decode.ts'
import { SharedLink } from './sim-link.ts'
import { ServerPool } from './sim-pool.ts'

/** Runs a link on its own until it is idle; the finish times by job. */
function drain(schedule: EventSchedule, link: SharedLink): Map<number, number> {
  const done = new Map<number, number>()
  while (schedule.nextSource() >= 0) {
    const now = schedule.nextSeconds()
    done.set(link.finish(now), now)
  }
  return done
}

describe('the shared link', () => {
  const make = (options: { readonly flowBytesPerSecondMax?: number } = {}) => {
    const schedule = new EventSchedule(1)
    return { schedule, link: new SharedLink({ schedule, source: 0, bytesPerSecond: 100, ...options }) }
  }

  it('shares its rate equally: the short flow leaves, the long one speeds up', () => {
    const { schedule, link } = make()
    link.start(0, 100, 0)
    link.start(1, 300, 0)
    // 50 bytes/s each until 2 s, then 200 bytes left at 100 bytes/s.
    const done = drain(schedule, link)
    expect(done).toEqual(
      new Map([
        [0, 2],
        [1, 4],
      ]),
    )
    expect(link.carried.area(4)).toBeCloseTo(400, 9)
    expect(link.flows.area(4)).toBeCloseTo(6, 9)
    expect(link.busy.area(9)).toBeCloseTo(4, 9)
  })

  it('slows the flows that are there when another joins', () => {
    const { schedule, link } = make()
    link.start(0, 200, 0)
    link.start(1, 50, 1)
    // 100 bytes are done at 1 s; both at 50 bytes/s until 2 s; 50 bytes left at 100 bytes/s.
    expect(link.backlogBytes(1)).toBeCloseTo(150, 9)
    expect([...drain(schedule, link)]).toEqual([
      [1, 2],
      [0, 2.5],
    ])
    expect(link.backlogBytes(2.5)).toBe(0)
  })

  it('gives a flow no more than its cap, and no more than its share', () => {
    const { schedule, link } = make({ flowBytesPerSecondMax: 20 })
    link.start(0, 100, 0)
    expect(drain(schedule, link).get(0)).toBe(5)
    for (let job = 0; job < 10; job++) link.start(job, 100, 5)
    // Ten flows share 100 bytes/s, which is less than their caps.
    expect(drain(schedule, link).get(0)).toBeCloseTo(15, 9)
    expect(link.carried.area(15)).toBeCloseTo(1100, 6)
  })

  it('follows a change of bandwidth, and an outage loses nothing', () => {
    const { schedule, link } = make()
    link.start(0, 300, 0)
    link.setBytesPerSecond(0, 1)
    expect(schedule.nextSource()).toBe(-1)
    link.setBytesPerSecond(50, 11)
    expect(drain(schedule, link).get(0)).toBe(15)
    expect(link.capacity.area(15)).toBe(100 + 4 * 50)
  })

  it('breaks off one flow, says what it lacked, and gives its share to the others', () => {
    const { schedule, link } = make()
    link.start(0, 300, 0)
    link.start(1, 300, 0)
    expect(link.breakOff(7, 1)).toBe(0)
    expect(link.breakOff(0, 2)).toBeCloseTo(200, 9)
    expect(link.jobsInFlight()).toEqual([1])
    expect(link.backlogBytes(2)).toBeCloseTo(200, 9)
    expect(drain(schedule, link).get(1)).toBeCloseTo(4, 9)
    expect(link.carried.area(4)).toBeCloseTo(400, 6)
  })

  it('is idle after its last flow breaks off, even in an outage', () => {
    const { schedule, link } = make()
    link.start(0, 300, 0)
    link.setBytesPerSecond(0, 1)
    expect(link.breakOff(0, 5)).toBeCloseTo(200, 9)
    expect([link.busy.value, link.flows.value, schedule.nextSource()]).toEqual([0, 0, -1])
    link.setBytesPerSecond(100, 6)
    link.start(1, 100, 6)
    expect(drain(schedule, link).get(1)).toBe(7)
  })

  it('agrees with sharing in small steps of time, whatever joins, breaks off or changes', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(undefined, 30), (seed, flowBytesPerSecondMax) => {
        const random = seededRandom(seed)
        const { schedule, link } = make(flowBytesPerSecondMax === undefined ? {} : { flowBytesPerSecondMax })
        const left = new Map<number, number>()
        let [now, rate, sent] = [0, 100, 0]
        // The reference: the same sharing, from one change to the next.
        const serve = (seconds: number): void => {
          let remaining = seconds
          while (left.size > 0 && remaining > 1e-12) {
            const each = Math.min(flowBytesPerSecondMax ?? Number.POSITIVE_INFINITY, rate / left.size)
            const least = Math.min(...left.values())
            const step = Math.min(remaining, each > 0 ? least / each : remaining)
            for (const [job, bytes] of left) left.set(job, bytes - each * step)
            for (const [job, bytes] of left) if (bytes <= 1e-7) left.delete(job)
            remaining -= step
          }
        }
        for (let change = 0; change < 30; change++) {
          const seconds = 2 * random()
          const target = now + seconds
          while (schedule.nextSeconds() <= target && schedule.nextSource() >= 0) link.finish(schedule.nextSeconds())
          serve(seconds)
          now = target
          const draw = random()
          if (draw < 0.6) {
            const bytes = 1 + 100 * random()
            link.start(change, bytes, now)
            left.set(change, bytes)
            sent += bytes
          } else if (draw < 0.8) {
            const [victim] = left.keys()
            if (victim === undefined) continue
            const lacked = link.breakOff(victim, now)
            expect(lacked).toBeCloseTo(left.get(victim) ?? 0, 5)
            sent -= lacked
            left.delete(victim)
          } else {
            rate = draw < 0.85 ? 0 : 200 * random()
            link.setBytesPerSecond(rate, now)
          }
          expect(new Set(link.jobsInFlight())).toEqual(new Set(left.keys()))
          expect(link.backlogBytes(now)).toBeCloseTo(
            [...left.values()].reduce((sum, bytes) => sum + bytes, 0),
            5,
          )
        }
        link.setBytesPerSecond(100, now)
        for (const at of drain(schedule, link).values()) now = at
        expect(link.carried.area(now)).toBeCloseTo(sent, 5)
      }),
      { numRuns: runs(60) },
    )
  })
})

interface Job {
  readonly at: number
  readonly promptTokens: number
  readonly outputTokens: number
}

/** One step after the other, as an engine does it. Without `lossSeconds` until all are done; else who had how many tokens then. */
function stepByStep(
  decode: DecodeProfile,
  jobs: readonly Job[],
  lossSeconds = Number.POSITIVE_INFINITY,
): { readonly first: number[]; readonly end: number[]; readonly lost: Map<number, number> } {
  const [first, end]: [number[], number[]] = [[], []]
  const lost = new Map<number, number>()
  const [queue, active]: [number[], { job: number; left: number; context: number }[]] = [[], []]
  const kvTokensMax = decode.kvTokensMax ?? Number.POSITIVE_INFINITY
  const whole = (job: number): number => (jobs[job]?.promptTokens ?? 0) + (jobs[job]?.outputTokens ?? 0)
  let [now, arrived, ended] = [0, 0, 0]
  while (ended < jobs.length && now < lossSeconds) {
    while (arrived < jobs.length && (jobs[arrived]?.at ?? 0) <= now) queue.push(arrived++)
    while (active.length < decode.batchMax && queue.length > 0) {
      const held = active.reduce((sum, { job }) => sum + whole(job), 0)
      if (held + whole(queue[0] ?? 0) > kvTokensMax) break
      const job = queue.shift() ?? 0
      active.push({ job, left: jobs[job]?.outputTokens ?? 0, context: jobs[job]?.promptTokens ?? 0 })
    }
    if (active.length === 0) {
      const next = jobs[arrived]?.at ?? now
      if (next >= lossSeconds) break
      now = next
      continue
    }
    const context = active.reduce((sum, sequence) => sum + sequence.context, 0)
    const { fixed, perSequence, perContextToken } = decode.stepSeconds
    now += fixed + perSequence * active.length + perContextToken * context
    for (const sequence of active) {
      sequence.context += 1
      sequence.left -= 1
      first[sequence.job] ??= now
      if (sequence.left > 0) continue
      if (now >= lossSeconds) continue
      end[sequence.job] = now
      ended += 1
    }
    for (let k = active.length - 1; k >= 0; k--) if (end[active[k]?.job ?? 0] !== undefined) active.splice(k, 1)
  }
  for (const { job, left } of active) lost.set(job, (jobs[job]?.outputTokens ?? 0) - left)
  return { first, end, lost }
}

function byEvents(
  decode: DecodeProfile,
  jobs: readonly Job[],
  lossSeconds = Number.POSITIVE_INFINITY,
): { readonly first: number[]; readonly end: number[]; readonly lost: Map<number, number> } {
  const schedule = new EventSchedule(3)
  const column = new Float64Array(jobs.length).fill(Number.NaN)
  const end: number[] = []
  const lost = new Map<number, number>()
  const instance = new DecodeInstance({ schedule, source: 1, decode, firstTokenSeconds: () => column })
  const queue: number[] = []
  const prompt = (job: number): number => jobs[job]?.promptTokens ?? 0
  const output = (job: number): number => jobs[job]?.outputTokens ?? 0
  const tryJoin = (now: number): void => {
    while (queue.length > 0 && instance.hasRoom(prompt(queue[0] ?? 0) + output(queue[0] ?? 0))) {
      const job = queue.shift() ?? 0
      instance.join(job, prompt(job), output(job), now)
    }
  }
  let arrived = 0
  schedule.set(0, jobs[0]?.at ?? 0)
  schedule.set(2, lossSeconds)
  for (let source = schedule.nextSource(); source >= 0; source = schedule.nextSource()) {
    const now = schedule.nextSeconds()
    if (source === 0) {
      queue.push(arrived)
      tryJoin(now)
      arrived += 1
      schedule.set(0, jobs[arrived]?.at ?? Number.POSITIVE_INFINITY)
    } else if (source === 1) {
      const job = instance.nextToLeave()
      instance.finish(prompt(job) + output(job), now)
      end[job] = now
      tryJoin(now)
    } else {
      while (instance.batch > 0) {
        const job = instance.nextToLeave()
        lost.set(job, instance.breakOff(prompt(job), output(job), now))
      }
      expect(schedule.secondsOf(1)).toBe(Number.POSITIVE_INFINITY)
      expect(instance.active.value).toBe(0)
      break
    }
  }
  return { first: [...column], end, lost }
}

/** Drawn from a seed: whole multiples of a step would arrive on a boundary, where rounding decides either way. */
function drawn(seed: number, batchMax: number): { readonly decode: DecodeProfile; readonly jobs: readonly Job[] } {
  const random = seededRandom(seed)
  let at = 0
  const jobs = Array.from({ length: 1 + Math.floor(40 * random()) }, () => {
    at += 0.001 + 3 * random() ** 2
    return { at, promptTokens: Math.floor(5000 * random()), outputTokens: 1 + Math.floor(60 * random()) }
  })
  const stepSeconds = { fixed: 0.001 + 0.05 * random(), perSequence: 0.01 * random(), perContextToken: 1e-5 * random() }
  const kvTokensMax = random() < 0.5 ? undefined : 5100 + Math.floor(10_000 * random())
  return { decode: { batchMax, stepSeconds, kvTokensMax, source: 'test', origin: 'assumed' }, jobs }
}

describe('a decode instance', () => {
  it('is exact to the iteration: the same first tokens and ends as stepping through', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 8 }), (seed, batchMax) => {
        const { decode, jobs } = drawn(seed, batchMax)
        const [fast, slow] = [byEvents(decode, jobs), stepByStep(decode, jobs)]
        for (let k = 0; k < jobs.length; k++) {
          expect(fast.first[k]).toBeCloseTo(slow.first[k] ?? Number.NaN, 8)
          expect(fast.end[k]).toBeCloseTo(slow.end[k] ?? Number.NaN, 8)
        }
      }),
      { numRuns: runs(60) },
    )
  })

  it('that is lost has given each sequence as many tokens as stepping through, an unfinished step counted', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 8 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, batchMax, share) => {
          const { decode, jobs } = drawn(seed, batchMax)
          const lossSeconds = 0.000_37 + share * 1.1 * (jobs.at(-1)?.at ?? 1)
          const [fast, slow] = [byEvents(decode, jobs, lossSeconds), stepByStep(decode, jobs, lossSeconds)]
          // Who came in the middle of the last step has joined, but stepping has not seen it: it has no token.
          for (const [job, tokens] of fast.lost) expect(tokens).toBe(slow.lost.get(job) ?? 0)
          for (const job of slow.lost.keys()) expect(fast.lost.has(job)).toBe(true)
          expect(fast.end.map((at) => at.toFixed(6))).toEqual(slow.end.map((at) => at.toFixed(6)))
        },
      ),
      { numRuns: runs(100) },
    )
  })

  it('that is lost while a sequence waits for a step boundary writes no first token for it later', () => {
    const schedule = new EventSchedule(1)
    const column = new Float64Array(3).fill(-1)
    const decode: DecodeProfile = {
      batchMax: 2,
      stepSeconds: { fixed: 1, perSequence: 0, perContextToken: 0 },
      source: 'test',
      origin: 'assumed',
    }
    const instance = new DecodeInstance({ schedule, source: 0, decode, firstTokenSeconds: () => column })
    instance.join(0, 10, 5, 0)
    instance.join(1, 10, 5, 0.5)
    expect(instance.breakOff(10, 5, 0.7)).toBe(1)
    expect(instance.breakOff(10, 5, 0.7)).toBe(0)
    expect([...column]).toEqual([1, -1, -1])
    instance.join(2, 10, 1, 10)
    instance.finish(11, schedule.nextSeconds())
    expect([...column]).toEqual([1, -1, 11])
  })

  it('admits by memory: as many sequences as can be complete in it', () => {
    const schedule = new EventSchedule(1)
    const decode: DecodeProfile = {
      batchMax: 8,
      stepSeconds: { fixed: 1, perSequence: 0, perContextToken: 0 },
      kvTokensMax: 100,
      source: 'test',
      origin: 'assumed',
    }
    const instance = new DecodeInstance({ schedule, source: 0, decode, firstTokenSeconds: () => new Float64Array(4) })
    instance.join(0, 50, 10, 0)
    expect([instance.hasRoom(40), instance.hasRoom(41)]).toEqual([true, false])
    instance.join(1, 30, 10, 0)
    expect(instance.hasRoom(1)).toBe(false)
    instance.finish(60, schedule.nextSeconds())
    expect([instance.hasRoom(60), instance.hasRoom(61)]).toEqual([true, false])
  })
})

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

describe('arrival gaps', () => {
  it.each([
    ['poisson', 1],
    ['gamma', 0.25],
    ['gamma', 5],
    ['weibull', 0.5],
    ['weibull', 4],
  ] as const)('of %s with squared variation %d have that, and the rate', (kind, burstiness) => {
    const gap = arrivalGaps({ kind, rateRps: 4, burstiness }, seededRandom(11))
    const gaps = Array.from({ length: 200_000 }, gap)
    const mean = gaps.reduce((sum, value) => sum + value, 0) / gaps.length
    const variance = gaps.reduce((sum, value) => sum + (value - mean) ** 2, 0) / gaps.length
    expect(mean * 4).toBeCloseTo(1, 1)
    expect(variance / mean ** 2 / burstiness).toBeGreaterThan(0.93)
    expect(variance / mean ** 2 / burstiness).toBeLessThan(1.07)
  })
})
