/** What makes prompts ready, explains and continues them: an engine of this process, or a server. Commands know only this. */
import type { MembraneClient } from '../api/client.ts'
import type { ClientPrompt } from '../api/client-compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { Sampling } from '../core/compute.ts'
import type { RebuildPlan } from '../reconstruct/rebuild-plan.ts'
import type { Generation, Rebuilt } from '../server/generation.ts'
import type { withDataDir } from './data-dir.ts'
import { engineOf, type NodeFlags, type OpenedNode, reuseOf, withNode } from './node-flags.ts'
import { refuseDirectoryFlags, refuseServerFlags } from './place.ts'
import { refuseGiven } from './refused-flags.ts'
import { type ServerFlags, withServer } from './server-client.ts'

export interface PromptsFlags extends NodeFlags, ServerFlags {}

/** What became of a prompt. */
export interface PromptRebuilt
  extends Pick<
    Rebuilt,
    'promptTokens' | 'reusedTokens' | 'prefilledTokens' | 'seconds' | 'kvHash' | 'explain' | 'approximate'
  > {
  readonly expectedSeconds: number
  readonly prefillAllSeconds: number
  readonly stored: { readonly fragments: number; readonly bytes: number; readonly refused: number }
  /** Why not all that was computed is kept, or null. */
  readonly storeError: string | null
}

export interface PromptGeneration extends Omit<Generation, 'stored'> {
  readonly storedFragments: number | null
  readonly storeError: string | null
}

export interface GenerateAsked {
  readonly text: string
  readonly maxTokens: number | undefined
  readonly sampling: Sampling
  readonly signal: AbortSignal
  readonly onText?: (text: string) => void
}

export interface Prompts {
  /** To read the model and open the directory; null for a server, which has done so long ago. */
  readonly loadSeconds: number | null
  readonly rebuild: (text: string, signal: AbortSignal) => Promise<PromptRebuilt>
  readonly explain: (text: string) => Promise<RebuildPlan>
  readonly generate: (asked: GenerateAsked) => Promise<PromptGeneration>
}

/** Opens an engine, or a client of the server that --url names; closes it whatever happens. */
export async function withPrompts(
  flags: PromptsFlags,
  use: (prompts: Prompts) => Promise<void>,
  openDirectory?: typeof withDataDir,
): Promise<void> {
  const { url } = flags
  if (url === undefined) {
    refuseServerFlags(flags)
    await withNode(flags, (opened) => use(localPrompts(opened, flags)), openDirectory)
    return
  }
  if (flags.dataDir !== undefined)
    throw new MembraneError('INVALID_REQUEST', 'The prompt goes to one place: give either --data-dir or --url.')
  refuseDirectoryFlags(flags)
  refuseGiven(
    flags,
    ['compute', 'model', 'device', 'threads', 'llmUrl', 'llmModel', 'llmKeyFile', 'movedMeasured'],
    'does not go with --url: the server has its engine',
  )
  await withServer({ ...flags, url }, (client) => use(remotePrompts(client, flags)))
}

function localPrompts(opened: OpenedNode, flags: NodeFlags): Prompts {
  const { generator, tenant, loadSeconds } = opened
  const common = (text: string) => ({
    tenant,
    prompt: { text },
    session: flags.session ?? null,
    reuse: reuseOf(flags),
    wantsKvHash: true,
  })
  return {
    loadSeconds,
    rebuild: async (text, signal) => {
      const { stored, plan, ...rebuilt } = await engineOf(opened).rebuild({ ...common(text), signal })
      const { expectedSeconds, prefillAllSeconds } = plan
      const { error, ...counts } = stored
      return { ...rebuilt, expectedSeconds, prefillAllSeconds, stored: counts, storeError: error?.message ?? null }
    },
    explain: (text) => engineOf(opened).plan(common(text)),
    generate: async ({ text, ...asked }) => {
      const { stored, ...answer } = await generator.generate({ ...common(text), ...asked })
      return { ...answer, storedFragments: stored?.fragments ?? null, storeError: stored?.error?.message ?? null }
    },
  }
}

function remotePrompts(client: MembraneClient, flags: NodeFlags): Prompts {
  const common = (text: string): ClientPrompt => ({
    prompt: text,
    reuse: reuseOf(flags) ?? 'exact',
    ...(flags.session === undefined ? {} : { session: flags.session }),
  })
  return {
    loadSeconds: null,
    rebuild: async (text, signal) => ({
      ...(await client.rebuild({ ...common(text), signal, wantsKvHash: true })),
      storeError: null,
    }),
    explain: (text) => client.explain(common(text)),
    generate: async ({ text, maxTokens, sampling, signal, onText }) => {
      const asked = { ...common(text), sampling, signal, wantsKvHash: true }
      for await (const event of client.generate(maxTokens === undefined ? asked : { ...asked, maxTokens })) {
        if (event.kind === 'text') {
          onText?.(event.text)
          continue
        }
        const { kind: _, tokens: __, tokenIds, ...answer } = event
        return { ...answer, tokenIds: Uint32Array.from(tokenIds), storeError: null }
      }
      throw new MembraneError('PEER_UNAVAILABLE', 'The answer broke off before its end.')
    },
  }
}
