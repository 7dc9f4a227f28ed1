import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { BLOCK_TOKENS, World } from '../../test/faults/rebuild-world.ts'
import { commonBlocks, unpackBlockHashes } from '../core/block-hashes.ts'
import type { Fragment, FragmentDescription, StructuralSignature } from '../core/fragment.ts'
import { parseModelFingerprint, parseTenantId } from '../core/ids.ts'
import { findCandidates, type ProposedFragment } from './rebuild-candidates.ts'
import { rebuildContext } from './rebuild.ts'
import { splitFragment } from './split-fragment.ts'

const TOKENS = Array.from({ length: 21 }, (_, index) => index % 5)

function proposed(fragment: Fragment, place = 'amy', source: ProposedFragment['source'] = 'peer'): ProposedFragment {
  const { description, payload } = fragment
  const payloadBytes = payload.length
  return { source, place, description, payloadBytes, key: null, contentHash: null, read: async () => payload }
}

async function promptOf(world: World, tokens: readonly number[] = TOKENS) {
  const { fragments, hashes } = await world.prefilled(tokens)
  const prompt = { model: world.backend.model, blockTokens: BLOCK_TOKENS, blocks: unpackBlockHashes(hashes) }
  return { fragments, prompt }
}

describe('KV of another prompt', () => {
  const arbitraryPair = fc.record({
    a: fc.array(fc.nat(2), { minLength: 1, maxLength: 40, size: 'max' }),
    /** Tokens of A that B begins with; one of them is changed, unless this is null. */
    shared: fc.nat(40),
    changed: fc.option(fc.nat(39)),
    tail: fc.array(fc.nat(2), { minLength: 1, maxLength: 20, size: 'max' }),
    where: fc.constantFrom('memory' as const, 'peer' as const),
    hasState: fc.boolean(),
  })

  it('is never used beyond the whole blocks that both begin with, though an index proposes all of it', async () => {
    let reused = 0
    await fc.assert(
      fc.asyncProperty(arbitraryPair, async ({ a, shared, changed, tail, where, hasState }) => {
        const b = [...a.slice(0, shared), ...tail].map((token, index) => (index === changed ? token + 1 : token))
        const world = new World({ hasState })
        world.isIndexWrong = true
        const ofA = await world.prefilled(a)
        for (const fragment of ofA.fragments.flat())
          if (where === 'memory') world.memory.hold(fragment)
          else world.holdAtPeer('amy', fragment)
        const ofB = await world.prefilled(b)
        const context = await world.open(b.length)
        const { explain } = await world.alarm.run(rebuildContext(world.parts, context, world.request(b)))
        const last = explain.findLast(({ source }) => source !== 'prefill')
        const common = commonBlocks(ofA.hashes, ofB.hashes) * BLOCK_TOKENS
        expect(last?.end ?? 0).toBeLessThanOrEqual(common)
        reused += last?.end ?? 0
        expect(await context.dump(b.length)).toBe(ofB.dump)
      }),
      { numRuns: runs(300, 100_000) },
    )
    expect(reused).toBeGreaterThan(0)
    // Seconds on a quiet machine, hours in a soak.
  }, 3_600_000)

  const other: readonly (readonly [string, (world: World) => Promise<readonly Fragment[]>])[] = [
    ['another model or revision', ofWorld(() => new World({ digit: 'b' }))],
    ['another dtype', altered({ dtype: 'F32' })],
    ['another layout', altered({ layout: 'tokens,heads,headDim' })],
    ['another position encoding', altered({ positionEncoding: 'rope:500000' })],
    ['more layers', altered({ layers: { start: 0, end: 3 } })],
    ['fewer layers', altered({ layers: { start: 0, end: 1 } })],
    ['another adapter', async (world) => (await world.prefilled(TOKENS, { adapter: 'lora-1' })).fragments.flat()],
    ['another tenant', async (world) => (await world.prefilled(TOKENS, { salt: 'of somebody else' })).fragments.flat()],
    ['another position', moved],
  ]

  it.each(other)('of %s is never used', async (_, fragmentsOf) => {
    const world = new World()
    world.isIndexWrong = true
    for (const fragment of await fragmentsOf(world)) {
      world.memory.hold(fragment)
      world.holdAtPeer('amy', fragment)
    }
    const context = await world.open(TOKENS.length)
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    expect(result.reusedTokens).toBe(0)
    expect(world.flight.bytesMax).toBe(0)
    expect(await context.dump(TOKENS.length)).toBe((await world.prefilled(TOKENS)).dump)
  })

  it('of another tenant is not asked for', async () => {
    const world = new World()
    const stranger = parseTenantId('stranger')
    for (const fragment of (await world.prefilled(TOKENS)).fragments.flat()) world.holdAtPeer('amy', fragment, stranger)
    const context = await world.open(TOKENS.length)
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    expect(result.reusedTokens).toBe(0)
  })
})

function ofWorld(make: () => World) {
  return async (): Promise<readonly Fragment[]> => (await make().prefilled(TOKENS)).fragments.flat()
}

