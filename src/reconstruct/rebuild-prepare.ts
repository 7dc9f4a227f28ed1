/** What there is of a prompt, and which way each of its spans should take. */
import { unpackBlockHashes } from '../core/block-hashes.ts'
import { throwIfAborted } from '../core/cancel.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { checkMoved, findMoved } from './moved-reuse.ts'
import { leadingCandidates } from './leading-candidates.ts'
import { findCandidates, type FoundCandidate, type PromptShape } from './rebuild-candidates.ts'
import type { RebuildPlan, RemotePrefillOffer } from './rebuild-plan.ts'
import { DEFAULT_REBUILD } from './rebuild-options.ts'
import type { RebuildOptions, RebuildParts, RebuildRequest } from './rebuild-ports.ts'
import { findOffers, type LookUp, lookUp } from './rebuild-sources.ts'

/** A prompt with what there is of it. */
export interface FoundForPrompt {
  readonly prompt: PromptShape
  readonly promptTokens: number
  readonly candidates: readonly FoundCandidate[]
  readonly offers: readonly RemotePrefillOffer[]
  readonly unheard: readonly string[]
}

/** And with its plan. */
export interface PreparedRebuild extends FoundForPrompt {
  readonly plan: RebuildPlan
}

/**
 * `residentTokens`: leading tokens, of whole blocks, whose KV the context holds already. Throws INVALID_REQUEST,
 * OUT_OF_DOMAIN and ABORTED.
 */
export async function prepareRebuild(
  parts: RebuildParts,
  request: RebuildRequest,
  residentTokens: number,
): Promise<PreparedRebuild> {
  const found = await findForPrompt(parts, request, residentTokens)
  const { promptTokens, candidates, offers } = found
  const { parallelReads, gainSecondsMin, plan: planOf } = optionsOf(parts)
  const { rates, fragmentize } = parts
  const { blockTokens } = fragmentize
  const plan = planOf({ promptTokens, blockTokens, candidates, offers, rates, parallelReads, gainSecondsMin })
  checkPlan(plan, promptTokens)
  return { ...found, plan }
}

/** With `reuse: 'none'` nobody is asked. Throws as `prepareRebuild`. */
export async function findForPrompt(
  parts: RebuildParts,
  request: RebuildRequest,
  residentTokens: number,
): Promise<FoundForPrompt> {
  throwIfAborted(request.signal)
  checkRequest(parts, request)
  checkMoved(parts, request)
  const { model, fragmentize } = parts
  const { blockTokens } = fragmentize
  const { tenant, tokenIds, hashes, reuse, signal } = request
  const promptTokens = tokenIds.length
  const prompt: PromptShape = { model, blockTokens, blocks: unpackBlockHashes(hashes) }
  if (reuse === 'none') return { prompt, promptTokens, candidates: [], offers: [], unheard: [] }
  const asked: LookUp = {
    prompt: { tenant, model: model.fingerprint, hashes },
    blocks: hashes.count,
    blockTokens,
    ...patience(parts, promptTokens),
    signal,
  }
  const { proposed, unheard } = await lookUp(parts, asked)
  const candidates = [
    ...residentCandidate(parts, residentTokens),
    ...findCandidates(proposed, prompt),
    ...leadingCandidates(proposed, prompt),
  ]
  const offers = findOffers(parts, asked, { spans: candidates.map(({ span }) => span), promptTokens })
  if (reuse !== 'moved') return { prompt, promptTokens, candidates, offers, unheard }
  const exact = candidates.map(({ span }) => span)
  const moved = await findMoved(parts, request, { ...asked, blocks: prompt.blocks, exact })
  return {
    prompt,
    promptTokens,
    candidates: [...candidates, ...moved.candidates],
    offers,
    unheard: [...unheard, ...moved.unheard],
  }
}

export function optionsOf({ options }: RebuildParts): RebuildOptions {
  return { ...DEFAULT_REBUILD, ...options }
}

function checkRequest({ model, fragmentize }: RebuildParts, { tokenIds, hashes }: RebuildRequest): void {
  const blocks = Math.floor(tokenIds.length / fragmentize.blockTokens)
  if (tokenIds.length === 0 || hashes.count !== blocks)
    throw new MembraneError(
      'INVALID_REQUEST',
      `A prompt has tokens, and a hash of each of its ${blocks} blocks; found ${tokenIds.length} tokens and ${hashes.count} hashes.`,
    )
  if (tokenIds.length > model.contextTokensMax)
    throw new MembraneError(
      'OUT_OF_DOMAIN',
      `${model.name} takes ${model.contextTokensMax} tokens; the prompt has ${tokenIds.length}.`,
    )
}

/** Look-ups may take a share of what they can save. What they find has to stay for as long as the rebuild may take. */
function patience(parts: RebuildParts, promptTokens: number): Pick<LookUp, 'seconds' | 'leaseSeconds'> {
  const { patienceSecondsMin, lookUpRatio } = optionsOf(parts)
  const prefillSeconds = parts.rates.prefillSeconds({ start: 0, end: promptTokens })
  return {
    seconds: Math.max(patienceSecondsMin, lookUpRatio * prefillSeconds),
    leaseSeconds: Math.min(LIMITS.leaseMsMax / 1000, 1 + 2 * prefillSeconds),
  }
}

function residentCandidate({ model }: RebuildParts, residentTokens: number): readonly FoundCandidate[] {
  if (residentTokens === 0) return []
  return [
    {
      source: 'resident',
      place: 'engine',
      span: { start: 0, end: residentTokens },
      bytes: 0,
      reads: 0,
      continuesAt: model.parts.some(({ kind }) => kind === 'state') ? 'end' : 'any',
      recomputedTokens: 0,
      parts: [],
    },
  ]
}

/** What is carried out has to be a way through all of the prompt that ends by computing. */
function checkPlan({ steps }: RebuildPlan, promptTokens: number): void {
  let at = 0
  for (const { span } of steps) {
    assert(span.start === at && span.end > at, `the steps of a plan lie end to end: one begins at ${span.start}`)
    at = span.end
  }
  assert(at === promptTokens, `a plan covers ${promptTokens} tokens, not ${at}`)
  assert(steps.at(-1)?.source === 'prefill', 'the last token of a prompt is computed')
}
