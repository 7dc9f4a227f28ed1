import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { planRebuild } from './plan-rebuild.ts'
import { rebuildGraph } from './plan-rebuild-graph.ts'
import { cheapestPath, COMPUTED } from './plan-rebuild-path.ts'
import { type ScheduledStep, scheduleSeconds } from './plan-rebuild-schedule.ts'
import type { RebuildPlanRequest, PlanStep, RebuildPlan, RebuildRates, ReuseCandidate } from './rebuild-plan.ts'

const BLOCK = 4

/** 1 ms a token, and a little more the later it stands. */
const prefillSeconds: RebuildRates['prefillSeconds'] = ({ start, end }) =>
  1e-3 * (end - start) + 2e-6 * (end * end - start * start)

function ratesOf(
  places: Readonly<Record<string, readonly [latencySeconds: number, bytesPerSecond: number]>>,
): RebuildRates {
  return {
    read: (place) => {
      const [latencySeconds = 0, bytesPerSecond = 1] = places[place] ?? []
      return { latencySeconds, bytesPerSecond, isMeasured: true }
    },
    prefillSeconds,
    isPrefillMeasured: true,
  }
}

const RATES = ratesOf({ disk: [1e-3, 1e6], slow: [5e-3, 1e4], near: [1e-4, 1e8] })

function candidate(start: number, end: number, more: Partial<ReuseCandidate> = {}): ReuseCandidate {
  return {
    source: 'disk',
    place: 'disk',
    span: { start, end },
    bytes: (end - start) * 100,
    reads: 1,
    continuesAt: 'any',
    recomputedTokens: 0,
    ...more,
  }
}

function requestOf(
  promptTokens: number,
  candidates: readonly ReuseCandidate[],
  more: Partial<RebuildPlanRequest> = {},
): RebuildPlanRequest {
  return { promptTokens, blockTokens: BLOCK, candidates, offers: [], rates: RATES, parallelReads: 2, ...more }
}

function spansOf(plan: RebuildPlan): string[] {
  return plan.steps.map(({ span, source }) => `${source} ${span.start}-${span.end}`)
}

/** What a step is in a schedule, written down anew from the words of the contract. */
function scheduled(step: PlanStep, request: RebuildPlanRequest): ScheduledStep {
  const nothing = { place: null, latencySeconds: 0, reads: 0, transferSeconds: 0, computeSeconds: 0 }
  if (step.source === 'prefill') return { ...nothing, computeSeconds: request.rates.prefillSeconds(step.span) }
  if (step.source === 'remote-prefill')
    return {
      ...nothing,
      place: `offer ${step.index}`,
      transferSeconds: request.offers[step.index ?? -1]?.seconds ?? Number.NaN,
    }
  const used = request.candidates[step.index ?? -1]
  if (used === undefined) throw new Error('The step names no candidate.')
  const { latencySeconds, bytesPerSecond } = request.rates.read(used.place)
  const usable = Math.min(used.span.end, request.promptTokens - 1) - used.span.start
  const share = (step.span.end - step.span.start) / usable
  const recomputed = Math.min(used.recomputedTokens, usable)
  return {
    place: used.place,
    latencySeconds,
    reads: used.reads,
    transferSeconds: (used.bytes * share) / bytesPerSecond,
    computeSeconds:
      recomputed === 0
        ? 0
        : request.rates.prefillSeconds({ start: step.span.start, end: step.span.start + recomputed }),
  }
}

function secondsOf(steps: readonly PlanStep[], request: RebuildPlanRequest): number {
  return scheduleSeconds(
    steps.map((step) => scheduled(step, request)),
    request.parallelReads,
  )
}

const places = ['disk', 'slow', 'near'] as const

const arbitraryRates = fc
  .array(fc.tuple(fc.double({ min: 0, max: 0.02, noNaN: true }), fc.double({ min: 3, max: 7, noNaN: true })), {
    minLength: 3,
    maxLength: 3,
  })
  .map((rows) =>
    ratesOf(Object.fromEntries(rows.map(([latency, power], k) => [places[k] ?? '', [latency, 10 ** power] as const]))),
  )

