import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Fragment } from '../../src/core/fragment.ts'
import { splitFragment } from '../../src/reconstruct/split-fragment.ts'
import { EngineRemotePrefill } from '../../src/reconstruct/in-memory-peers.ts'
import { planRebuild } from '../../src/reconstruct/plan-rebuild.ts'
import type { RebuildPlanRequest, PlanStep, RebuildPlan } from '../../src/reconstruct/rebuild-plan.ts'
import type { RebuildResult } from '../../src/reconstruct/rebuild-ports.ts'
import { rebuildContext } from '../../src/reconstruct/rebuild.ts'
import { runs } from '../effort.ts'
import { MixingBackend } from './mixing-engine.ts'
import { type Fault, FRAGMENT_TOKENS, BLOCK_TOKENS, NO_FAULT, SECONDS_A_TOKEN, World } from './rebuild-world.ts'

const BYTES_IN_FLIGHT_MAX = 2600
const PARALLEL_READS = 2

/** Seconds on a quiet machine, hours in a soak. */
const TIMEOUT_MS = 3_600_000

/** Places in which copies of a fragment lie. */
const PLACES = ['memory', 'disk', 'remote', 'amy', 'bob'] as const
type Place = (typeof PLACES)[number]

const arbitraryFault: fc.Arbitrary<Fault> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      seconds: fc.double({ min: 0, max: 4, noNaN: true }),
      kind: fc.constant<Fault['kind']>('right'),
      isDeaf: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      seconds: fc.option(fc.double({ min: 0, max: 30, noNaN: true }), { freq: 4 }),
      kind: fc.constantFrom<Fault['kind'][]>('right', 'missing', 'throws', 'damaged', 'truncated'),
      isDeaf: fc.boolean(),
    }),
  },
)

/** How the pieces of a fragment are cut, and where each copy of it lies. */
const arbitraryCopy = fc.record({
  cut: fc.constantFrom('whole', 'layers', 'heads', 'both'),
  places: fc.array(fc.constantFrom(...PLACES), { minLength: 0, maxLength: 3 }),
  /** Which pieces of a cut one are left out. */
  without: fc.option(fc.nat(3), { freq: 6 }),
})

/** Any way through the prompt, sensible or not, as long as it is one. */
function randomPlan(choices: readonly number[]): (request: RebuildPlanRequest) => RebuildPlan {
  return ({ promptTokens, blockTokens, candidates, offers, rates }) => {
    const steps: PlanStep[] = []
    let at = 0
    let turn = 0
    while (at < promptTokens) {
      const choice = choices[turn++ % choices.length] ?? 0
      const start = at
      const ways = [
        ...candidates.flatMap(({ span, source, continuesAt, bytes }, index) => {
          const end = Math.min(span.end, promptTokens - 1)
          const isUsable =
            continuesAt === 'any' ? span.start <= start && end > start : span.start === start && end === span.end
          // Left at any block, now and then.
          const cut = continuesAt === 'any' && choice % 3 === 0 ? Math.max(start + blockTokens, end - blockTokens) : end
          return isUsable ? [{ end: Math.min(end, cut - (cut % blockTokens) || end), source, index, bytes }] : []
        }),
        ...offers.flatMap(({ span }, index) =>
          span.start === start ? [{ end: span.end, source: 'remote-prefill' as const, index, bytes: 0 }] : [],
        ),
      ].filter(({ end }) => end > start)
      const way = ways[choice % (ways.length + 1)]
      const nextBlock = start - (start % blockTokens) + blockTokens * (1 + (choice % 3))
      const span = { start, end: way?.end ?? Math.min(nextBlock, promptTokens) }
      at = span.end
      const prefillSeconds = rates.prefillSeconds(span)
      steps.push({
        span,
        source: way?.source ?? 'prefill',
        index: way?.index ?? null,
        bytes: way?.bytes ?? 0,
        expectedSeconds: 0,
        prefillSeconds,
        reason: way === undefined ? 'Computed by plan.' : `Planned from ${way.source}.`,
      })
    }
    return { steps, expectedSeconds: 0, prefillAllSeconds: promptTokens * SECONDS_A_TOKEN, refused: [] }
  }
}

function piecesOf(fragment: Fragment, cut: string): readonly Fragment[] {
  if (fragment.description.group !== null) return [fragment]
  const byLayers =
    cut === 'layers' || cut === 'both' ? splitFragment(fragment, { axis: 'layers', at: [1] }) : [fragment]
  return cut === 'heads' || cut === 'both'
    ? byLayers.flatMap((one) => splitFragment(one, { axis: 'heads', at: [1] }))
    : byLayers
}

