import { describe, expect, it } from 'vitest'
import { type Fault, NO_FAULT, World, type WorldOptions } from '../../test/faults/rebuild-world.ts'
import { MembraneError } from '../core/errors.ts'
import type { Fragment } from '../core/fragment.ts'
import type { RebuildPlanRequest, RebuildPlan } from './rebuild-plan.ts'
import type { RebuildRequest, RebuildResult } from './rebuild-ports.ts'
import { planContext, rebuildContext } from './rebuild.ts'

const TOKENS = Array.from({ length: 21 }, (_, index) => (index * 7) % 11)
const PREFILL_SECONDS = 21

/** Where the fragments of the prompt lie: [0, 8), [8, 16) and [16, 20). */
async function worldWith(
  hold: (world: World, fragments: readonly (readonly Fragment[])[]) => void,
  options: WorldOptions = {},
) {
  const world = new World(options)
  const { fragments, dump } = await world.prefilled(TOKENS)
  hold(world, fragments)
  const context = await world.open(TOKENS.length + 8)
  const rebuild = async (rest: Partial<RebuildRequest> = {}): Promise<RebuildResult> => {
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS, rest)))
    expect(await context.dump(TOKENS.length)).toBe(dump)
    return result
  }
  return { world, context, fragments, dump, rebuild }
}

function allOnDisk(world: World, fragments: readonly (readonly Fragment[])[]): void {
  for (const fragment of fragments.flat()) world.memory.hold(fragment, 'disk')
}

function spansOf({ explain }: RebuildResult): readonly string[] {
  return explain.map(({ start, end, source }) => `${start}-${end} ${source}`)
}

/** Reads whatever there is, in any place, even where that is slow. */
function readAll({ promptTokens, candidates }: RebuildPlanRequest): RebuildPlan {
  const steps: RebuildPlan['steps'][number][] = []
  let at = 0
  for (const [index, { span, source, bytes }] of candidates.entries()) {
    if (span.start !== at) continue
    const end = Math.min(span.end, promptTokens - 1)
    steps.push({
      span: { start: at, end },
      source,
      index,
      bytes,
      expectedSeconds: 1,
      prefillSeconds: 8,
      reason: 'Read.',
    })
    at = end
  }
  const span = { start: at, end: promptTokens }
  steps.push({
    span,
    source: 'prefill',
    index: null,
    bytes: 0,
    expectedSeconds: 1,
    prefillSeconds: 1,
    reason: 'Computed.',
  })
  return { steps, expectedSeconds: 1, prefillAllSeconds: PREFILL_SECONDS, refused: [] }
}

const READ_ALL = { options: { plan: readAll } }

