/**
 * Which of the fragments that an index proposes are KV of this prompt, and what whole spans they make. An index
 * proposes, tokens decide: a fragment counts only where its description names the very blocks of the prompt, at their
 * place, after the same block, of the same model in the same form. Tenant, adapter and media are in the block hashes.
 */
import type { ContextPart, ContextPartShape, KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { checkFragment } from '../core/fragment-check.ts'
import { groupState } from '../core/fragment-group.ts'
import type { Fragment, FragmentDescription, Span } from '../core/fragment.ts'
import type { BlockHash, ContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ReuseCandidate, ReuseSource } from './rebuild-plan.ts'

/** A fragment that somebody says to have. */
export interface ProposedFragment {
  readonly source: ReuseSource
  readonly place: string
  readonly description: FragmentDescription
  readonly payloadBytes: number
  /** Its key on this node; null for one of another node. */
  readonly key: string | null
  /** What the bytes must hash to; null where they come verified. */
  readonly contentHash: ContentHash | null
  /** Null when it is gone. */
  readonly read: (signal: AbortSignal) => Promise<Uint8Array | null>
}

/** The fragments that have one part of the model between them. */
export interface PartPieces {
  readonly shape: ContextPartShape
  /** They tile its layers, and the heads of each range of layers. */
  readonly pieces: readonly ProposedFragment[]
}

/** A candidate with what has to be read for it. */
export interface FoundCandidate extends ReuseCandidate {
  /** One entry for each part of the model. */
  readonly parts: readonly PartPieces[]
  /** Where its fragments are not of the span itself: how they, all of one part, become KV of it. */
  readonly assemble?: (fragments: readonly Fragment[]) => readonly ContextPart[]
}

/** What fragments are compared with. */
export interface PromptShape {
  readonly model: KvModel
  readonly blockTokens: number
  /** Of all full blocks of the prompt. */
  readonly blocks: readonly BlockHash[]
}

/** From fast to slow. */
const SOURCE_ORDER: readonly ReuseSource[] = ['resident', 'memory', 'disk', 'remote', 'peer', 'moved']

/** The safetensors header and its length, at most. */
const HEADER_BYTES_MAX = LIMITS.safetensorsHeaderBytesMax + 8

/**
 * Whole spans, by their start. Each place is asked for all pieces of a span; only where no place has them all are
 * those of several put together. A group counts with all of its parts or not at all.
 */
export function findCandidates(proposed: readonly ProposedFragment[], prompt: PromptShape): readonly FoundCandidate[] {
  const bundles = new Map<string, Piece[]>()
  for (const fragment of proposed) {
    const shape = shapeOf(fragment, prompt)
    if (shape === null) continue
    const { signature, group } = fragment.description
    const name = group === null ? `${signature.tokens.start}-${signature.tokens.end}` : `group ${group.id}`
    const bundle = bundles.get(name)
    if (bundle === undefined) bundles.set(name, [{ fragment, shape }])
    else bundle.push({ fragment, shape })
  }
  return [...bundles.values()]
    .flatMap((bundle) => candidatesOf(bundle, prompt))
    .toSorted((a, b) => a.span.start - b.span.start || a.span.end - b.span.end || orderOf(a) - orderOf(b))
}

interface Piece {
  readonly fragment: ProposedFragment
  readonly shape: ContextPartShape
}

/** The part of the model that the fragment is of, or null when it is not of this prompt and model. */
function shapeOf(fragment: ProposedFragment, prompt: PromptShape): ContextPartShape | null {
  const blocks = leadingBlocks(fragment, prompt)
  const isOfPrompt = blocks > 0 && blocks === fragment.description.blocks.length
  return isOfPrompt ? partOf(fragment, prompt.model) : null
}

/** The part of the model that the fragment is of, whatever its tokens; null when it is of another model or form. */
export function partOf({ description, payloadBytes }: ProposedFragment, model: KvModel): ContextPartShape | null {
  const { signature, group } = description
  if (signature.model !== model.fingerprint) return null
  const shape = model.parts.find(
    (part) =>
      part.kind === signature.kind &&
      (group === null ? model.parts.length === 1 : group.pool === part.pool) &&
      part.dtype === signature.dtype &&
      part.layout === signature.layout &&
      part.positionEncoding === signature.positionEncoding &&
      part.layers.start <= signature.layers.start &&
      signature.layers.end <= part.layers.end,
  )
  if (shape === undefined || payloadBytes > partBytes(shape, signature.tokens) + HEADER_BYTES_MAX) return null
  return shape
}

/** Of so many tokens, or of one state. */
export function partBytes({ kind, bytes }: ContextPartShape, { start, end }: Span): number {
  return kind === 'state' ? bytes : bytes * (end - start)
}

/** How many of its blocks, from the first on, are those of the prompt at their place, after the same block; 0 for nonsense. */
export function leadingBlocks({ description, key }: ProposedFragment, { blockTokens, blocks }: PromptShape): number {
  // What is here was checked when it was stored.
  if (description.blockTokens !== blockTokens || (key === null && !makesSense(description))) return 0
  const first = description.signature.tokens.start / blockTokens
  if (description.parent !== (first === 0 ? null : (blocks[first - 1] ?? ''))) return 0
  const other = description.blocks.findIndex((block, index) => block !== blocks[first + index])
  return other < 0 ? description.blocks.length : other
}

/** Another node may say anything. */
function makesSense(description: FragmentDescription): boolean {
  try {
    checkFragment(description)
    return true
  } catch (error) {
    if (error instanceof MembraneError) return false
    throw error
  }
}

function candidatesOf(bundle: readonly Piece[], prompt: PromptShape): readonly FoundCandidate[] {
  const pieces = bundle.toSorted((a, b) => orderOf(a.fragment) - orderOf(b.fragment))
  const byPlace = Map.groupBy(pieces, ({ fragment }) => `${fragment.source} ${fragment.place}`)
  const whole = [...byPlace.values()].flatMap((ofPlace) => candidateOf(ofPlace, prompt) ?? [])
  if (whole.some(hasAllHeads) || byPlace.size === 1) return whole
  const mixed = candidateOf(pieces, prompt)
  return mixed === null ? whole : [...whole, mixed]
}

/** Of heads that were cut, nobody knows how many there are before the bytes are read. */
function hasAllHeads({ parts }: FoundCandidate): boolean {
  return parts.every(({ pieces }) => pieces.every(({ description }) => description.signature.heads === null))
}

function candidateOf(pieces: readonly Piece[], { model }: PromptShape): FoundCandidate | null {
  const members = allOfGroup(pieces)
  if (members === null) return null
  const span = members.find(({ shape }) => shape.kind === 'kv')?.fragment.description.signature.tokens
  if (span === undefined || !members.every((member) => isOfSpan(member, span))) return null
  const parts: PartPieces[] = []
  for (const shape of model.parts) {
    const tiles = tileLayers(
      members.filter((member) => member.shape === shape).map(({ fragment }) => fragment),
      shape.layers,
    )
    if (tiles === null || bytesOf(tiles) < partBytes(shape, span)) return null
    parts.push({ shape, pieces: tiles })
  }
  const read = parts.flatMap((part) => part.pieces)
  const slowest = read.toSorted((a, b) => orderOf(b) - orderOf(a))[0]
  if (slowest === undefined) return null
  return {
    source: slowest.source,
    place: slowest.place,
    span,
    bytes: bytesOf(read),
    reads: read.length,
    continuesAt: parts.some(({ shape }) => shape.kind === 'state') ? 'end' : 'any',
    recomputedTokens: 0,
    parts,
  }
}

/** Pieces of one group are worth nothing while one is missing. */
function allOfGroup(pieces: readonly Piece[]): readonly Piece[] | null {
  const descriptions = pieces.map(({ fragment }) => fragment.description)
  if (descriptions[0]?.group === null) return pieces
  return groupState(descriptions).kind === 'complete' ? pieces : null
}

function isOfSpan({ fragment, shape }: Piece, span: Span): boolean {
  const { start, end } = fragment.description.signature.tokens
  return end === span.end && (shape.kind === 'state' || start === span.start)
}

/** Pieces that cover the layers, each once: long ones first. Null when none do. */
function tileLayers(pieces: readonly ProposedFragment[], layers: Span): readonly ProposedFragment[] | null {
  const ranges = Map.groupBy(pieces, ({ description }) => description.signature.layers.start)
  const known = new Map<number, readonly ProposedFragment[] | null>([[layers.end, []]])
  const tilesFrom = (layer: number): readonly ProposedFragment[] | null => {
    const before = known.get(layer)
    if (before !== undefined) return before
    // Each range ends after it starts, so this ends; a layer that is being looked at is not met again.
    const byEnd = Map.groupBy(ranges.get(layer) ?? [], ({ description }) => description.signature.layers.end)
    let found: readonly ProposedFragment[] | null = null
    for (const [end, ofRange] of [...byEnd].toSorted(([a], [b]) => b - a)) {
      const heads = tileHeads(ofRange)
      const rest = heads === null ? null : tilesFrom(end)
      if (heads === null || rest === null) continue
      found = [...heads, ...rest]
      break
    }
    known.set(layer, found)
    return found
  }
  return tilesFrom(layers.start)
}

/** One piece of all heads, or pieces from head 0 on without a gap: how many heads there are, the bytes will say. */
function tileHeads(pieces: readonly ProposedFragment[]): readonly ProposedFragment[] | null {
  const whole = pieces.find(({ description }) => description.signature.heads === null)
  if (whole !== undefined) return [whole]
  const tiles: ProposedFragment[] = []
  for (let head = 0; ; ) {
    const next = pieces.find(({ description }) => description.signature.heads?.start === head)
    if (next === undefined) return tiles.length === 0 ? null : tiles
    tiles.push(next)
    head = next.description.signature.heads?.end ?? head
  }
}

function bytesOf(pieces: readonly ProposedFragment[]): number {
  return pieces.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0)
}

function orderOf({ source }: { readonly source: ReuseSource }): number {
  return SOURCE_ORDER.indexOf(source)
}
