import { describe, expect, it } from 'vitest'
import { BLOCK_TOKENS, FRAGMENT_TOKENS, World } from '../../test/faults/rebuild-world.ts'
import { MixingBackend } from '../../test/faults/mixing-engine.ts'
import type { Fragment } from '../core/fragment.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { EngineRemotePrefill } from './in-memory-peers.ts'
import { rebuildContext } from './rebuild.ts'

const TOKENS = Array.from({ length: 21 }, (_, index) => index % 7)

describe('peers in memory', () => {
  it('are found by the others, give what they hold, and nothing once they dropped it', async () => {
    const world = new World()
    const { fragments, hashes } = await world.prefilled(TOKENS)
    const held = fragments.flat().map((fragment) => world.holdAtPeer('amy', fragment))
    const { peers } = world
    const prompt = { tenant: DEFAULT_TENANT, model: world.backend.model.fingerprint, hashes }
    expect(await peers.directoryOf('here').locate(prompt)).toEqual(held)
    expect(await peers.directoryOf('amy').locate(prompt)).toEqual([])
    const [first] = held
    if (first === undefined) throw new Error('There is one.')
    expect(await peers.fetch(DEFAULT_TENANT, first)).toEqual(fragments[0]?.[0]?.payload)
    expect(peers.drop('amy', DEFAULT_TENANT, first.key)).toBe(true)
    expect(peers.drop('amy', DEFAULT_TENANT, first.key)).toBe(false)
    expect(await peers.fetch(DEFAULT_TENANT, first)).toBeNull()
    expect(await peers.directoryOf('here').locate(prompt)).toHaveLength(2)
  })
})

describe('an engine that computes for others', () => {
  const engineOf = (hasState: boolean): EngineRemotePrefill =>
    new EngineRemotePrefill({
      node: 'cat',
      backend: new MixingBackend({ hasState, isForgetful: false, secondsAToken: 0, wait: null }),
      fragmentize: { blockTokens: BLOCK_TOKENS, fragmentTokens: FRAGMENT_TOKENS },
      rates: {
        prefillSeconds: ({ start, end }) => (end - start) * 0.01,
        read: () => ({ latencySeconds: 0.5, bytesPerSecond: 320, isMeasured: true }),
      },
    })

  it.each([false, true])('gives the fragments of a span, and says what they take (recurrent: %s)', async (hasState) => {
    const world = new World({ hasState })
    const { fragments } = await world.prefilled(TOKENS)
    const { tenant, hashes, tokenIds } = world.request(TOKENS)
    const prompt = { tenant, model: world.backend.model.fingerprint, hashes, tokenIds }
    const engine = engineOf(hasState)
    const found: Fragment[] = []
    let waitSeconds: number | undefined
    for await (const fragment of engine.prefill(prompt, { start: 8, end: 20 })) {
      waitSeconds = engine.estimate(prompt, { start: 0, end: 8 })?.waitSeconds
      found.push(fragment)
    }
    expect(found).toEqual(fragments.slice(1).flat())
    expect(waitSeconds).toBeCloseTo(0.2)
    const bytes = 12 * 32 + (hasState ? 16 : 0)
    const transferSeconds = 0.5 + bytes / 320
    const estimate = { node: 'cat', waitSeconds: 0, prefillSeconds: 0.2, transferSeconds }
    expect(engine.estimate(prompt, { start: 8, end: 20 })).toEqual(estimate)
    expect(engine.estimate(prompt, { start: 8, end: 21 })).toBeNull()
    expect(engine.estimate(prompt, { start: 8, end: 24 })).toBeNull()
    const foreign = new World({ digit: 'b' }).backend.model.fingerprint
    expect(engine.estimate({ ...prompt, model: foreign }, { start: 8, end: 20 })).toBeNull()
  })

  it('is used where it is faster, as far as it gets', async () => {
    const world = new World({ parts: { remotePrefill: engineOf(false) } })
    const { dump, fragments } = await world.prefilled(TOKENS)
    for (const fragment of fragments[0] ?? []) world.memory.hold(fragment)
    const context = await world.open(TOKENS.length)
    const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(TOKENS)))
    expect(result.explain.map(({ start, end, source }) => `${start}-${end} ${source}`)).toEqual([
      '0-8 memory',
      '8-16 remote-prefill',
      '16-20 remote-prefill',
      '20-21 prefill',
    ])
    expect(result).toMatchObject({ reusedTokens: 8, prefilledTokens: 13 })
    expect(await context.dump(TOKENS.length)).toBe(dump)
  })
})
