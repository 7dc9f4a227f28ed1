/** Phases about whose KV is kept: tenants, and what leaves when room is short. */
import { isEqualKv, type Phase, type PhaseOutcome } from './demo-full-phase.ts'
import { DEMO_BLOCK_TOKENS, type DemoWorld, kvBytesPerToken, isMostlyReused, tenantOf } from './demo-full-world.ts'
import { bytesText, fragmentsText } from './units.ts'

export const TENANTS_PHASE: Phase = {
  name: 'tenants',
  title: 'Tenants: nothing of each other, unless a prefix is given',
  run: runTenants,
}

export const EVICTION_PHASE: Phase = {
  name: 'eviction',
  title: 'Eviction: a bound that holds, and what is pinned stays',
  run: runEviction,
}

async function runTenants(world: DemoWorld): Promise<PhaseOutcome> {
  const { fabric, backend } = world
  const [ann, bob, eve] = [tenantOf('ann'), tenantOf('bob'), tenantOf('eve')]
  const tokenIds = world.promptOf([0, 260])
  const { fingerprint: model } = backend.model
  const first = await world.rebuild({ tenant: ann, tokenIds })
  const heldTokens = async (tenant: typeof ann): Promise<number> => {
    const prompt = { model, hashes: world.hashesOf(tokenIds, tenant) }
    return (await fabric.of(tenant).longestPrefix(prompt, { leaseMs: 1000, blockTokens: DEMO_BLOCK_TOKENS })).tokens
  }
  const own = await heldTokens(ann)
  const before = await heldTokens(bob)
  const beforeBytes = fabric.stats().contentBytes
  const shared = await fabric.of(ann).share(bob, {
    model,
    hashes: world.hashesOf(tokenIds, ann),
    theirHashes: world.hashesOf(tokenIds, bob),
  })
  const addedBytes = fabric.stats().contentBytes - beforeBytes
  const [after, ofEve] = [await heldTokens(bob), await heldTokens(eve)]
  const second = await world.rebuild({ tenant: bob, tokenIds })
  return {
    says: [
      `Ann computes ${tokenIds.length} tokens; Bob finds ${before} of the same prompt. Ann gives him this prefix, ${fragmentsText(shared)}: he finds ${after} and reuses ${second.reusedTokens}, with equal KV; ${addedBytes} B more are kept. Eve, who was given nothing, finds ${ofEve}.`,
    ],
    figures: {
      promptTokens: tokenIds.length,
      foundTokens: { before, after, other: ofEve },
      sharedFragments: shared,
      addedBytes,
      reusedTokens: second.reusedTokens,
      kvHash: second.kvHash,
    },
    checks: [
      { claim: 'another tenant finds nothing of the same prompt', holds: before === 0 && ofEve === 0 },
      { claim: 'what was given is found', holds: shared > 0 && after > 0 && after === own },
      { claim: 'what was given is used', holds: isMostlyReused(second, after) },
      { claim: 'equal bytes are kept once', holds: addedBytes === 0 },
      { claim: 'the KV is that of who gave it', holds: isEqualKv(first, second) },
    ],
  }
}

const PROMPT_TOKENS = 128
const PROMPTS = 6
/** Prompts that there is room for. */
const ROOM = 3.5

async function runEviction(world: DemoWorld): Promise<PhaseOutcome> {
  const tenant = tenantOf('eviction')
  const boundBytes = Math.round(ROOM * PROMPT_TOKENS * kvBytesPerToken(world.backend.model))
  // What a rebuild used is leased for some seconds, and what is leased stays: prompts come a minute apart.
  let passedMs = 0
  const clock = { nowMs: () => Date.now() + passedMs }
  const fabric = await world.openFabric({
    clock,
    bound: { payloadBytesMax: boundBytes, entriesMax: 1000 },
    policy: 'lru',
  })
  const own = fabric.of(tenant)
  const prompts = Array.from({ length: PROMPTS }, (_, index) =>
    world.promptOf([index * PROMPT_TOKENS, (index + 1) * PROMPT_TOKENS]),
  )
  const isHeld = async (tokenIds: Uint32Array): Promise<boolean> => {
    const prompt = { model: world.backend.model.fingerprint, hashes: world.hashesOf(tokenIds, tenant) }
    const { tokens } = await own.longestPrefix(prompt, { leaseMs: 1, blockTokens: DEMO_BLOCK_TOKENS })
    return tokens === tokenIds.length - (tokenIds.length % DEMO_BLOCK_TOKENS)
  }
  const hashes = []
  let isWithin = true
  let pinned = 0
  for (const [index, tokenIds] of prompts.entries()) {
    hashes.push((await world.rebuild({ tenant, tokenIds, fabric })).kvHash)
    if (index === 0) {
      for await (const { key, description } of own.list()) {
        const payload = (await own.get(key))?.payload
        if (payload === undefined) continue
        await own.put({ description, payload, hints: { isPinned: true } })
        pinned += 1
      }
    }
    passedMs += 60_000
    isWithin &&= fabric.stats().contentBytes <= boundBytes
  }
  const held: boolean[] = []
  for (const tokenIds of prompts) held.push(await isHeld(tokenIds))
  const lost = held.indexOf(false)
  const isFirstHeld = held.indexOf(true) === 0
  const isLastHeld = held.lastIndexOf(true) === PROMPTS - 1
  const { evictions } = fabric.stats()
  const again = prompts[lost] === undefined ? null : await world.rebuild({ tenant, tokenIds: prompts[lost], fabric })
  return {
    says: [
      `Room for ${bytesText(boundBytes)}; ${PROMPTS} prompts of ${bytesText(PROMPT_TOKENS * kvBytesPerToken(world.backend.model))}, a minute apart, the first one pinned. Evictions, by least recent use: ${evictions}. Here at the end: ${held
        .map((is, index) => (is ? index + 1 : 0))
        .filter((number) => number > 0)
        .join(
          ', ',
        )}.${again === null ? '' : ` Prompt ${lost + 1} is computed again (${again.prefilledTokens} tokens), with equal KV.`}`,
    ],
    figures: { boundBytes, pinned, held, evictions },
    checks: [
      { claim: 'the bound held all the time', holds: isWithin },
      { claim: 'what was pinned stayed', holds: pinned > 0 && isFirstHeld },
      { claim: 'others left for those that came', holds: evictions > 0 && lost > 0 && isLastHeld },
      {
        claim: 'what had left is computed again, with equal KV',
        holds: again !== null && again.kvHash !== null && again.kvHash === hashes[lost],
      },
    ],
  }
}