function place(world: World, where: Place, fragment: Fragment): void {
  if (where === 'amy' || where === 'bob') world.holdAtPeer(where, fragment)
  else world.memory.hold(fragment, where)
}

const arbitraryCase = fc.record({
  hasState: fc.boolean(),
  isForgetful: fc.boolean(),
  tokens: fc.array(fc.nat(3), { minLength: 1, maxLength: 45, size: 'max' }),
  copies: fc.array(arbitraryCopy, { minLength: 6, maxLength: 6 }),
  /** Another prompt's fragments, which must not be used beyond the common prefix. */
  other: fc.record({
    keeps: fc.nat(45),
    tail: fc.array(fc.nat(3), { maxLength: 20, size: 'max' }),
    copies: fc.array(arbitraryCopy, { minLength: 8, maxLength: 8 }),
  }),
  faults: fc.array(arbitraryFault, { minLength: 1, maxLength: 12 }),
  choices: fc.option(fc.array(fc.nat(20), { minLength: 1, maxLength: 12 })),
  isIndexWrong: fc.boolean(),
  findSeconds: fc.constantFrom(0, 0, 0, 0.1, 50, null),
  locateSeconds: fc.constantFrom(0, 0, 0, 0.1, 50, null),
  resident: fc.nat(12),
  remote: fc.option(fc.record({ secondsAToken: fc.constantFrom(0, 0.1, 5), breaksAfter: fc.nat(6) })),
})
type Case = typeof arbitraryCase extends fc.Arbitrary<infer T> ? T : never

async function prepare(given: Case) {
  const { hasState, isForgetful, tokens, choices } = given
  const { remote } = given
  const world: World = new World({
    hasState,
    isForgetful,
    options: {
      plan: choices === null ? planRebuild : randomPlan(choices),
      bytesInFlightMax: BYTES_IN_FLIGHT_MAX,
      parallelReads: PARALLEL_READS,
    },
    parts: {
      remotePrefill: remote === null ? null : remotePrefill(() => world, remote, hasState),
    },
  })
  world.isIndexWrong = given.isIndexWrong
  world.memory.findSeconds = given.findSeconds
  world.locateSeconds = given.locateSeconds
  const other = [...tokens.slice(0, given.other.keeps), ...given.other.tail]
  const whole = await world.prefilled(tokens)
  const sets = [
    { fragments: whole.fragments, copies: given.copies },
    { fragments: other.length === 0 ? [] : (await world.prefilled(other)).fragments, copies: given.other.copies },
  ]
  for (const { fragments, copies } of sets)
    for (const [index, parts] of fragments.entries()) {
      const { cut, places, without } = copies[index] ?? { cut: 'whole', places: [], without: null }
      for (const where of places)
        for (const [number, piece] of parts.flatMap((part) => piecesOf(part, cut)).entries())
          if (number !== without) place(world, where, piece)
    }
  let count = 0
  const known = new Map<string, Fault>()
  world.faultOf = (name) => {
    const fault = known.get(name) ?? given.faults[count++ % given.faults.length] ?? NO_FAULT
    known.set(name, fault)
    // The node's own stores verify.
    return /^(memory|disk|remote) /.test(name) && ['damaged', 'truncated'].includes(fault.kind)
      ? { ...fault, kind: 'missing' }
      : fault
  }
  const context = await world.open(tokens.length + 3)
  const resident = Math.min(tokens.length, given.resident)
  if (resident > 0) {
    await world.alarm.run(context.prefill(0, Uint32Array.from(tokens.slice(0, resident))))
  }
  return { world, context, expected: whole.dump, request: world.request(tokens) }
}

function remotePrefill(
  world: () => World,
  { secondsAToken, breaksAfter }: NonNullable<Case['remote']>,
  hasState: boolean,
) {
  const backend = new MixingBackend({
    hasState,
    isForgetful: true,
    secondsAToken,
    wait: (seconds, signal) =>
      world()
        .alarm.wait(seconds, signal)
        .catch(() => undefined),
  })
  const rates = {
    prefillSeconds: ({ start, end }: { start: number; end: number }) => (end - start) * 0.1,
    read: () => ({ latencySeconds: 0.1, bytesPerSecond: 1e6, isMeasured: true }),
  }
  const fragmentize = { blockTokens: BLOCK_TOKENS, fragmentTokens: FRAGMENT_TOKENS }
  const engine = new EngineRemotePrefill({ node: 'cat', backend, fragmentize, rates })
  return {
    estimate: engine.estimate.bind(engine),
    async *prefill(...asked: Parameters<typeof engine.prefill>) {
      let count = 0
      for await (const fragment of engine.prefill(...asked)) {
        if (count++ === breaksAfter) throw new Error('The other node went away.')
        yield fragment
      }
    },
  }
}