describe('a rebuild', () => {
  it('computes everything where nothing is there, and the next one reads it', async () => {
    const { world, rebuild } = await worldWith(() => undefined)
    const first = await rebuild()
    expect(spansOf(first)).toEqual(['0-21 prefill'])
    expect(first).toMatchObject({ reusedTokens: 0, prefilledTokens: 21, seconds: PREFILL_SECONDS, unheard: [] })
    expect(await world.alarm.run(first.stored)).toMatchObject({ fragments: 3, refused: 0, error: null })
    const second = await rebuild()
    expect(spansOf(second)).toEqual(['0-20 resident', '20-21 prefill'])
    const other = await world.open(TOKENS.length)
    const third = await world.alarm.run(rebuildContext(world.parts, other, world.request(TOKENS)))
    expect(spansOf(third)).toEqual(['0-8 memory', '8-16 memory', '16-20 memory', '20-21 prefill'])
    expect(third).toMatchObject({ reusedTokens: 20, prefilledTokens: 1 })
    expect(third.explain[0]?.bytes).toBeGreaterThan(8 * 32)
    expect(await world.alarm.run(third.stored)).toMatchObject({ fragments: 0 })
  })

  it('computes the last token of a prompt that is there as a whole, and gives its logits', async () => {
    const tokens = TOKENS.slice(0, 16)
    const world = new World()
    const { fragments, dump } = await world.prefilled(tokens)
    allOnDisk(world, fragments)
    const context = await world.open(16)
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(tokens)))
    expect(spansOf(result)).toEqual(['0-8 disk', '8-15 disk', '15-16 prefill'])
    expect(await context.dump(16)).toBe(dump)
    expect((await world.alarm.run(result.stored)).fragments).toBe(0)
  })

  it.each([false, true])('computes the gap between what is there (a forgetful engine: %s)', async (isForgetful) => {
    const hold = (world: World, fragments: readonly (readonly Fragment[])[]): void => {
      allOnDisk(
        world,
        fragments.filter((_, index) => index !== 1),
      )
    }
    const { context, rebuild } = await worldWith(hold, { isForgetful })
    expect(spansOf(await rebuild())).toEqual(['0-8 disk', '8-16 prefill', '16-20 disk', '20-21 prefill'])
    expect(context.events).toEqual(['write kv 0-8', 'prefill 8-16', 'write kv 16-20', 'prefill 20-21'])
  })

  it('writes what comes early while it waits, and again where the engine forgot it', async () => {
    const never: Fault = { ...NO_FAULT, seconds: null }
    for (const isForgetful of [false, true]) {
      const { world, context, rebuild } = await worldWith(allOnDisk, { isForgetful, ...READ_ALL })
      let reads = 0
      world.faultOf = () => (reads++ === 0 ? never : { ...NO_FAULT, seconds: reads })
      const result = await rebuild()
      expect(spansOf(result)).toEqual(['0-8 prefill', '8-16 disk', '16-20 disk', '20-21 prefill'])
      expect(result.explain[0]?.reason).toBe(
        'Computed after all. disk did not give it within 8.00 s, in which it can be computed.',
      )
      const ahead = ['write kv 8-16', 'write kv 16-20', 'prefill 0-8']
      const again = isForgetful ? ['write kv 8-16', 'write kv 16-20'] : []
      expect(context.events).toEqual([...ahead, ...again, 'prefill 20-21'])
    }
  })

  it('waits as long as computing would take, and for a place that was late not again', async () => {
    const { world, rebuild } = await worldWith(allOnDisk, READ_ALL)
    world.faultOf = () => ({ ...NO_FAULT, seconds: null })
    const result = await rebuild()
    expect(spansOf(result)).toEqual(['0-8 prefill', '8-16 prefill', '16-20 prefill', '20-21 prefill'])
    expect(result.explain[1]?.reason).toBe('Computed after all. disk was late before, and was not waited for.')
    expect(result.seconds).toBe(8 + PREFILL_SECONDS)
    expect(world.flight.reads).toBe(0)
    expect(world.alarm.pending).toBe(1)
    expect((await world.alarm.run(result.stored)).fragments).toBe(0)
  })

  it('blames who was asked instead, when that one is late', async () => {
    const hold = (world: World, fragments: readonly (readonly Fragment[])[]): void => {
      for (const fragment of fragments.flat()) {
        world.holdAtPeer('amy', fragment)
        world.holdAtPeer('bob', fragment)
      }
    }
    const { world, rebuild } = await worldWith(hold, READ_ALL)
    let asked = 0
    world.faultOf = (name) => {
      if (name.startsWith('bob')) return { ...NO_FAULT, seconds: null }
      return asked++ === 0 ? { ...NO_FAULT, kind: 'missing' } : { ...NO_FAULT, seconds: 9 }
    }
    const result = await rebuild()
    expect(spansOf(result)).toEqual(['0-8 prefill', '8-16 peer', '16-20 peer', '20-21 prefill'])
    expect(result.explain[0]?.reason).toContain('bob did not give it within 8.00 s')
  })

  it('takes what comes within the time that computing would take', async () => {
    const { world, rebuild } = await worldWith(allOnDisk, READ_ALL)
    world.faultOf = () => ({ ...NO_FAULT, seconds: 7.9 })
    const result = await rebuild()
    expect(result.reusedTokens).toBe(20)
    expect(result.seconds).toBeCloseTo(8.9, 9)
    expect(world.observed.filter((line) => line.startsWith('read'))).toHaveLength(3)
    expect(result.explain[0]?.seconds).toBe(7.9)
  })

  it.each([
    ['missing', 'amy has it no more, or only damaged.'],
    ['throws', 'Reading from amy failed: socket hang up'],
    ['damaged', 'amy gave bytes of another content'],
    ['truncated', 'amy was to give'],
  ] as const)('takes bytes that are %s from another place', async (kind, reason) => {
    const hold = (world: World, fragments: readonly (readonly Fragment[])[]): void => {
      for (const fragment of fragments.flat()) {
        world.holdAtPeer('amy', fragment)
        world.holdAtPeer('bob', fragment)
      }
    }
    const { world, rebuild } = await worldWith(hold, READ_ALL)
    world.faultOf = (name) => (name.startsWith('amy') ? { ...NO_FAULT, kind } : NO_FAULT)
    const result = await rebuild()
    expect(spansOf(result)).toEqual(['0-8 peer', '8-16 peer', '16-20 peer', '20-21 prefill'])
    expect(result.explain[0]?.reason).toContain(`From bob instead. ${reason}`)
    expect(result.failedReads.map(({ place, reason: text }) => [place, text.includes(reason)])).toEqual(
      Array.from({ length: 3 }, () => ['amy', true]),
    )
    expect(world.observed.some((line) => line.startsWith('read amy'))).toBe(false)
  })

  it('computes what every place gives wrong, and nothing of it stays', async () => {
    const hold = (world: World, fragments: readonly (readonly Fragment[])[]): void => {
      for (const fragment of fragments.flat()) world.holdAtPeer('amy', fragment)
    }
    const { world, context, rebuild } = await worldWith(hold, READ_ALL)
    world.faultOf = () => ({ ...NO_FAULT, kind: 'damaged' })
    const result = await rebuild()
    expect(result.reusedTokens).toBe(0)
    expect(context.events.filter((event) => event.startsWith('write'))).toEqual([])
    expect(result.explain[0]?.reason).toContain('amy gave bytes of another content')
  })

  it('computes what has the right hash and the wrong shape', async () => {
    const hold = (world: World, fragments: readonly (readonly Fragment[])[]): void => {
      const [first, second, third] = fragments.flat()
      if (first === undefined || second === undefined || third === undefined) throw new Error('There are three.')
      world.holdAtPeer('amy', { description: first.description, payload: second.payload })
      world.holdAtPeer('amy', { description: second.description, payload: second.payload.map(() => 7) })
      world.holdAtPeer('amy', third)
    }
    const { rebuild } = await worldWith(hold, READ_ALL)
    const result = await rebuild()
    expect(spansOf(result)).toEqual(['0-8 prefill', '8-16 prefill', '16-20 peer', '20-21 prefill'])
    expect(result.explain[0]?.reason).toContain('metadata must have the tokens of its description')
  })

  it('computes what the engine refuses to take', async () => {
    const { context, rebuild } = await worldWith(allOnDisk, READ_ALL)
    const write = context.write.bind(context)
    let writes = 0
    context.write = async (...args) => {
      if (writes++ === 1) throw new MembraneError('INVALID_FRAGMENT', 'Not mine.')
      return write(...args)
    }
    const result = await rebuild()
    expect(spansOf(result)).toEqual(['0-8 disk', '8-16 prefill', '16-20 disk', '20-21 prefill'])
    expect(result.explain[1]?.reason).toBe('Computed after all. The engine did not take it: Not mine.')
  })

  it.each([1, 2, 3])(
    'reads no more than %i fragments at a time where no more bytes may be on their way',
    async (count) => {
      const bytes = 1000 * count
      const { world, rebuild } = await worldWith(allOnDisk, { options: { plan: readAll, bytesInFlightMax: bytes } })
      world.faultOf = () => ({ ...NO_FAULT, seconds: 1 })
      const result = await rebuild()
      expect(result.reusedTokens).toBe(20)
      expect(world.flight.readsMax).toBe(count)
      expect(world.flight.bytesMax).toBeLessThanOrEqual(bytes)
      expect(result.seconds).toBeCloseTo(Math.ceil(3 / count) + 1, 9)
    },
  )

  it('computes a fragment that is larger than what may be on its way', async () => {
    const { world, rebuild } = await worldWith(allOnDisk, { options: { plan: readAll, bytesInFlightMax: 100 } })
    const result = await rebuild()
    expect(result.reusedTokens).toBe(0)
    expect(world.flight.bytesMax).toBe(0)
    expect(result.explain[0]?.reason).toMatch(/It takes \d+ bytes, more than are held at a time/)
  })

  it('reads once what serves two spans, and leaves out what is not planned of it', async () => {
    const plan = (request: RebuildPlanRequest): RebuildPlan => {
      const { steps, ...rest } = readAll(request)
      const [first, second, ...others] = steps
      if (first === undefined || second === undefined) throw new Error('There are two.')
      const computed = { ...first, source: 'prefill' as const, index: null, bytes: 0 }
      return {
        ...rest,
        steps: [
          { ...first, span: { start: 0, end: 2 } },
          { ...computed, span: { start: 2, end: 4 } },
          { ...first, span: { start: 4, end: 8 } },
          second,
          ...others,
        ],
      }
    }
    const { world, context, rebuild } = await worldWith(allOnDisk, { options: { plan } })
    const result = await rebuild()
    expect(spansOf(result).slice(0, 4)).toEqual(['0-2 disk', '2-4 prefill', '4-8 disk', '8-16 disk'])
    expect(context.events.slice(0, 3)).toEqual(['write kv 0-8', 'prefill 2-4', 'write kv 4-8'])
    expect(world.observed.filter((line) => line.startsWith('read'))).toHaveLength(3)
    expect(result.explain.map(({ bytes }) => bytes > 0)).toEqual([true, false, false, true, true, false])
  })

  it('does not wait for the directory when this node has it all, and not for long when it has not', async () => {
    const { world, rebuild } = await worldWith(allOnDisk, { options: { lookUpRatio: 0.1 } })
    world.locateSeconds = null
    const all = await rebuild()
    expect(all.unheard).toEqual([])
    expect(all.seconds).toBe(1)
    world.memory.entries.clear()
    const none = await rebuild({ session: 's', reuse: 'exact' })
    expect(none.unheard).toEqual(['The directory did not answer in time.'])
    world.memory.findSeconds = null
    const deaf = await worldWith(() => undefined)
    deaf.world.memory.findSeconds = null
    expect(await deaf.rebuild()).toMatchObject({
      unheard: ['The fragments of this node were not found in time.'],
      seconds: 2.1 + PREFILL_SECONDS,
    })
  })

  it('looks nothing up when it is told to reuse nothing, clears the context, and stores all the same', async () => {
    const { world, context, rebuild } = await worldWith(allOnDisk)
    await rebuild()
    world.memory.findSeconds = null
    const prefill = context.prefill.bind(context)
    const filled: number[] = []
    context.prefill = async (...args) => {
      filled.push(context.filledTokens)
      return prefill(...args)
    }
    const result = await rebuild({ reuse: 'none' })
    expect(filled).toEqual([0, 8, 16])
    expect(spansOf(result)).toEqual(['0-21 prefill'])
    expect(result.seconds).toBe(PREFILL_SECONDS)
    expect(await world.alarm.run(result.stored)).toMatchObject({ fragments: 3, refused: 0 })
    expect(context.filledTokens).toBe(21)
    expect(world.memory.puts).toHaveLength(3)
  })

  it('passes on what the engine throws, with nothing stored and nothing left', async () => {
    const { world, context, rebuild } = await worldWith(() => undefined)
    const prefill = context.prefill.bind(context)
    context.prefill = async (start, tokenIds, options) => {
      if (start === 16) throw new MembraneError('COMPUTE_FAILED', 'The device went away.')
      return prefill(start, tokenIds, options)
    }
    await expect(rebuild()).rejects.toMatchObject({ code: 'COMPUTE_FAILED' })
    expect(context.filledTokens).toBe(0)
    expect(world.memory.puts).toEqual([])
  })

  it('refuses hashes that are not those of the tokens, and a prompt that is too long', async () => {
    const { world, context } = await worldWith(() => undefined)
    const request = world.request(TOKENS)
    const tokenIds = request.tokenIds.subarray(0, 12)
    await expect(rebuildContext(world.parts, context, { ...request, tokenIds })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
    const model = { ...world.parts.model, contextTokensMax: 20 }
    await expect(rebuildContext({ ...world.parts, model }, context, request)).rejects.toMatchObject({
      code: 'OUT_OF_DOMAIN',
    })
  })

  it('says beforehand what it would do, and does nothing', async () => {
    const { world, context } = await worldWith(allOnDisk)
    const plan = await planContext(world.parts, world.request(TOKENS), 8)
    expect(plan.steps.map(({ source }) => source)).toEqual(['resident', 'disk', 'disk', 'prefill'])
    expect(world.observed).toEqual([])
    expect(context.events).toEqual([])
  })
})

