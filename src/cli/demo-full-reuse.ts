/** Phases about prompts that come back: as they were, and as the next turn of a conversation. */
import { isEqualKv, type Phase, type PhaseOutcome } from './demo-full-phase.ts'
import { DEMO_BLOCK_TOKENS, type DemoWorld, isMostlyReused, tenantOf } from './demo-full-world.ts'
import { percent } from './print.ts'
import { secondsText } from './print-generation.ts'
import { bytesText } from './units.ts'

export const CACHE_PHASE: Phase = {
  name: 'cache',
  title: 'Cache: hits and misses, as the fabric counts them',
  run: runCache,
}

export const SESSION_PHASE: Phase = {
  name: 'session',
  title: 'Session: the next turn finds the last one in engine memory',
  run: runSession,
}

async function runCache(world: DemoWorld): Promise<PhaseOutcome> {
  const { fabric, backend } = world
  const tenant = tenantOf('cache')
  const own = fabric.of(tenant)
  const tokenIds = world.promptOf([0, 400])
  const find = async (ids: Uint32Array): Promise<number> => {
    const prompt = { model: backend.model.fingerprint, hashes: world.hashesOf(ids, tenant) }
    return (await own.longestPrefix(prompt, { leaseMs: 1000, blockTokens: DEMO_BLOCK_TOKENS })).tokens
  }
  const beforeTokens = await find(tokenIds)
  const first = await world.rebuild({ tenant, tokenIds })
  const afterTokens = await find(tokenIds)
  const otherTokens = await find(world.promptOf([600, 1000]))
  const second = await world.rebuild({ tenant, tokenIds })
  const { hits = 0, misses = 0 } = fabric.stats().cache.byTenant.get(tenant)?.byIndex.exact ?? {}
  const hitRatio = hits / (hits + misses)
  const wholeBlocks = tokenIds.length - (tokenIds.length % DEMO_BLOCK_TOKENS)
  const readBytes = second.explain.reduce((sum, { bytes }) => sum + bytes, 0)
  return {
    says: [
      `A prompt of ${tokenIds.length} tokens: ${beforeTokens} are found before it was computed, ${afterTokens} after; of another prompt ${otherTokens}. With the two rebuilds the fabric counted ${hits} hits and ${misses} misses: hit ratio ${hitRatio.toFixed(2)}.`,
      `Computed in ${secondsText(first.seconds)}; ready again in ${secondsText(second.seconds)}, ${second.reusedTokens} tokens read (${bytesText(readBytes)}), ${second.prefilledTokens} computed, KV equal to the byte.`,
    ],
    figures: {
      promptTokens: tokenIds.length,
      beforeTokens,
      afterTokens,
      otherTokens,
      hits,
      misses,
      hitRatio,
      readBytes,
      computedSeconds: first.seconds,
      rebuiltSeconds: second.seconds,
      reusedTokens: second.reusedTokens,
      kvHash: second.kvHash,
    },
    checks: [
      {
        claim: 'nothing is found before it was computed, nor of another prompt',
        holds: beforeTokens + otherTokens === 0,
      },
      { claim: 'all whole blocks are found afterwards', holds: afterTokens === wholeBlocks },
      { claim: 'of five look-ups two are counted as hits and three as misses', holds: hits === 2 && misses === 3 },
      { claim: 'what was found is used', holds: isMostlyReused(second, afterTokens) },
      { claim: 'the KV that was read is the KV that was computed', holds: isEqualKv(first, second) },
    ],
  }
}

/** The answer of the first turn is a part of the second prompt, and its KV is there already. */
async function runSession(world: DemoWorld): Promise<PhaseOutcome> {
  const tenant = tenantOf('session')
  const turn = { tenant, session: 'chat', maxTokens: 24, wantsKvHash: true } as const
  const node = world.openNode()
  const firstIds = world.promptOf([0, 240])
  const first = await node.generate({ ...turn, prompt: { tokenIds: firstIds } })
  const question = world.documentIds.subarray(240, 270)
  const secondIds = Uint32Array.from([...firstIds, ...first.tokenIds, ...question])
  const second = await node.generate({ ...turn, prompt: { tokenIds: secondIds } })
  const { hits, hitTokens } = node.stats().resident
  const alone = await world.openNode().generate({ ...turn, prompt: { tokenIds: secondIds }, reuse: 'none' })
  const reusedTokens = second.reusedTokens ?? 0
  const readBytes = second.explain.reduce((sum, { bytes }) => sum + bytes, 0)
  const reuseRatio = reusedTokens / secondIds.length
  return {
    says: [
      `Turn 1: ${firstIds.length} tokens in, ${first.tokenIds.length} out, TTFT ${secondsText(first.ttftSeconds)}. Turn 2 sends both back and ${question.length} more: ${reusedTokens} of ${secondIds.length} tokens (${percent(reuseRatio)}) are where they were, ${readBytes} B read, TTFT ${secondsText(second.ttftSeconds)}; computed from nothing it is ${secondsText(alone.ttftSeconds)}, with the same KV and answer.`,
    ],
    figures: {
      promptTokens: [firstIds.length, secondIds.length],
      reusedTokens,
      reuseRatio,
      readBytes,
      residentHits: hits,
      residentHitTokens: hitTokens,
      ttftSeconds: [first.ttftSeconds, second.ttftSeconds],
      aloneTtftSeconds: alone.ttftSeconds,
      kvHash: second.kvHash,
    },
    checks: [
      { claim: 'the second turn begins in the memory of the engine', holds: second.explain[0]?.source === 'resident' },
      { claim: 'nothing is read for it', holds: readBytes === 0 },
      {
        claim: 'what is there goes beyond the first prompt, into its answer',
        holds: reusedTokens > firstIds.length && hits === 1,
      },
      {
        claim: 'KV and answer are those of a computation from nothing',
        holds: isEqualKv(second, alone) && second.text === alone.text,
      },
    ],
  }
}