function arbitraryCandidate(blocks: number): fc.Arbitrary<ReuseCandidate> {
  return fc
    .record({
      start: fc.nat(blocks - 1),
      length: fc.integer({ min: 1, max: blocks }),
      place: fc.constantFrom(...places),
      bytesPerToken: fc.integer({ min: 1, max: 400 }),
      reads: fc.integer({ min: 1, max: 4 }),
      continuesAt: fc.constantFrom('any', 'any', 'end'),
      isMoved: fc.constantFrom(false, false, false, true),
      recomputedTokens: fc.nat(6),
    })
    .map(({ start, length, place, bytesPerToken, reads, continuesAt, isMoved, recomputedTokens }): ReuseCandidate => {
      const end = Math.min(blocks, start + length)
      return {
        source: isMoved ? 'moved' : 'peer',
        place,
        span: { start: start * BLOCK, end: end * BLOCK },
        bytes: (end - start) * BLOCK * bytesPerToken,
        reads,
        continuesAt: continuesAt === 'any' ? 'any' : 'end',
        recomputedTokens: isMoved ? recomputedTokens : 0,
      }
    })
}

function arbitraryRequest(limits: {
  readonly blocks: number
  readonly candidates: number
}): fc.Arbitrary<RebuildPlanRequest> {
  return fc
    .record({
      blocks: fc.integer({ min: 1, max: limits.blocks }),
      rest: fc.nat(BLOCK - 1),
      rates: arbitraryRates,
      parallelReads: fc.integer({ min: 1, max: 4 }),
    })
    .chain(({ blocks, rest, rates, parallelReads }) =>
      fc
        .record({
          candidates: fc.array(arbitraryCandidate(blocks), { maxLength: limits.candidates }),
          offers: fc.array(
            fc.record({
              start: fc.nat(blocks - 1),
              length: fc.integer({ min: 1, max: blocks }),
              seconds: fc.double({ min: 0, max: 0.1, noNaN: true }),
            }),
            { maxLength: 1 },
          ),
        })
        .map(({ candidates, offers }) => ({
          promptTokens: blocks * BLOCK + rest,
          blockTokens: BLOCK,
          candidates,
          offers: offers.map(({ start, length, seconds }) => ({
            node: 'b',
            span: { start: start * BLOCK, end: Math.min(blocks, start + length) * BLOCK },
            seconds,
          })),
          rates,
          parallelReads,
        })),
    )
}

/** Every plan there is, from a token on, by the rules: what is entered within is entered at a block. */
function* allPlans(request: RebuildPlanRequest, from = 0): Iterable<readonly PlanStep[]> {
  const { promptTokens } = request
  if (from === promptTokens) {
    yield []
    return
  }
  const stepTo = (end: number, source: PlanStep['source'], index: number | null): PlanStep => {
    return { span: { start: from, end }, source, index, bytes: 0, expectedSeconds: 0, prefillSeconds: 0, reason: '' }
  }
  const stops: number[] = []
  for (let stop = BLOCK; stop < promptTokens; stop += BLOCK) stops.push(stop)
  stops.push(promptTokens - 1, promptTokens)
  // Reading ends where another candidate or offer starts or ends.
  const bounds = [...request.candidates, ...request.offers].flatMap(({ span }) => [
    span.start,
    Math.min(span.end, promptTokens - 1),
  ])
  const next = stops.find((stop) => stop > from) ?? promptTokens
  for (const rest of allPlans(request, next)) yield [stepTo(next, 'prefill', null), ...rest]
  for (const [index, { span, continuesAt, source }] of request.candidates.entries()) {
    const end = Math.min(span.end, promptTokens - 1)
    if (end < span.end && continuesAt === 'end') continue
    const isWhole = continuesAt === 'end' || source === 'moved'
    for (const stop of new Set(isWhole ? [end] : bounds)) {
      const isAllowed = isWhole ? from === span.start && end > from : from >= span.start && stop > from && stop <= end
      if (isAllowed) for (const rest of allPlans(request, stop)) yield [stepTo(stop, source, index), ...rest]
    }
  }
  const hasStates = request.candidates.some(({ continuesAt }) => continuesAt === 'end')
  for (const [index, { span }] of request.offers.entries()) {
    const end = Math.min(span.end, promptTokens - 1)
    if (from !== span.start || end <= from || (end < span.end && hasStates)) continue
    for (const rest of allPlans(request, end)) yield [stepTo(end, 'remote-prefill', index), ...rest]
  }
}

