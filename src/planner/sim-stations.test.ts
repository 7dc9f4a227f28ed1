import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { arrivalGaps } from './arrivals.ts'
import type { DecodeProfile } from './decode.ts'
import { EventSchedule } from './event-schedule.ts'
import { LogHistogram } from './log-histogram.ts'
import { DecodeInstance } from './sim-decode.ts'
import { SharedLink } from './sim-link.ts'

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
    expect(drain(schedule, link)).toEqual(
      new Map([
        [0, 2],
        [1, 4],
      ]),
    )
    expect(link.carried.area(4)).toBeCloseTo(400, 9)
  })

  it('gives a flow no more than its cap', () => {
    const { schedule, link } = make({ flowBytesPerSecondMax: 20 })
    link.start(0, 100, 0)
    expect(drain(schedule, link).get(0)).toBe(5)
  })

  it('follows a change of bandwidth, and an outage loses nothing', () => {
    const { schedule, link } = make()
    link.start(0, 300, 0)
    link.setBytesPerSecond(0, 1)
    expect(schedule.nextSource()).toBe(-1)
    link.setBytesPerSecond(50, 11)
    expect(drain(schedule, link).get(0)).toBe(15)
  })
})

interface Job {
  readonly at: number
  readonly promptTokens: number
  readonly outputTokens: number
}

/** One step after the other, as an engine does it. */
function stepByStep(decode: DecodeProfile, jobs: readonly Job[]): { readonly first: number[]; readonly end: number[] } {
  const [first, end]: [number[], number[]] = [[], []]
  const [queue, active]: [number[], { job: number; left: number; context: number }[]] = [[], []]
  let [now, arrived, ended] = [0, 0, 0]
  while (ended < jobs.length) {
    while (arrived < jobs.length && (jobs[arrived]?.at ?? 0) <= now) queue.push(arrived++)
    while (active.length < decode.batchMax && queue.length > 0) {
      const job = queue.shift() ?? 0
      active.push({ job, left: jobs[job]?.outputTokens ?? 0, context: jobs[job]?.promptTokens ?? 0 })
    }
    if (active.length === 0) {
      now = jobs[arrived]?.at ?? now
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
      end[sequence.job] = now
      ended += 1
    }
    for (let k = active.length - 1; k >= 0; k--) if (active[k]?.left === 0) active.splice(k, 1)
  }
  return { first, end }
}

function byEvents(decode: DecodeProfile, jobs: readonly Job[]): { readonly first: number[]; readonly end: number[] } {
  const schedule = new EventSchedule(2)
  const [first, end]: [number[], number[]] = [[], []]
  const onFirstToken = (job: number, at: number): void => {
    first[job] = at
  }
  const instance = new DecodeInstance({ schedule, source: 1, decode, onFirstToken })
  const queue: number[] = []
  const join = (job: number, now: number): void => {
    instance.join(job, { promptTokens: jobs[job]?.promptTokens ?? 0, outputTokens: jobs[job]?.outputTokens ?? 0 }, now)
  }
  let arrived = 0
  schedule.set(0, jobs[0]?.at ?? 0)
  for (let source = schedule.nextSource(); source >= 0; source = schedule.nextSource()) {
    const now = schedule.nextSeconds()
    if (source === 0) {
      if (instance.hasRoom && queue.length === 0) join(arrived, now)
      else queue.push(arrived)
      arrived += 1
      schedule.set(0, jobs[arrived]?.at ?? Number.POSITIVE_INFINITY)
    } else {
      const job = instance.finish(now, (done) => (jobs[done]?.promptTokens ?? 0) + (jobs[done]?.outputTokens ?? 0))
      end[job] = now
      const next = queue.shift()
      if (next !== undefined) join(next, now)
    }
  }
  return { first, end }
}

describe('a decode instance', () => {
  it('is exact to the iteration: the same first tokens and ends as stepping through', () => {
    // Drawn from a seed: whole multiples of a step would arrive on a boundary, where rounding decides either way.
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 8 }), (seed, batchMax) => {
        const random = seededRandom(seed)
        let at = 0
        const jobs = Array.from({ length: 1 + Math.floor(40 * random()) }, () => {
          at += 0.001 + 3 * random() ** 2
          return { at, promptTokens: Math.floor(5000 * random()), outputTokens: 1 + Math.floor(60 * random()) }
        })
        const stepSeconds = {
          fixed: 0.001 + 0.05 * random(),
          perSequence: 0.01 * random(),
          perContextToken: 1e-5 * random(),
        }
        const decode: DecodeProfile = { batchMax, stepSeconds, source: 'test', origin: 'assumed' }
        const [fast, slow] = [byEvents(decode, jobs), stepByStep(decode, jobs)]
        for (let k = 0; k < jobs.length; k++) {
          expect(fast.first[k]).toBeCloseTo(slow.first[k] ?? Number.NaN, 8)
          expect(fast.end[k]).toBeCloseTo(slow.end[k] ?? Number.NaN, 8)
        }
      }),
      { numRuns: 60, endOnFailure: true },
    )
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

describe('a log histogram', () => {
  it('has an exact mean, and quantiles within its bucket of the nearest rank', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1e-5, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (values, share) => {
          const histogram = new LogHistogram()
          for (const value of values) histogram.record(value)
          expect(histogram.mean()).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 6)
          const exact = values.toSorted((a, b) => a - b)[Math.ceil(share * values.length - 1e-9) - 1] ?? 0
          expect(Math.abs(histogram.quantile(share) / exact - 1)).toBeLessThan(0.0051)
        },
      ),
    )
  })
})
