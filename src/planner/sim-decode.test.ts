import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { seededRandom } from '../core/random.ts'
import type { DecodeProfile } from './decode.ts'
import { EventSchedule } from './event-schedule.ts'
import { DecodeInstance } from './sim-decode.ts'

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
