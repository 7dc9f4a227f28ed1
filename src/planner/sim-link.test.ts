import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { seededRandom } from '../core/random.ts'
import { EventSchedule } from './event-schedule.ts'
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
