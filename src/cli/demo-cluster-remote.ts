/** The phase in which a prompt is computed in the other datacentre, because it is sooner there and sent than here. */
import type { ClientRebuilt } from '../api/client-compute-shapes.ts'
import type { ClusterWorld } from './demo-cluster-world.ts'
import { isEqualKv, type PhaseOutcome } from './demo-full-phase.ts'
import { figure } from './print.ts'
import { secondsText } from './print-generation.ts'
import { bytesText } from './units.ts'

export const REMOTE_PHASE = {
  name: 'remote',
  title: 'Remote prefill: computed in the other datacentre, sent layer by layer',
  run: runRemote,
} as const

/** About 1,100 tokens. */
const PROMPT_CHARACTERS = 4000
/** Until both engines are measured, each prompt says more; a busy machine may make the near one the sooner for a while. */
const PROMPTS_MAX = 20

async function runRemote({ near, other, far, textOf }: ClusterWorld): Promise<PhaseOutcome> {
  const promptOf = (name: string): string => `${name}. ${textOf(0, PROMPT_CHARACTERS)}`
  let sent: { readonly prompt: string; readonly rebuilt: ClientRebuilt } | null = null
  let prompts = 0
  while (sent === null && prompts < PROMPTS_MAX) {
    prompts += 1
    await far.client.rebuild({ prompt: promptOf(`West ${prompts}`) })
    const prompt = promptOf(`East ${prompts}`)
    const rebuilt = await near.client.rebuild({ prompt, wantsKvHash: true })
    if (remoteTokens(rebuilt) > rebuilt.promptTokens / 2) sent = { prompt, rebuilt }
  }
  const view = await near.client.cluster.view()
  const { prefill, routing } = view
  const figures = { prompts, sent, prefill, routing }
  const why = routing?.why ?? 'nothing was decided'
  const isRouted = { claim: 'the scheduler has a threshold, and says why', holds: (routing?.why.length ?? 0) > 0 }
  if (sent === null) {
    // On a busy machine that is the right answer: no prompt is sent away to be late.
    const says = [
      `None of ${prompts} prompts was computed at ${far.plan.name}: here each was expected to be ready sooner.`,
      `What the threshold rests on: ${why}`,
    ]
    return { says, figures, checks: [isRouted, { claim: 'every prompt was ready', holds: true }] }
  }
  const { prompt, rebuilt } = sent
  // By a third node, from its tokens alone.
  const alone = await other.client.rebuild({ prompt, reuse: 'none', wantsKvHash: true })
  const bytes = prefill['bytes'] ?? 0
  return {
    says: [
      `Prompt ${prompts} at ${near.plan.name}: ${remoteTokens(rebuilt)} of its ${rebuilt.promptTokens} tokens are computed at ${far.plan.name} and stream back while it computes; ready after ${secondsText(rebuilt.seconds)}. ${other.plan.name} computes all of it alone in ${secondsText(alone.seconds)}: ${figure(alone.seconds / rebuilt.seconds)} times as long. The KV is the same.`,
      `Why: ${why}`,
      `Over all prompts ${bytesText(bytes)} of KV came that way; for ${secondsText(prefill['overlapSeconds'] ?? 0)} some of it travelled while more was computed.`,
    ],
    figures: { ...figures, alone },
    checks: [
      isRouted,
      { claim: 'a prompt is computed elsewhere', holds: true },
      { claim: 'its KV is equal to the byte', holds: isEqualKv(rebuilt, alone) },
      { claim: 'what came was counted', holds: bytes > 0 && (prefill['used'] ?? 0) + (prefill['cancelled'] ?? 0) > 0 },
    ],
  }
}

function remoteTokens({ explain }: ClientRebuilt): number {
  return explain.reduce((sum, { source, start, end }) => sum + (source === 'remote-prefill' ? end - start : 0), 0)
}