/** As they are, under another description. */
function altered(signature: Partial<StructuralSignature>) {
  return async (world: World): Promise<readonly Fragment[]> =>
    (await world.prefilled(TOKENS)).fragments.flat().map(({ description, payload }) => ({
      description: { ...description, signature: { ...description.signature, ...signature } },
      payload,
    }))
}

/** The blocks of the first fragment, said to stand behind it. */
async function moved(world: World): Promise<readonly Fragment[]> {
  const [first] = (await world.prefilled(TOKENS)).fragments.flat()
  if (first === undefined) return []
  const { description, payload } = first
  const tokens = { start: 8, end: 16 }
  const parent = description.blocks[1] ?? null
  return [{ description: { ...description, parent, signature: { ...description.signature, tokens } }, payload }]
}

describe('candidates', () => {
  it('are one for each place that has all pieces of a span', async () => {
    const world = new World()
    const { fragments, prompt } = await promptOf(world)
    const whole = fragments.flat()
    const found = findCandidates(
      [...whole.map((one) => proposed(one)), ...whole.slice(1).map((one) => proposed(one, 'disk', 'disk'))],
      prompt,
    )
    expect(found.map(({ span, place }) => `${span.start}-${span.end} ${place}`)).toEqual([
      '0-8 amy',
      '8-16 disk',
      '8-16 amy',
      '16-20 disk',
      '16-20 amy',
    ])
  })

  it.each(['layers', 'heads'] as const)(
    'are put together from %s of several places, if all are there',
    async (axis) => {
      const world = new World()
      const { fragments, prompt } = await promptOf(world)
      const [first] = fragments.flat()
      if (first === undefined) throw new Error('There is a fragment.')
      const [a, b] = splitFragment(first, { axis, at: [1] })
      if (a === undefined || b === undefined) throw new Error('There are two parts.')
      // How many heads there are is not known before the bytes are read.
      if (axis === 'layers') expect(findCandidates([proposed(a)], prompt)).toEqual([])
      expect(findCandidates([proposed(b)], prompt)).toEqual([])
      const found = findCandidates([proposed(b, 'disk', 'disk'), proposed(a)], prompt)
      const bytes = a.payload.length + b.payload.length
      const both = { span: { start: 0, end: 8 }, reads: 2, bytes, source: 'peer', place: 'amy' }
      expect(found.filter(({ reads }) => reads === 2)).toMatchObject([both])
      expect(found.length).toBeLessThanOrEqual(axis === 'layers' ? 1 : 2)
    },
  )

  it('are put together again though one place alone seems to have all heads', async () => {
    const world = new World()
    const { fragments } = await promptOf(world)
    const [first] = fragments.flat()
    if (first === undefined) throw new Error('There is a fragment.')
    const [a, b] = splitFragment(first, { axis: 'heads', at: [1] })
    if (a === undefined || b === undefined) throw new Error('There are two parts.')
    world.holdAtPeer('amy', a)
    world.memory.hold(b, 'disk')
    const context = await world.open(TOKENS.length)
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    expect(result.reusedTokens).toBe(8)
  })

  it('are groups with all of their parts, or none', async () => {
    const world = new World({ hasState: true })
    const { fragments, prompt } = await promptOf(world)
    const [kv, state] = fragments[0] ?? []
    if (kv === undefined || state === undefined) throw new Error('There are two parts.')
    expect(findCandidates([proposed(kv)], prompt)).toEqual([])
    expect(findCandidates([proposed(state)], prompt)).toEqual([])
    expect(findCandidates([proposed(kv), proposed(state, 'bob')], prompt)).toMatchObject([
      { span: { start: 0, end: 8 }, continuesAt: 'end', reads: 2 },
    ])
    const alone: FragmentDescription = { ...kv.description, group: null }
    expect(findCandidates([proposed({ ...kv, description: alone })], prompt)).toEqual([])
    const thirdMissing = [kv, state].map(({ description, payload }) =>
      proposed({
        description: { ...description, group: description.group === null ? null : { ...description.group, parts: 3 } },
        payload,
      }),
    )
    expect(findCandidates(thirdMissing, prompt)).toEqual([])
  })

  it('are none where a description makes no sense, or says more bytes than the span has', async () => {
    const world = new World()
    const { fragments, prompt } = await promptOf(world)
    const [first] = fragments.flat()
    if (first === undefined) throw new Error('There is a fragment.')
    const { description } = first
    const senseless: readonly FragmentDescription[] = [
      { ...description, blockTokens: 8 },
      { ...description, blocks: [] },
      { ...description, blocks: description.blocks.toReversed() },
      { ...description, parent: description.blocks[0] ?? null },
      { ...description, signature: { ...description.signature, tokens: { start: 0, end: 2 ** 40 } } },
      { ...description, signature: { ...description.signature, kind: 'prefix', layers: { start: 0, end: 0 } } },
      { ...description, signature: { ...description.signature, model: parseModelFingerprint('c'.repeat(64)) } },
    ]
    for (const one of senseless) expect(findCandidates([proposed({ ...first, description: one })], prompt)).toEqual([])
    expect(findCandidates([{ ...proposed(first), payloadBytes: 2 ** 30 }], prompt)).toEqual([])
    expect(findCandidates([{ ...proposed(first), payloadBytes: 100 }], prompt)).toEqual([])
  })
})
