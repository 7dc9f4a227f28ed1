/** Cuts a fragment into fragments, without changing a bit of its numbers: `mergeFragments` gives it back. */
import { MembraneError } from '../core/errors.ts'
import { checkFragment } from '../core/fragment-check.ts'
import { axisOf, readTensors } from '../core/fragment-tensors.ts'
import type { Fragment, FragmentDescription, Span, StructuralSignature } from '../core/fragment.ts'
import type { Tensor } from '../core/safetensors.ts'
import { FRAGMENT_AXES, type FragmentAxis, HEADS_OF_ALL, slicePayload } from './slice-payload.ts'

/** Where to cut. */
export interface FragmentCuts {
  readonly axis: FragmentAxis
  /** Tokens, layers or heads at which a part begins, ascending, within the fragment; tokens at block boundaries. */
  readonly at: readonly number[]
}

/**
 * One part more than there are cuts, in order; without cuts, the fragment as it is. A part of the tokens has no `text`, because nobody knows which of it is
 * its own; all else is kept. Each byte is copied once. Throws INVALID_FRAGMENT when the payload is not of the
 * description, the kind has no such axis, a cut lies outside, or a part would be empty or of a group.
 */
export function splitFragment(fragment: Fragment, { axis, at }: FragmentCuts): readonly Fragment[] {
  const { description, payload } = fragment
  checkFragment(description)
  const { signature, blockTokens, group } = description
  if (!FRAGMENT_AXES[signature.kind].includes(axis))
    throw invalid(`A fragment of kind ${signature.kind} cannot be cut along ${axis}.`)
  if (group !== null) throw invalid('A part of a group cannot be cut: the other parts name how many they are.')
  const file = readTensors(signature, payload)
  const whole = axis === 'heads' ? headsOf(signature, file.tensors) : signature[axis]
  const ends = [...at, whole.end]
  const starts = [whole.start, ...at]
  for (const [index, start] of starts.entries()) {
    if (!Number.isSafeInteger(start) || start >= (ends[index] ?? 0))
      throw invalid(`Cuts must ascend between ${whole.start} and ${whole.end}; found ${at.join()}.`)
    if (axis === 'tokens' && start % blockTokens !== 0)
      throw invalid(`Tokens are cut at multiples of ${blockTokens}, the tokens of a block; found ${start}.`)
  }
  if (at.length === 0) return [fragment]
  const total = axis === 'heads' && signature.heads === null ? { [HEADS_OF_ALL]: String(whole.end) } : {}
  const metadata = { ...Object.fromEntries(file.metadata), ...total }
  return starts.map((start, index) => {
    const span: Span = { start, end: ends[index] ?? whole.end }
    const part = describePart(description, axis, span)
    return { description: part, payload: slicePayload(file.tensors, part.signature, { axis, span, whole, metadata }) }
  })
}

function describePart(description: FragmentDescription, axis: FragmentAxis, span: Span): FragmentDescription {
  const { signature, blocks, blockTokens, parent } = description
  const part = { ...description, signature: { ...signature, [axis]: span } }
  if (axis !== 'tokens') return part
  const first = (span.start - signature.tokens.start) / blockTokens
  const end = (span.end - signature.tokens.start) / blockTokens
  return {
    ...part,
    parent: first === 0 ? parent : (blocks[first - 1] ?? null),
    blocks: blocks.slice(first, end),
    text: null,
  }
}

/** All heads, counted in the tensors where the description does not say how many they are. */
function headsOf(signature: StructuralSignature, tensors: readonly Tensor[]): Span {
  if (signature.heads !== null) return signature.heads
  const axis = axisOf(signature, 'heads')
  if (axis === null) throw invalid(`The layout ${signature.layout} has no heads to cut.`)
  const [count, ...others] = new Set(tensors.map(({ shape }) => shape[axis] ?? 0))
  if (count === undefined || others.length > 0)
    throw invalid('Heads can be cut only where all layers have the same number of them.')
  return { start: 0, end: count }
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message)
}
