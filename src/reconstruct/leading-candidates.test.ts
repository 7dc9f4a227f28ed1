import { describe, expect, it } from 'vitest'
import { BLOCK_TOKENS, FRAGMENT_TOKENS, World } from '../../test/faults/rebuild-world.ts'
import { rebuildContext } from './rebuild.ts'

const A = Array.from({ length: 3 * FRAGMENT_TOKENS + 2 }, (_, index) => index + 1)
/** Leaves A in the second block of its second fragment. */
const SHARED = FRAGMENT_TOKENS + BLOCK_TOKENS
const B = A.map((token, index) => (index < SHARED + 1 ? token : token + 100))

async function rebuilt(world: World, tokens: readonly number[]) {
  const context = await world.open(tokens.length)
  const result = await world.alarm.run(rebuildContext(world.parts, context, world.request(tokens)))
  return { result, dump: await context.dump(tokens.length) }
}

describe('a prompt that leaves another one in the middle of a fragment', () => {
  it('reuses the blocks of that fragment that they have in common, and no others', async () => {
    const world = new World()
    for (const fragment of (await world.prefilled(A)).fragments.flat()) world.memory.hold(fragment)
    const { result, dump } = await rebuilt(world, B)
    expect(result.reusedTokens).toBe(SHARED)
    expect(dump).toBe((await new World().prefilled(B)).dump)
  })

  it('stores what it computed, and takes the borrowed beginning for stored under no name of its own', async () => {
    const world = new World()
    for (const fragment of (await world.prefilled(A)).fragments.flat()) world.memory.hold(fragment)
    const { result } = await rebuilt(world, B)
    await world.alarm.run(result.stored)
    const again = await rebuilt(world, B)
    expect(again.result.reusedTokens).toBe(B.length - (B.length % BLOCK_TOKENS))
    expect(again.dump).toBe((await new World().prefilled(B)).dump)
  })

  it('of a model with a recurrent state reuses whole fragments only', async () => {
    const world = new World({ hasState: true })
    for (const fragment of (await world.prefilled(A)).fragments.flat()) world.memory.hold(fragment)
    const { result, dump } = await rebuilt(world, B)
    expect(result.reusedTokens).toBe(FRAGMENT_TOKENS)
    expect(dump).toBe((await new World({ hasState: true }).prefilled(B)).dump)
  })
})
