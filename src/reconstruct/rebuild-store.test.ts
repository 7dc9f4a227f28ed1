import { describe, expect, it } from 'vitest'
import { NO_FAULT, World, type WorldOptions } from '../../test/faults/rebuild-world.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import { rebuildContext, storeContext } from './rebuild.ts'

const TOKENS = Array.from({ length: 21 }, (_, index) => (index * 5) % 13)

async function ready(options: WorldOptions = {}, held: readonly number[] = []) {
  const world = new World(options)
  const { fragments } = await world.prefilled(TOKENS)
  const keys = fragments.map((parts) => parts.map(({ description }) => fragmentKey(contextName(description))))
  for (const index of held) for (const fragment of fragments[index] ?? []) world.memory.hold(fragment, 'disk')
  const context = await world.open(TOKENS.length + 30)
  return { world, context, keys, fragments }
}

describe('what a rebuild computed', () => {
  it('is stored after the prompt is ready, with the bytes that it had then, whatever the engine does next', async () => {
    const { world, context, fragments } = await ready()
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    expect(world.memory.puts).toEqual([])
    await world.alarm.run(context.prefill(4, Uint32Array.of(99, 98, 97)))
    context.truncate(0)
    const report = await world.alarm.run(result.stored)
    const stored = [...world.memory.entries.values()]
    expect(stored.map(({ payload }) => payload)).toEqual(fragments.flat().map(({ payload }) => payload))
    const bytes = stored.reduce((sum, { payload }) => sum + payload.length, 0)
    expect(report).toEqual({ fragments: 3, bytes, refused: 0, error: null })
  })

  it('is cut where every prompt is cut, though it begins within a fragment', async () => {
    const { world } = await ready()
    const short = await world.prefilled(TOKENS.slice(0, 12))
    for (const fragment of short.fragments.flat()) world.memory.hold(fragment)
    const context = await world.open(TOKENS.length)
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    await world.alarm.run(result.stored)
    const spans = [...world.memory.entries.values()].map(({ description }) => description.signature.tokens)
    expect(spans.map(({ start, end }) => `${start}-${end}`)).toEqual(['0-8', '8-12', '12-16', '16-20'])
  })

  it('is not stored again where this node has it, but is where it was damaged', async () => {
    const { world, context, keys } = await ready({}, [0, 1, 2])
    world.faultOf = (name) => {
      if (name.includes(keys[0]?.[0] ?? '')) return { ...NO_FAULT, kind: 'missing' }
      return NO_FAULT
    }
    const request = world.request(TOKENS, { session: 'chat' })
    const result = await world.alarm.run(rebuildContext(world.parts, context, request))
    expect(result.explain.map(({ source }) => source)).toEqual(['prefill', 'disk', 'disk', 'prefill'])
    await world.alarm.run(result.stored)
    expect(world.memory.puts).toEqual(keys[0])
    expect(world.memory.sessions).toEqual([['chat', keys.flat()]])
  })

  it('is told to the session with what was read, in the order of the prompt', async () => {
    const { world, context, keys } = await ready({ hasState: true }, [0])
    const request = world.request(TOKENS, { session: 'chat' })
    const result = await world.alarm.run(rebuildContext(world.parts, context, request))
    expect(world.memory.sessions).toEqual([])
    await world.alarm.run(result.stored)
    expect(new Set(world.memory.sessions[0]?.[1])).toEqual(new Set(keys.flat()))
    expect(world.memory.sessions[0]?.[1]?.slice(0, 2)).toEqual(keys[0])
  })

  it('is reported where it could not be stored, and the rest is stored', async () => {
    const { world, context, keys } = await ready()
    world.memory.onPut = (key) => {
      if (key === keys[0]?.[0]) throw new Error('The disk is on fire.')
      return key === keys[1]?.[0] ? 'refused' : null
    }
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    const report = await world.alarm.run(result.stored)
    expect(report).toMatchObject({ fragments: 1, refused: 2, error: { message: 'The disk is on fire.' } })
    world.memory.used = () => {
      throw new Error('No session.')
    }
    const again = await world.alarm.run(
      rebuildContext(world.parts, context, world.request(TOKENS, { session: 's', reuse: 'none' })),
    )
    expect((await world.alarm.run(again.stored)).error?.message).toBe('The disk is on fire.')
  })

  it('is held up to a bound', async () => {
    const { world, context, keys } = await ready({ options: { storeBytesMax: 8 * 32 } })
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    const report = await world.alarm.run(result.stored)
    expect(report).toMatchObject({ fragments: 1, refused: 2, error: { code: 'LIMIT_REACHED' } })
    expect(world.memory.puts).toEqual(keys[0])
  })
})

describe('storing a context', () => {
  const ANSWER = [3, 1, 4, 1, 5, 9, 2, 6, 5]

  it('stores what was generated, from the block on in which it begins, and the next turn finds it', async () => {
    const { world, context } = await ready()
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    await world.alarm.run(result.stored)
    for (const [index, token] of ANSWER.entries())
      await world.alarm.run(context.prefill(TOKENS.length + index, Uint32Array.of(token)))
    const all = [...TOKENS, ...ANSWER]
    const request = { ...world.request(all, { session: 'chat' }), start: TOKENS.length }
    const report = await world.alarm.run(storeContext(world.parts, context, request))
    expect(report).toMatchObject({ fragments: 2, refused: 0, error: null })
    expect(world.memory.sessions[0]?.[1]).toHaveLength(2)
    const other = await world.open(all.length + 1)
    const next = await world.alarm.run(rebuildContext(world.parts, other, world.request([...all, 7])))
    expect(next.reusedTokens).toBe(28)
    expect(await other.dump(all.length + 1)).toBe((await world.prefilled([...all, 7])).dump)
  })

  it('stores nothing twice, and of a recurrent model only what ends where its state stands', async () => {
    for (const [hasState, fragments] of [
      [false, 3],
      [true, 2],
    ] as const) {
      const { world, context } = await ready({ hasState })
      await world.alarm.run(context.prefill(0, Uint32Array.from(TOKENS.slice(0, 20))))
      const request = { ...world.request(TOKENS), start: 0 }
      const store = () => world.alarm.run(storeContext(world.parts, context, request))
      expect(await store()).toMatchObject({ fragments, error: null })
      expect(await store()).toMatchObject({ fragments: 0, error: null })
    }
  })

  it('reports what goes wrong, and throws nothing', async () => {
    const { world, context } = await ready()
    await world.alarm.run(context.prefill(0, Uint32Array.from(TOKENS)))
    const request = { ...world.request(TOKENS), start: 0 }
    context.read = () => Promise.reject(new Error('The engine went away.'))
    expect(await world.alarm.run(storeContext(world.parts, context, request))).toMatchObject({
      refused: 1,
      error: { message: 'The engine went away.' },
    })
    const tokenIds = request.tokenIds.subarray(0, 8)
    const wrong = storeContext(world.parts, context, { ...request, tokenIds })
    expect(await world.alarm.run(wrong)).toMatchObject({ error: { code: 'INVALID_REQUEST' } })
  })
})
