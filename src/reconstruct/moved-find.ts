/**
 * Moved reuse: KV of a prompt's tokens that was computed at another place. Opt-in, because it is approximate, and what
 * is computed behind it is too: none of that may be stored under the prompt's block hashes.
 */
import type { ContextPart, KvModel } from '../core/compute.ts'
import { packBlockHashes } from '../core/block-hashes.ts'
import { readTensors } from '../core/fragment-tensors.ts'
import type { Fragment, FragmentDescription, TokenSpan } from '../core/fragment.ts'
import type { BlockHash, TenantId } from '../core/ids.ts'
import type { MovedIndex, MovedRun } from '../indices/moved.ts'
import { mergeFragments } from './merge-fragments.ts'
import type { MovedOptions } from './moved-options.ts'
import { canMove, moveSpan, recomputedTokens } from './moved-span.ts'
import type { ReuseCandidate } from './rebuild-plan.ts'
import type { LocalFragment, RebuildMemory } from './rebuild-ports.ts'

/** What moved reuse needs. */
export interface MovedParts {
  readonly model: KvModel
  readonly index: MovedIndex
  readonly memory: Pick<RebuildMemory, 'find'>
  readonly blockTokens: number
  readonly options: MovedOptions
}

/** A prompt, and what there is of it. */
export interface MovedRequest {
  /** Of the index: tenant, model and adapter. */
  readonly scope: string
  readonly tenant: TenantId
  readonly tokenIds: Uint32Array
  /** Hashes of all its full blocks. */
  readonly blocks: readonly BlockHash[]
  /** Spans whose own KV exists: exact is better than moved. */
  readonly exact: readonly TokenSpan[]
  readonly leaseSeconds: number
}

/** Fragments that hold a run, and where it goes. */
export interface MovedCandidate extends ReuseCandidate {
  readonly source: 'moved'
  readonly run: MovedRun
  /** The run's tokens, in its record, that become `span`. */
  readonly from: TokenSpan
  /** In order, end to end, over `from`. */
  readonly fragments: readonly LocalFragment[]
}

/**
 * Candidates for the spans of a prompt that nobody has exactly: in order, none overlapping, of whole blocks, and not the
 * last token. Empty for a model whose KV cannot be moved.
 */
export async function movedCandidates(parts: MovedParts, request: MovedRequest): Promise<readonly MovedCandidate[]> {
  const { model, index, memory, blockTokens, options } = parts
  if (!canMove(model)) return []
  const { tokenIds, blocks, scope, tenant, leaseSeconds } = request
  const candidates: MovedCandidate[] = []
  const known = new Map<MovedRun['record'], readonly LocalFragment[]>()
  for (const run of index.find(scope, { tokenIds, blocks, minTokens: options.minTokens })) {
    const spans = wholeBlocksOf(run, { blockTokens, endTokens: tokenIds.length - 1, exact: request.exact })
    if (spans.length === 0) continue
    const hashes = packBlockHashes(run.record.blocks)
    const found =
      known.get(run.record) ?? (await memory.find({ tenant, model: model.fingerprint, hashes }, leaseSeconds))
    known.set(run.record, found)
    const whole = found.filter((fragment) => isWhole(fragment, { run, model, blockTokens }))
    for (const span of spans) {
      if (span.end - span.start < options.minTokens - 2 * blockTokens) continue
      const start = run.recordStart + span.start - run.promptStart
      const from = { start, end: start + span.end - span.start }
      const fragments = coverOf(whole, from)
      if (fragments === null) continue
      candidates.push({
        source: 'moved',
        place: slowest(fragments),
        span,
        bytes: fragments.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0),
        reads: fragments.length,
        continuesAt: 'any',
        recomputedTokens: recomputedTokens(span.end - span.start, options.recompute),
        run,
        from,
        fragments,
      })
    }
  }
  return candidates
}

/**
 * The KV of a candidate at its new place, from its fragments, in order. Throws INVALID_FRAGMENT when a payload is not of
 * its description.
 */
export function assembleMoved(
  model: KvModel,
  { from, span }: Pick<MovedCandidate, 'from' | 'span'>,
  fragments: readonly Fragment[],
): readonly ContextPart[] {
  // What the sequences are called does not matter any more, and would keep them apart.
  const unnamed = fragments.map(({ description, payload }) => ({
    description: { ...description, sequence: null, text: null },
    payload,
  }))
  const { description, payload } = mergeFragments(unnamed)
  const { signature } = description
  const pool = model.parts[0]?.pool ?? signature.kind
  const { tensors } = readTensors(signature, payload)
  return moveSpan([{ pool, signature, tensors }], { from, to: span.start })
}

/** What of a run is of whole blocks of the prompt, before its last token, and not there exactly. */
function wholeBlocksOf(
  { promptStart, tokens }: MovedRun,
  {
    blockTokens,
    endTokens,
    exact,
  }: { readonly blockTokens: number; readonly endTokens: number; readonly exact: readonly TokenSpan[] },
): readonly TokenSpan[] {
  const end = Math.min(promptStart + tokens, endTokens)
  const last = end - (end % blockTokens)
  const spans: TokenSpan[] = []
  let start = Math.ceil(promptStart / blockTokens) * blockTokens
  for (const one of exact.toSorted((a, b) => a.start - b.start)) {
    if (one.start > start) spans.push({ start, end: Math.min(one.start, last) })
    start = Math.max(start, one.end)
  }
  spans.push({ start, end: last })
  return spans.filter((span) => span.end > span.start)
}

/** A fragment of the record's own tokens, with all layers and heads of the model. */
function isWhole(
  { description }: LocalFragment,
  { run, model, blockTokens }: { readonly run: MovedRun; readonly model: KvModel; readonly blockTokens: number },
): boolean {
  const { signature, group } = description
  const [shape] = model.parts
  return (
    signature.kind === 'kv' &&
    group === null &&
    signature.heads === null &&
    signature.model === model.fingerprint &&
    signature.dtype === shape?.dtype &&
    signature.layout === shape.layout &&
    signature.positionEncoding === shape.positionEncoding &&
    signature.layers.start === shape.layers.start &&
    signature.layers.end === shape.layers.end &&
    isOfRecord(description, run, blockTokens)
  )
}

function isOfRecord(description: FragmentDescription, { record }: MovedRun, blockTokens: number): boolean {
  const { signature, blocks } = description
  const first = signature.tokens.start / blockTokens
  return (
    description.blockTokens === blockTokens && blocks.every((block, index) => block === record.blocks[first + index])
  )
}

/** Fragments end to end over a span, as few as there may be; null when there is a gap. */
function coverOf(fragments: readonly LocalFragment[], { start, end }: TokenSpan): readonly LocalFragment[] | null {
  const cover: LocalFragment[] = []
  for (let at = start; at < end; ) {
    let best: LocalFragment | null = null
    for (const fragment of fragments) {
      const { tokens } = fragment.description.signature
      // End to end: parts that overlap could not be put into one.
      const fits = cover.length === 0 ? tokens.start <= at : tokens.start === at
      if (fits && tokens.end > (best?.description.signature.tokens.end ?? at)) best = fragment
    }
    if (best === null) return null
    cover.push(best)
    at = best.description.signature.tokens.end
  }
  return cover
}

const TIERS = ['memory', 'disk', 'remote'] as const

function slowest(fragments: readonly LocalFragment[]): string {
  return TIERS.findLast((tier) => fragments.some((fragment) => fragment.tier === tier)) ?? 'memory'
}