describe('a rebuild of a model with a recurrent state', () => {
  it('goes on from the state at the end of what it reads', async () => {
    const hold = (world: World, fragments: readonly (readonly Fragment[])[]): void => {
      allOnDisk(world, fragments.slice(0, 1))
    }
    const { world, context, rebuild } = await worldWith(hold, { hasState: true })
    const result = await rebuild()
    expect(spansOf(result)).toEqual(['0-8 disk', '8-21 prefill'])
    // Each fragment's state is read where it stands.
    expect(context.events.slice(2)).toEqual(['prefill 8-16', 'prefill 16-20', 'prefill 20-21'])
    expect(await world.alarm.run(result.stored)).toMatchObject({ fragments: 4 })
    const other = await world.open(TOKENS.length)
    const again = await world.alarm.run(rebuildContext(world.parts, other, world.request(TOKENS)))
    expect(again.reusedTokens).toBe(20)
  })

  it('clears a context whose state stands elsewhere', async () => {
    const { world, context, rebuild } = await worldWith(() => undefined, { hasState: true })
    await world.alarm.run(context.prefill(0, Uint32Array.from(TOKENS.slice(0, 10))))
    const result = await rebuild()
    expect(spansOf(result)).toEqual(['0-21 prefill'])
    await world.alarm.run(result.stored)
    world.memory.entries.clear()
    context.truncate(0)
    await world.alarm.run(context.prefill(0, Uint32Array.from(TOKENS.slice(0, 12))))
    expect(spansOf(await rebuild())[0]).toBe('0-12 resident')
  })

  it('uses no KV without its state', async () => {
    const hold = (world: World, fragments: readonly (readonly Fragment[])[]): void => {
      allOnDisk(
        world,
        fragments.map((parts) => parts.slice(0, 1)),
      )
    }
    const { rebuild } = await worldWith(hold, { hasState: true })
    expect(spansOf(await rebuild())).toEqual(['0-21 prefill'])
  })
})