describe('a plan', () => {
  test('covers all tokens end to end, computes the last one, and uses candidates by their rules', () => {
    fc.assert(
      fc.property(arbitraryRequest({ blocks: 40, candidates: 12 }), (request) => {
        const plan = planRebuild(request)
        let at = 0
        for (const [k, step] of plan.steps.entries()) {
          expect(step.span.start).toBe(at)
          expect(step.span.end).toBeGreaterThan(at)
          at = step.span.end
          if (step.source === 'prefill') {
            expect(step.index).toBeNull()
            expect(plan.steps[k + 1]?.source).not.toBe('prefill')
            continue
          }
          const isOffer = step.source === 'remote-prefill'
          const used = isOffer ? request.offers[step.index ?? -1] : request.candidates[step.index ?? -1]
          const end = Math.min(used?.span.end ?? 0, request.promptTokens - 1)
          expect(step.span.start).toBeGreaterThanOrEqual(used?.span.start ?? Infinity)
          expect(step.span.start % BLOCK).toBe(0)
          expect(step.span.end).toBeLessThanOrEqual(end)
          const whole = request.candidates[step.index ?? -1]
          if (isOffer || step.source === 'moved' || whole?.continuesAt === 'end') {
            expect(step.span).toEqual({ start: used?.span.start, end })
            if (!isOffer && whole?.continuesAt === 'end') expect(end).toBe(whole.span.end)
          }
        }
        expect(at).toBe(request.promptTokens)
        expect(plan.steps.at(-1)?.source).toBe('prefill')
        const taken = plan.steps.flatMap(({ source, index }) => (source === 'remote-prefill' ? [] : [index]))
        const named = new Set([...taken, ...plan.refused.map(({ index }) => index)])
        for (const index of request.candidates.keys()) expect(named).toContain(index)
        for (const { index } of plan.refused) expect(taken).not.toContain(index)
      }),
      { numRuns: runs(300) },
    )
  })

  test('takes what its schedule takes, and gives the numbers of its steps', () => {
    fc.assert(
      fc.property(arbitraryRequest({ blocks: 40, candidates: 12 }), (request) => {
        const plan = planRebuild(request)
        expect(plan.expectedSeconds).toBeCloseTo(secondsOf(plan.steps, request), 9)
        expect(plan.prefillAllSeconds).toBeCloseTo(prefillSeconds({ start: 0, end: request.promptTokens }), 9)
        for (const step of plan.steps) {
          expect(step.prefillSeconds).toBeCloseTo(prefillSeconds(step.span), 9)
          expect(step.expectedSeconds).toBeCloseTo(secondsOf([step], request), 9)
          expect(step.reason).toMatch(/\.$/)
        }
        for (const { reason } of plan.refused) expect(reason).toMatch(/^[A-Z].*\.$/)
      }),
      { numRuns: runs(300) },
    )
  })

  test('is never later than computing everything, nor than reading all that can be read', () => {
    const disjoint = fc
      .record({
        lengths: fc.array(
          fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 6 }), fc.constantFrom(...places)),
          {
            minLength: 1,
            maxLength: 30,
          },
        ),
        rates: arbitraryRates,
        parallelReads: fc.integer({ min: 1, max: 4 }),
      })
      .map(({ lengths, rates, parallelReads }) => {
        let at = 0
        const candidates = lengths.map(([gap, length, place]) => {
          const start = at + gap * BLOCK
          at = start + length * BLOCK
          return candidate(start, at, { place, source: 'peer' })
        })
        return requestOf(at + 1, candidates, { rates, parallelReads })
      })
    fc.assert(
      fc.property(disjoint, (request) => {
        const plan = planRebuild(request)
        const reading: PlanStep[] = []
        let at = 0
        const compute = (end: number): void => {
          if (end > at)
            reading.push({
              span: { start: at, end },
              source: 'prefill',
              index: null,
              bytes: 0,
              expectedSeconds: 0,
              prefillSeconds: 0,
              reason: '',
            })
          at = end
        }
        for (const [index, { span }] of request.candidates.entries()) {
          compute(span.start)
          reading.push({ span, source: 'peer', index, bytes: 0, expectedSeconds: 0, prefillSeconds: 0, reason: '' })
          at = span.end
        }
        compute(request.promptTokens)
        expect(plan.expectedSeconds).toBeLessThanOrEqual(secondsOf(reading, request) * (1 + 1e-9))
        expect(plan.expectedSeconds).toBeLessThanOrEqual(plan.prefillAllSeconds * (1 + 1e-9))
      }),
      { numRuns: runs(300) },
    )
  })

  test('is the soonest of all plans of a few blocks but for 3 %, and always within a tenth', () => {
    let count = 0
    let soonest = 0
    fc.assert(
      fc.property(arbitraryRequest({ blocks: 5, candidates: 4 }), (request) => {
        const plan = planRebuild(request)
        let least = Infinity
        for (const steps of allPlans(request)) least = Math.min(least, secondsOf(steps, request))
        expect(plan.expectedSeconds).toBeGreaterThanOrEqual(least * (1 - 1e-9))
        expect(plan.expectedSeconds).toBeLessThanOrEqual(least * 1.1)
        count += 1
        if (plan.expectedSeconds <= (least / 0.97) * (1 + 1e-9)) soonest += 1
      }),
      { numRuns: runs(400, 30_000) },
    )
    expect(soonest / count).toBeGreaterThan(0.99)
  })

  test('has the least sum of seconds among the paths that it compares', () => {
    fc.assert(
      fc.property(arbitraryRequest({ blocks: 4, candidates: 3 }), (request) => {
        const graph = rebuildGraph(request)
        const { nodes, ways } = cheapestPath(graph, { enginePrice: 1, withoutPlace: null })
        const steps = Array.from(ways, (way, k): PlanStep => {
          const index = way === COMPUTED ? -1 : (graph.ways.index[way] ?? -1)
          const span = { start: graph.tokens[nodes[k] ?? 0] ?? 0, end: graph.tokens[nodes[k + 1] ?? 0] ?? 0 }
          const count = request.candidates.length
          const used = request.candidates[index]
          const source = way === COMPUTED ? 'prefill' : used === undefined ? 'remote-prefill' : used.source
          return {
            ...EMPTY_STEP,
            span,
            source,
            index: way === COMPUTED ? null : used === undefined ? index - count : index,
          }
        })
        let least = Infinity
        for (const plan of allPlans(request)) least = Math.min(least, sumOf(plan, request))
        expect(sumOf(steps, request)).toBeCloseTo(least, 9)
      }),
      { numRuns: runs(300) },
    )
  })
})

