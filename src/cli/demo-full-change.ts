/** Phases about what prompts have to do with each other: versions of one prefix, and what is used together. */
import { blockHashAt } from '../core/block-hashes.ts'
import type { BlockHash } from '../core/ids.ts'
import { PrefixVersions } from '../indices/versions.ts'
import { isEqualKv, type Phase, type PhaseOutcome } from './demo-full-phase.ts'
import { DEMO_FRAGMENT_TOKENS, type DemoWorld, kvBytesPerToken, sharedTokens, tenantOf } from './demo-full-world.ts'
import { figure } from './print.ts'
import { bytesText } from './units.ts'

export const DELTA_PHASE: Phase = {
  name: 'delta',
  title: 'Versions: only what comes after a change is computed',
  run: runDelta,
}

export const GRAPH_PHASE: Phase = {
  name: 'graph',
  title: 'Co-access: what to fetch next, learnt from sessions',
  run: runGraph,
}

const LINEAGE = 'packages'

interface Version {
  readonly tokenIds: Uint32Array
  readonly version: BlockHash
}

async function runDelta(world: DemoWorld): Promise<PhaseOutcome> {
  const { tokenizer } = world.backend.model
  const tenant = tenantOf('delta')
  const text = world.documentText.slice(0, 2000)
  const versionOf = (content: string): Version => {
    const tokenIds = Uint32Array.from([...tokenizer.startTokens, ...tokenizer.encode(content)])
    const hashes = world.hashesOf(tokenIds, tenant)
    return { tokenIds, version: blockHashAt(hashes, hashes.count - 1) }
  }
  const revisedAt = (share: number): Version => {
    const at = text.indexOf(' ', share * text.length)
    return versionOf(`${text.slice(0, at)} revised${text.slice(at)}`)
  }
  const [v1, v2, v3] = [versionOf(text), revisedAt(0.5), revisedAt(0.85)]
  const versions = new PrefixVersions()
  versions.add(LINEAGE, v1.version, null)
  versions.add(LINEAGE, v2.version, v1.version)
  versions.add(LINEAGE, v3.version, v1.version)
  const ancestor = versions.commonAncestor(LINEAGE, v2.version, v3.version)

  await world.rebuild({ tenant, tokenIds: v1.tokenIds })
  const second = await world.rebuild({ tenant, tokenIds: v2.tokenIds })
  const third = await world.rebuild({ tenant, tokenIds: v3.tokenIds })
  const alone = await world.rebuild({ tenant, tokenIds: v2.tokenIds, reuse: 'none' })
  const shared = [v2, v3].map(({ tokenIds }) =>
    sharedTokens(world.hashesOf(v1.tokenIds, tenant), world.hashesOf(tokenIds, tenant)),
  )
  const deltaTokens = [second, third].map(({ prefilledTokens }) => prefilledTokens)
  const reused = [second, third].map(({ reusedTokens }) => reusedTokens)
  const line = (name: string, tokens: number, index: number): string =>
    `${name} changes one word: ${shared[index]} of its ${tokens} tokens are as in v1, ${reused[index]} in whole fragments; ${deltaTokens[index]} are computed (${bytesText((deltaTokens[index] ?? 0) * kvBytesPerToken(world.backend.model))} of KV).`
  return {
    says: [
      `${line('v2', v2.tokenIds.length, 0)} ${line('v3', v3.tokenIds.length, 1)}`,
      `Lineage: v1 <- v2, v1 <- v3; the latest is ${nameOf(versions.latest(LINEAGE), { v1, v2, v3 })}; v2 and v3 both come from ${nameOf(ancestor, { v1, v2, v3 })}.`,
    ],
    figures: {
      promptTokens: [v1, v2, v3].map(({ tokenIds }) => tokenIds.length),
      sharedTokens: shared,
      reusedTokens: reused,
      deltaTokens,
      versions: versions.versions(LINEAGE),
      latest: versions.latest(LINEAGE),
      commonAncestor: ancestor,
      kvHash: second.kvHash,
    },
    checks: [
      {
        claim: 'each version reuses what it shares with the first, but for parts of fragments, and no token more',
        holds: [second, third].every(({ reusedTokens }, index) => isShared(reusedTokens, shared[index] ?? 0)),
      },
      { claim: 'a later change leaves more to reuse', holds: third.reusedTokens > second.reusedTokens },
      { claim: 'its KV is that of a computation from nothing', holds: isEqualKv(second, alone) },
      {
        claim: 'the lineage knows the latest version and the common ancestor',
        holds: versions.latest(LINEAGE) === v3.version && ancestor === v1.version,
      },
    ],
  }
}

