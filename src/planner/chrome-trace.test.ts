import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CASE_STUDY, PLANNED } from '../../test/case-study.ts'
import { chromeTrace, type TraceSpan } from './chrome-trace.ts'
import { simulateBatch } from './sim-run.ts'
import type { RequestTimeline } from './sim-timeline.ts'

const seconds = fc.double({ min: 0, max: 300, noNaN: true })
const timelines = fc
  .array(
    fc.record({
      place: fc.constantFrom('remote' as const, 'local' as const),
      arrivalSeconds: seconds,
      steps: fc.array(seconds, { minLength: 6, maxLength: 6 }),
    }),
    { maxLength: 40 },
  )
  .map((all) =>
    all.map(({ place, arrivalSeconds, steps }, number) => timelineOf({ number, place, arrivalSeconds, steps })),
  )

function timelineOf(given: {
  readonly number: number
  readonly place: 'remote' | 'local'
  readonly arrivalSeconds: number
  readonly steps: readonly number[]
}): RequestTimeline {
  const { number, place, arrivalSeconds, steps } = given
  const after = (count: number): number => steps.slice(0, count).reduce((sum, step) => sum + step, arrivalSeconds)
  return {
    number,
    place,
    promptTokens: 3000,
    uncachedTokens: 2000,
    outputTokens: 100,
    arrivalSeconds,
    prefillStartSeconds: after(1),
    prefillEndSeconds: after(2),
    kvReadySeconds: after(3),
    joinSeconds: after(4),
    firstTokenSeconds: after(5),
    endSeconds: after(6),
  }
}

function spansOf(all: readonly RequestTimeline[]): readonly TraceSpan[] {
  return chromeTrace(all).traceEvents.flatMap((event) => (event.ph === 'X' ? [event] : []))
}

const requestsOf = (all: readonly RequestTimeline[]) => spansOf(all).filter(({ cat }) => cat === 'request')

describe('a trace of requests', () => {
  test('gives every request phases that follow each other and fill it', () => {
    fc.assert(
      fc.property(timelines, (all) => {
        const spans = spansOf(all)
        expect(requestsOf(all)).toHaveLength(all.length)
        for (const { number, arrivalSeconds, endSeconds, place } of all) {
          const [request, ...phases] = spans.filter(({ args }) => args['number'] === number)
          expect(request?.dur).toBe(Math.round(endSeconds * 1e6) - Math.round(arrivalSeconds * 1e6))
          expect(request?.pid).toBe(place === 'remote' ? 1 : 2)
          expect(phases.reduce((sum, { dur }) => sum + dur, 0)).toBe(request?.dur)
          let from = request?.ts
          for (const phase of phases) {
            expect(phase.ts).toBe(from)
            expect([phase.pid, phase.tid]).toEqual([request?.pid, request?.tid])
            from = phase.ts + phase.dur
          }
        }
      }),
    )
  })

  test('has whole microseconds, never a negative duration, and names for all processes and rows', () => {
    fc.assert(
      fc.property(timelines, (all) => {
        const { traceEvents } = chromeTrace(all)
        const named = new Set(
          traceEvents.flatMap(({ ph, name, pid, tid }) => (ph === 'M' ? [`${name} ${pid} ${tid}`] : [])),
        )
        for (const span of spansOf(all)) {
          expect(Number.isSafeInteger(span.ts) && Number.isSafeInteger(span.dur)).toBe(true)
          expect(span.dur).toBeGreaterThanOrEqual(span.cat === 'phase' ? 1 : 0)
          expect(named.has(`process_name ${span.pid} 0`)).toBe(true)
          expect(named.has(`thread_name ${span.pid} ${span.tid}`)).toBe(true)
        }
      }),
    )
  })

  test('puts no two requests of a row at one time, and opens a row only when the others are taken', () => {
    fc.assert(
      fc.property(timelines, (all) => {
        const requests = requestsOf(all)
        for (const request of requests) {
          const sameRow = requests.filter(({ pid, tid }) => pid === request.pid && tid === request.tid)
          for (const other of sameRow) {
            const isApart = other.ts >= request.ts + request.dur || request.ts >= other.ts + other.dur
            expect(other === request || isApart).toBe(true)
          }
          const open = requests.filter(
            ({ pid, ts, dur }) => pid === request.pid && ts <= request.ts && request.ts < ts + dur,
          )
          if (request.dur > 0) expect(request.tid).toBeLessThanOrEqual(open.length)
        }
      }),
    )
  })

  test('is the same whatever the order of the requests, and survives JSON', () => {
    fc.assert(
      fc.property(timelines, (all) => {
        const trace = chromeTrace(all)
        expect(chromeTrace([...all].reverse())).toEqual(trace)
        expect(JSON.parse(JSON.stringify(trace))).toEqual(trace)
      }),
    )
  })

  test('names the phases and says how many tokens they are about', () => {
    const spans = spansOf([
      timelineOf({ number: 7, place: 'remote', arrivalSeconds: 10, steps: [1, 2, 3, 4, 0.05, 20] }),
    ])
    expect(spans.map(({ name, ts, dur }) => [name, ts / 1e6, dur / 1e6])).toEqual([
      ['request 7', 10, 30.05],
      ['wait for prefill', 10, 1],
      ['prefill', 11, 2],
      ['transfer', 13, 3],
      ['wait for a slot', 16, 4],
      ['first step', 20, 0.05],
      ['decode', 20.05, 20],
    ])
    expect(spans[0]?.args).toEqual({ number: 7, promptTokens: 3000, uncachedTokens: 2000, outputTokens: 100 })
    expect(spans.at(-1)?.args).toEqual({ number: 7, outputTokens: 99 })
  })

  test('keeps its order where a lost request has times of its first try', () => {
    const lost = timelineOf({ number: 1, place: 'local', arrivalSeconds: 0, steps: [1, 1, 1, 1, 1, 1] })
    const spans = spansOf([{ ...lost, firstTokenSeconds: 2.5, prefillEndSeconds: 9 }])
    expect(spans.map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
      ['request 1', 0, 6e6],
      ['wait for prefill', 0, 1e6],
      ['prefill', 1e6, 5e6],
    ])
  })

  test('shows a simulated local request without a transfer', () => {
    const { timelines: all } = simulateBatch(CASE_STUDY, { ...PLANNED, requests: 400, timelines: 60 })
    expect(all).toHaveLength(60)
    const spans = spansOf(all)
    const transfers = spans.filter(({ name }) => name === 'transfer')
    expect(transfers.length).toBeGreaterThan(0)
    expect(transfers.every(({ pid }) => pid === 1)).toBe(true)
    expect(spans.filter(({ name }) => name === 'decode')).toHaveLength(60)
  })
})