const EMPTY_STEP: PlanStep = {
  span: { start: 0, end: 0 },
  source: 'prefill',
  index: null,
  bytes: 0,
  expectedSeconds: 0,
  prefillSeconds: 0,
  reason: '',
}

/** All seconds of places and of the engine, one after the other, without what the first read of a place waits. */
function sumOf(steps: readonly PlanStep[], request: RebuildPlanRequest): number {
  let sum = 0
  let run: number | null = null
  for (const step of steps) {
    const { latencySeconds, reads, transferSeconds, computeSeconds } = scheduled(step, request)
    const key = step.source === 'remote-prefill' ? -1 : step.index
    const waits = key !== null && key === run ? 0 : (reads * latencySeconds) / request.parallelReads
    run = key
    sum += waits + transferSeconds + computeSeconds
  }
  return sum
}

describe('a prompt', () => {
  test('of which nothing is held is computed', () => {
    expect(spansOf(planRebuild(requestOf(10, [])))).toEqual(['prefill 0-10'])
    expect(spansOf(planRebuild(requestOf(1, [])))).toEqual(['prefill 0-1'])
  })

  test('that is held as a whole is read but for its last token', () => {
    const plan = planRebuild(requestOf(40, [candidate(0, 40, { place: 'near' })]))
    expect(spansOf(plan)).toEqual(['disk 0-39', 'prefill 39-40'])
    expect(plan.steps[0]?.bytes).toBe(4000)
    expect(plan.steps[0]?.reason).toBe(
      'Reading 4 kB from disk (near) takes 140 µs; computing its 39 tokens here would take 42 ms.',
    )
    expect(plan.steps[1]?.reason).toBe('The last token is always computed here: the answer begins with its logits.')
  })

  test('leaves a candidate that continues only at its end where the prompt ends', () => {
    const plan = planRebuild(
      requestOf(40, [candidate(0, 40, { continuesAt: 'end' }), candidate(0, 36, { continuesAt: 'end' })]),
    )
    expect(spansOf(plan)).toEqual(['disk 0-36', 'prefill 36-40'])
    expect(plan.refused).toMatchObject([{ index: 0, reason: expect.stringContaining('behind its last token') }])
  })

  test('refuses a hit that costs more than it saves, and says so', () => {
    const plan = planRebuild(requestOf(41, [candidate(0, 8, { source: 'peer', place: 'slow' })]))
    expect(spansOf(plan)).toEqual(['prefill 0-41'])
    expect(plan.refused.map(({ reason }) => reason)).toEqual([
      'Reading 8 tokens (800 B) from node slow would take 85 ms, computing them 8.13 ms.',
    ])
  })

  test('is computed at its beginning while its end is read', () => {
    const rates = ratesOf({ disk: [0, 100 / 1e-3] })
    const plan = planRebuild(requestOf(401, [candidate(0, 400)], { rates }))
    expect(plan.steps.map(({ source }) => source)).toEqual(['prefill', 'disk', 'prefill'])
    expect(plan.steps[0]?.span.end).toBeGreaterThan(160)
    expect(plan.steps[0]?.span.end).toBeLessThan(220)
    expect(plan.expectedSeconds).toBeLessThan(0.25)
  })

  test('is read past a gap, which is computed between', () => {
    const plan = planRebuild(requestOf(41, [candidate(0, 16), candidate(24, 40)]))
    expect(spansOf(plan)).toEqual(['disk 0-16', 'prefill 16-24', 'disk 24-40', 'prefill 40-41'])
  })

  test('takes exact KV before moved KV that costs the same, and moved KV before computing', () => {
    const moved = candidate(0, 40, { source: 'moved', place: 'near' })
    expect(spansOf(planRebuild(requestOf(41, [moved, candidate(0, 40, { place: 'near' })])))[0]).toBe('disk 0-40')
    const plan = planRebuild(requestOf(41, [{ ...moved, recomputedTokens: 4 }]))
    expect(spansOf(plan)).toEqual(['moved 0-40', 'prefill 40-41'])
    expect(plan.steps[0]?.reason).toContain('with 4 tokens computed anew')
  })

  test('lets another node compute what it computes sooner', () => {
    const offers = [{ node: 'b', span: { start: 0, end: 40 }, seconds: 0.01 }]
    const plan = planRebuild(requestOf(44, [], { offers }))
    expect(plan.steps).toMatchObject([
      { source: 'remote-prefill', index: 0, span: { start: 0, end: 40 }, expectedSeconds: 0.01 },
      { source: 'prefill' },
    ])
    expect(
      spansOf(
        planRebuild(
          requestOf(44, [], { offers: [{ ...offers[0], node: 'b', span: { start: 0, end: 40 }, seconds: 1 }] }),
        ),
      ),
    ).toEqual(['prefill 0-44'])
  })

  test('spreads what two nodes hold over both', () => {
    const fragments = Array.from({ length: 10 }, (_, k) => [
      candidate(k * 40, (k + 1) * 40, { source: 'peer', place: 'b' }),
      candidate(k * 40, (k + 1) * 40, { source: 'peer', place: 'c' }),
    ]).flat()
    const rates = ratesOf({ b: [0, 1e6], c: [0, 1e6] })
    const plan = planRebuild(requestOf(401, fragments, { rates }))
    const bytes = [0, 0]
    for (const { index, bytes: read } of plan.steps)
      if (index !== null) bytes[index % 2] = (bytes[index % 2] ?? 0) + read
    expect(Math.max(...bytes)).toBeLessThanOrEqual(20_000)
  })

  test('of thousands of blocks in several places mixes reading and computing, and drops no label too many', () => {
    const at = ['b', 'c', 'd']
    const candidates = Array.from({ length: 3000 }, (_, k) =>
      candidate(k * BLOCK, (k + 1) * BLOCK, { source: 'peer', place: at[k % 3] ?? 'b' }),
    )
    const rates = ratesOf({ b: [0, 1e4], c: [0, 1e6], d: [0, 1e6] })
    const plan = planRebuild(requestOf(12_001, candidates, { rates }))
    // Of b alone: 40 s to read; a third of the prompt up to where both take as long: about 21 s.
    expect(plan.expectedSeconds).toBeLessThan(23)
    expect(plan.expectedSeconds).toBeCloseTo(secondsOf(plan.steps, requestOf(12_001, candidates, { rates })), 6)
  })

  test('with more copies of a span than are compared leaves out the dearest', () => {
    const rates: RebuildRates = {
      ...RATES,
      read: (place) => ({ latencySeconds: 0, bytesPerSecond: 1e4 * Number(place), isMeasured: true }),
    }
    const copies = Array.from({ length: 20 }, (_, k) => candidate(0, 40, { source: 'peer', place: String(20 - k) }))
    const plan = planRebuild(requestOf(41, copies, { rates }))
    expect(plan.steps.find(({ index }) => index !== null)?.index).toBe(0)
    expect(plan.refused).toHaveLength(19)
    expect(plan.refused.at(-1)?.reason).toContain('16 other candidates')
  })

  test('keeps its reasons in JSON', () => {
    const plan = planRebuild(requestOf(40, [candidate(0, 40), candidate(0, 8, { place: 'slow' })]))
    const read = JSON.parse(JSON.stringify(plan)) as RebuildPlan
    expect(read.steps[0]?.reason).toBe(plan.steps[0]?.reason)
    expect(read.refused[0]?.reason).toBe(plan.refused[0]?.reason)
  })

  test.each([
    [{ start: 0, end: 6 }, 'is no span of blocks'],
    [{ start: 8, end: 8 }, 'is no span of blocks'],
    [{ start: 0, end: 48 }, 'is no span of blocks'],
  ])('with a candidate over %j is a bug', (span, message) => {
    expect(() => planRebuild(requestOf(40, [{ ...candidate(0, 8), span }]))).toThrow(message)
  })
})