function isShared(reusedTokens: number, sharedTokens: number): boolean {
  return reusedTokens > 0 && reusedTokens <= sharedTokens && sharedTokens - reusedTokens < 2 * DEMO_FRAGMENT_TOKENS
}

function nameOf(version: BlockHash | null, known: Readonly<Record<string, Version>>): string {
  return Object.keys(known).find((name) => known[name]?.version === version) ?? 'none'
}

/** Sessions begin with one text and go on with one of two others, one of them three times as often. */
async function runGraph(world: DemoWorld): Promise<PhaseOutcome> {
  const tenant = tenantOf('graph')
  const own = world.fabric.of(tenant)
  const first = [0, DEMO_FRAGMENT_TOKENS] as const
  const often = world.promptOf(first, [200, 330])
  const seldom = world.promptOf(first, [400, 530])
  for (const session of ['ann', 'bob', 'eve']) await world.rebuild({ tenant, tokenIds: often, session })
  await world.rebuild({ tenant, tokenIds: seldom, session: 'joe' })

  const [start, same] = [await keyAt(world, often, 0), await keyAt(world, seldom, 0)]
  const [afterOften, afterSeldom] = [await keyAt(world, often, 1), await keyAt(world, seldom, 1)]
  const weightOf = (key: string): number =>
    own
      .neighbours(start, 16)
      .filter((neighbour) => neighbour.kind === 'co-accessed' && neighbour.key === key)
      .reduce((sum, { weight }) => sum + weight, 0)
  const [oftenWeight, seldomWeight] = [weightOf(afterOften), weightOf(afterSeldom)]
  const letters = new Map([
    [afterOften, 'B'],
    [afterSeldom, 'C'],
  ])
  const next = own.prefetch([start], 16).flatMap(({ key }) => letters.get(key) ?? [])
  return {
    says: [
      `Three sessions used text A and then B, one used A and then C. Weight of A-B ${figure(oftenWeight)}, of A-C ${figure(seldomWeight)}. To fetch once A is used: ${next.join(', then ') || 'nothing'}.`,
    ],
    figures: { weights: { ab: oftenWeight, ac: seldomWeight }, prefetch: next },
    checks: [
      { claim: 'both prompts begin with the same fragment', holds: start === same },
      { claim: 'what was used together is linked', holds: seldomWeight > 0 },
      { claim: 'what was used together more often weighs more', holds: oftenWeight > seldomWeight },
      { claim: 'what weighs more is fetched first', holds: next.join() === 'B,C' },
    ],
  }
}

/** The largest fragment of a prompt that begins at a fragment's place; '' where there is none. */
async function keyAt(world: DemoWorld, tokenIds: Uint32Array, place: number): Promise<string> {
  const tenant = tenantOf('graph')
  const prompt = { model: world.backend.model.fingerprint, hashes: world.hashesOf(tokenIds, tenant) }
  const held = await world.fabric.of(tenant).fragmentsOf(prompt, 1000)
  const there = held.filter(({ description }) => description.signature.tokens.start === place * DEMO_FRAGMENT_TOKENS)
  return there.toSorted((a, b) => b.payloadBytes - a.payloadBytes)[0]?.key ?? ''
}
