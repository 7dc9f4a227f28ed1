/** Prompts over gRPC: rebuild, explain and generate. */
import { MembraneError } from '../core/errors.ts'
import type { Sampling } from '../core/compute.ts'
import type {
  ExplainResponseMessage,
  GenerateRequestMessage,
  GenerateResponseMessage,
  GenerateSummaryMessage,
  PromptMessage,
  RebuildRequestMessage,
  RebuildResponseMessage,
} from '../api/grpc-messages.ts'
import type { ComputeOperations, Own } from '../server/compute-operations.ts'
import type { Generation, PromptRequest } from '../server/generation.ts'
import type { CallContext } from './grpc-admission.ts'
import type { Send } from './grpc-calls.ts'

const REUSES = ['exact', 'moved', 'none'] as const

export async function rebuild(
  compute: ComputeOperations,
  { prompt, wantsKvHash }: RebuildRequestMessage,
  { caller, signal }: CallContext,
): Promise<RebuildResponseMessage> {
  const rebuilt = await compute.rebuild(caller, { ...readPrompt(prompt), wantsKvHash, signal })
  const { kvHash, explain, approximate, stored, promptTokens, reusedTokens, prefilledTokens, seconds } = rebuilt
  return {
    promptTokens,
    reusedTokens,
    prefilledTokens,
    seconds,
    kvHash: kvHash ?? '',
    explain,
    storedFragments: stored.fragments,
    storedBytes: stored.bytes,
    isApproximate: approximate !== null,
  }
}

/** As messages, not as JSON: clients in every language have types for it, and old ones overlook what is new. */
export async function explain(
  compute: ComputeOperations,
  { prompt }: { readonly prompt: PromptMessage | null },
  { caller, signal }: CallContext,
): Promise<ExplainResponseMessage> {
  const plan = await compute.explain(caller, { ...readPrompt(prompt), signal })
  return {
    steps: plan.steps.map(({ span, source, bytes, expectedSeconds, prefillSeconds, reason }) => ({
      ...span,
      source,
      bytes,
      expectedSeconds,
      prefillSeconds,
      reason,
    })),
    expectedSeconds: plan.expectedSeconds,
    prefillAllSeconds: plan.prefillAllSeconds,
    refused: plan.refused.map(({ reason }) => reason),
  }
}

/** The engine does not wait for a client that is slow to read; what waits to be sent is no more than one answer. */
export async function generate(
  compute: ComputeOperations,
  request: GenerateRequestMessage,
  { context, send }: { readonly context: CallContext; readonly send: Send<GenerateResponseMessage> },
): Promise<void> {
  const { prompt, wantsKvHash, maxTokens } = request
  const { signal } = context
  let sent = Promise.resolve()
  const onText = (text: string): void => {
    sent = sent.then(() => send({ text }))
    // Whoever awaits the last of them hears of it.
    sent.catch(() => {})
  }
  const sampling = samplingOf(request)
  const asked = { ...readPrompt(prompt), wantsKvHash, maxTokens, sampling, onText, signal }
  const generation = await compute.generate(context.caller, asked)
  await sent
  await send({ summary: summaryOf(generation) })
}

function samplingOf({ temperature, topK, topP, seed }: GenerateRequestMessage): Partial<Sampling> {
  return {
    ...(temperature === undefined ? {} : { temperature }),
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
    ...(seed === undefined ? {} : { seed }),
  }
}

function summaryOf(generation: Generation): GenerateSummaryMessage {
  const { finish, promptTokens, reusedTokens, prefilledTokens, tokenIds, usage, ttftSeconds } = generation
  const { decodeTokensPerSecond, kvHash, approximate, isSimulated } = generation
  // A service counts its tokens and shows none.
  const completionTokens = usage === null ? tokenIds.length : usage.completionTokens
  return {
    finish,
    ...(promptTokens === null ? {} : { promptTokens }),
    ...(reusedTokens === null ? {} : { reusedTokens }),
    ...(prefilledTokens === null ? {} : { prefilledTokens }),
    ...(completionTokens === null ? {} : { completionTokens }),
    ttftSeconds,
    ...(decodeTokensPerSecond === null ? {} : { decodeTokensPerSecond }),
    kvHash: kvHash ?? '',
    explain: generation.explain,
    isApproximate: approximate !== null,
    isSimulated,
  }
}

/** Throws INVALID_REQUEST. */
function readPrompt(message: PromptMessage | null): Own<PromptRequest> {
  const { text, tokens, prompt } = message ?? {}
  const session = message?.session ?? ''
  const common = { session: session === '' ? null : session, reuse: readReuse(message?.reuse ?? '') }
  if (prompt === 'text' && text !== undefined) return { ...common, prompt: { text } }
  if (prompt === 'tokens' && tokens !== undefined)
    return { ...common, prompt: { tokenIds: Uint32Array.from(tokens.ids) } }
  throw new MembraneError('INVALID_REQUEST', 'A prompt is a text or token ids; found neither.')
}

function readReuse(text: string): (typeof REUSES)[number] {
  const found = REUSES.find((reuse) => reuse === text)
  if (found !== undefined || text === '') return found ?? 'exact'
  throw new MembraneError('INVALID_REQUEST', `reuse is ${REUSES.join(', ')}; found ${JSON.stringify(text)}.`)
}