function checkExplain({ explain, reusedTokens, prefilledTokens }: RebuildResult, tokens: number): void {
  let at = 0
  for (const { start, end, reason, seconds, bytes, source } of explain) {
    expect(start).toBe(at)
    expect(end).toBeGreaterThan(start)
    expect(reason).not.toBe('')
    expect(seconds).toBeGreaterThanOrEqual(0)
    expect(source === 'prefill' ? bytes : 0).toBe(0)
    at = end
  }
  expect(at).toBe(tokens)
  expect(explain.at(-1)?.source).toBe('prefill')
  expect(reusedTokens + prefilledTokens).toBe(tokens)
}

describe('a rebuild', () => {
  it(
    'leaves the context of a full prefill, whatever is there, comes late, is wrong or never comes',
    async () => {
      const uses = new Map<string, number>()
      await fc.assert(
        fc.asyncProperty(arbitraryCase, async (given) => {
          const { world, context, expected, request } = await prepare(given)
          const { tokens } = given
          const began = world.alarm.seconds()
          const result = await world.alarm.run(rebuildContext(world.parts, context, request))
          expect(await context.dump(tokens.length)).toBe(expected)
          expect(context.filledTokens).toBe(tokens.length)
          checkExplain(result, tokens.length)
          for (const { source } of result.explain) uses.set(source, (uses.get(source) ?? 0) + 1)
          // Looking up, computing, and waiting for at most as long again.
          const prefillSeconds = tokens.length * SECONDS_A_TOKEN
          expect(world.alarm.seconds() - began).toBeLessThanOrEqual(2.1 * prefillSeconds + 1e-6)
          expect(result.seconds).toBeCloseTo(world.alarm.seconds() - began, 9)
          expect(world.flight.readsMax).toBeLessThanOrEqual(PARALLEL_READS)
          expect(world.flight.bytesMax).toBeLessThanOrEqual(BYTES_IN_FLIGHT_MAX)
          const report = await world.alarm.run(result.stored)
          expect(report.error).toBeNull()
          expect(report.refused).toBe(0)
          // What was stored is right too, and enough.
          world.faultOf = () => NO_FAULT
          const again = await world.open(tokens.length)
          const alone = {
            ...world.parts,
            directory: null,
            remotePrefill: null,
            options: { ...world.parts.options, plan: planRebuild },
          }
          const second = await world.alarm.run(rebuildContext(alone, again, request))
          expect(await again.dump(tokens.length)).toBe(expected)
          checkExplain(second, tokens.length)
        }),
        { numRuns: runs(300, 100_000) },
      )
      for (const source of ['resident', 'memory', 'disk', 'remote', 'peer', 'remote-prefill', 'prefill'])
        expect(uses.get(source) ?? 0, source).toBeGreaterThan(0)
    },
    TIMEOUT_MS,
  )

  it(
    'ends soon when it is cancelled, wherever it is, with nothing stored, nothing read on and nothing left',
    async () => {
      await fc.assert(
        fc.asyncProperty(arbitraryCase, fc.nat(40), async (given, turn) => {
          const { world, context, request } = await prepare(given)
          const controller = new AbortController()
          let abortedAt: number | null = null
          world.alarm.onTurn = (now) => {
            if (now !== turn) return
            abortedAt = world.alarm.seconds()
            controller.abort()
          }
          const call = rebuildContext(world.parts, context, { ...request, signal: controller.signal })
          const outcome = await world.alarm.run(
            call.then(
              () => 'ready',
              (error: unknown) => error,
            ),
          )
          world.alarm.onTurn = () => undefined
          if (outcome === 'ready') return
          expect(outcome).toMatchObject({ code: 'ABORTED' })
          expect(world.alarm.seconds()).toBe(abortedAt)
          expect(world.memory.puts).toEqual([])
          expect(context.filledTokens).toBe(0)
          expect(world.flight.reads).toBe(0)
        }),
        { numRuns: runs(300, 30_000) },
      )
    },
    TIMEOUT_MS,
  )
})
