/**
 * KV of the beginning of a fragment, where a prompt leaves the one that the fragment is of in the middle of it: the
 * blocks before that place are the same, and so is their KV.
 */
import type { ContextPartShape } from '../core/compute.ts'
import type { Fragment, FragmentDescription } from '../core/fragment.ts'
import { assemblePart, sliceParts } from './context-parts.ts'
import {
  type FoundCandidate,
  leadingBlocks,
  partOf,
  type PromptShape,
  type ProposedFragment,
} from './rebuild-candidates.ts'

/**
 * One for each fragment that has KV of all layers and heads, and whose first blocks, but not all of them, are those of
 * the prompt. All of it is read. Not of a model with a recurrent state: that stands at the fragment's end alone.
 */
export function leadingCandidates(
  proposed: readonly ProposedFragment[],
  prompt: PromptShape,
): readonly FoundCandidate[] {
  const [shape, ...others] = prompt.model.parts
  if (shape === undefined || others.length > 0) return []
  return proposed.flatMap((fragment) => {
    const { description } = fragment
    if (isWhole(description, prompt)) return []
    const blocks = leadingBlocks(fragment, prompt)
    if (blocks === 0) return []
    return isWholePart(fragment, shape, prompt) ? [leadingCandidate(fragment, { shape, blocks, prompt })] : []
  })
}

/** A block's hash is that of everything before it, too: the last one says it of all. Most fragments are whole. */
function isWhole({ blocks, signature }: FragmentDescription, prompt: PromptShape): boolean {
  const end = signature.tokens.start / prompt.blockTokens + blocks.length
  return blocks.at(-1) === prompt.blocks[end - 1]
}

function isWholePart(fragment: ProposedFragment, shape: ContextPartShape, { model }: PromptShape): boolean {
  const { group, signature } = fragment.description
  const { layers, heads } = signature
  const hasAllLayers = layers.start === shape.layers.start && layers.end === shape.layers.end
  return group === null && heads === null && hasAllLayers && partOf(fragment, model) === shape
}

function leadingCandidate(
  fragment: ProposedFragment,
  {
    shape,
    blocks,
    prompt,
  }: { readonly shape: ContextPartShape; readonly blocks: number; readonly prompt: PromptShape },
): FoundCandidate {
  const { source, place, description, payloadBytes } = fragment
  const { start } = description.signature.tokens
  const span = { start, end: start + blocks * prompt.blockTokens }
  return {
    source,
    place,
    span,
    bytes: payloadBytes,
    reads: 1,
    continuesAt: 'any',
    recomputedTokens: 0,
    parts: [{ shape, pieces: [fragment] }],
    assemble: (fragments: readonly Fragment[]) => sliceParts([assemblePart(prompt.model, shape, fragments)], span),
  }
}
