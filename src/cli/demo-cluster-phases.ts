/** The phases in which nodes find each other, and one continues what another one computed. */
import { setTimeout as delay } from 'node:timers/promises'
import type { ClientRebuilt } from '../api/client-compute-shapes.ts'
import type { ClusterWorld } from './demo-cluster-world.ts'
import { isEqualKv, type PhaseOutcome } from './demo-full-phase.ts'
import type { LocalNode } from './local-cluster.ts'
import { figure, table } from './print.ts'
import { secondsText } from './print-generation.ts'

export const JOIN_PHASE = {
  name: 'join',
  title: 'Join: three processes become one cluster',
  run: runJoin,
} as const

export const ELSEWHERE_PHASE = {
  name: 'elsewhere',
  title: 'Elsewhere: what one node computed, others read',
  run: runElsewhere,
} as const

/** About 1,500 tokens of the document. */
const PROMPT_CHARACTERS = 4000
const LOOKED_SECONDS = 10
const PROMPTS_MAX = 5
const TOLD_MS = 300

async function runJoin({ cluster, near, startSeconds, until }: ClusterWorld): Promise<PhaseOutcome> {
  const measured = await until(
    near,
    ({ members, self }) => members.find(({ node }) => node === self)?.links.length === 1,
    LOOKED_SECONDS,
  )
  const view = await near.client.cluster.view()
  const [link] = view.members.find(({ node }) => node === view.self)?.links ?? []
  const alive = view.members.filter(({ state }) => state === 'alive').length
  return {
    says: [
      `Three nodes in two datacentres, each a process with its own disk, by ${cluster.engine}${cluster.redis === null ? '' : ' on a Redis of their own'}: all know all ${secondsText(startSeconds)} after the first was started.`,
      ...(link === undefined
        ? []
        : [
            `The link to ${link.datacentre}, as measured: ${figure((8 * link.bytesPerSecond) / 1e9)} Gbps, round trip ${secondsText(link.rttSeconds)}.`,
          ]),
    ],
    figures: { engine: cluster.engine, startSeconds, link: link ?? null },
    checks: [
      { claim: 'all three are alive', holds: alive === 3 },
      { claim: 'the link between the datacentres is measured', holds: measured !== null },
      { claim: 'the engine is the one that was asked for', holds: view.engine === cluster.engine },
    ],
  }
}

async function runElsewhere(world: ClusterWorld): Promise<PhaseOutcome> {
  const { near, other, far } = world
  let tried = await tryElsewhere(world, 1)
  // A read that is late is computed, as it should be: on a busy machine another prompt shows more.
  for (let prompts = 2; prompts <= PROMPTS_MAX && !tried.isRead; prompts++) tried = await tryElsewhere(world, prompts)
  const { first, others } = tried
  const fastest = Math.min(...others.map(({ rebuilt }) => rebuilt.seconds))
  return {
    says: [
      `${near.plan.name} computes a prompt of ${first.prefilledTokens} tokens in ${secondsText(first.seconds)}; ${other.plan.name} and ${far.plan.name} have never seen it:`,
      table(
        ['node', 'datacentre', 'read', 'from', 'computed', 'ready after', 'times as fast'],
        others.map(({ node, rebuilt }) => [
          node.plan.name,
          node.plan.datacentre,
          rebuilt.reusedTokens,
          [...new Set(rebuilt.explain.filter(({ bytes }) => bytes > 0).map(({ source }) => source))].join(', '),
          rebuilt.prefilledTokens,
          secondsText(rebuilt.seconds),
          figure(first.seconds / rebuilt.seconds),
        ]),
      ),
      `Why: ${others[0]?.rebuilt.explain[0]?.reason ?? 'nothing was explained.'}`,
    ],
    figures: { first, others: others.map(({ node, rebuilt }) => ({ node: node.plan.name, ...rebuilt })) },
    checks: [
      { claim: 'the first node computes the whole prompt', holds: first.reusedTokens === 0 },
      ...others.flatMap(({ node, rebuilt }) => [
        {
          claim: `${node.plan.name} reads most of what it never computed`,
          holds: isMostlyRead(rebuilt),
        },
        { claim: `its KV is equal to the byte at ${node.plan.name}`, holds: isEqualKv(first, rebuilt) },
      ]),
      { claim: 'they are ready sooner', holds: fastest < first.seconds },
    ],
  }
}

async function tryElsewhere({ near, other, far, textOf }: ClusterWorld, number: number) {
  const prompt = `${number}. ${textOf(0, PROMPT_CHARACTERS)}`
  const first = await near.client.rebuild({ prompt, wantsKvHash: true })
  // It is stored after the answer, and told to the others then.
  await delay(TOLD_MS)
  const others: { readonly node: LocalNode; readonly rebuilt: ClientRebuilt }[] = []
  for (const node of [other, far])
    others.push({ node, rebuilt: await node.client.rebuild({ prompt, wantsKvHash: true }) })
  const isRead = others.every(({ rebuilt }) => isMostlyRead(rebuilt) && rebuilt.seconds < first.seconds)
  return { first, others, isRead }
}

function isMostlyRead({ promptTokens, reusedTokens, explain }: ClientRebuilt): boolean {
  // From the node that computed it, or from a copy that was put here meanwhile.
  return reusedTokens > 0.9 * promptTokens && explain.some(({ source }) => source === 'peer' || source === 'disk')
}
