/** Puts fragments that lie end to end into one, without changing a bit of their numbers; undoes `splitFragment`. */
import { assert, MembraneError } from '../core/errors.ts'
import { checkFragment } from '../core/fragment-check.ts'
import { signatureMetadata } from '../core/fragment-metadata.ts'
import { axisOf, checkTensors, readTensors } from '../core/fragment-tensors.ts'
import type { Fragment, FragmentDescription, Span, StructuralSignature } from '../core/fragment.ts'
import { layOutSafetensors, type Metadata } from '../core/safetensors-writer.ts'
import type { Tensor, TensorInfo } from '../core/safetensors.ts'
import { FRAGMENT_AXES, type FragmentAxis, HEADS_OF_ALL } from './slice-payload.ts'
import { copySlice } from './tensor-slices.ts'

/** A part, with what was read of it. */
interface Part {
  readonly description: FragmentDescription
  /** What of its metadata is not the signature. */
  readonly extra: Metadata
  readonly tensors: ReadonlyMap<string, Tensor>
}

/**
 * The parts may come in any order; one alone is answered as it is. The text is that of the parts, where all tokens
 * have one. Each byte is copied once. Throws INVALID_FRAGMENT when there is a gap or an overlap, when they differ in
 * model, kind, form, context, tensors or metadata, in more than one axis, or belong to groups.
 */
export function mergeFragments(fragments: readonly Fragment[]): Fragment {
  const [only, second] = fragments
  if (only === undefined) throw invalid('At least one fragment is needed to merge; found none.')
  for (const { description } of fragments) checkFragment(description)
  if (second === undefined) return only
  const axis = axisThatDiffers(fragments.map(({ description }) => description))
  const parts = fragments
    .toSorted((a, b) => spanOf(a.description, axis).start - spanOf(b.description, axis).start)
    .map(readPart)
  for (const [index, part] of parts.entries()) {
    const before = parts[index - 1]
    if (before !== undefined) checkNeighbours(before, part, axis)
  }
  const extra = parts[0]?.extra ?? {}
  const description = describeWhole(
    parts.map((part) => part.description),
    axis,
    extra[HEADS_OF_ALL],
  )
  checkFragment(description)
  return { description, payload: joinPayload(parts, description.signature, axis, extra) }
}

/** The one axis along which the spans are not all the same. */
function axisThatDiffers(descriptions: readonly FragmentDescription[]): FragmentAxis {
  const axes = (['tokens', 'layers', 'heads'] as const).filter((axis) => {
    const spans = descriptions.map(({ signature }) => JSON.stringify([signature[axis]?.start, signature[axis]?.end]))
    return new Set(spans).size > 1
  })
  const [axis] = axes
  const kind = descriptions[0]?.signature.kind
  if (axis === undefined || axes.length > 1)
    throw invalid(`Fragments are merged along one axis; these differ in ${axes.join(' and ') || 'none'}.`)
  if (kind === undefined || !FRAGMENT_AXES[kind].includes(axis))
    throw invalid(`Fragments of kind ${kind} cannot be merged along ${axis}.`)
  return axis
}

function readPart({ description, payload }: Fragment): Part {
  const { signature, group } = description
  if (group !== null) throw invalid('A part of a group cannot be merged: the other parts name how many they are.')
  const { metadata, tensors } = readTensors(signature, payload)
  const ofSignature = signatureMetadata(signature)
  const extra = [...metadata].filter(([name]) => !Object.hasOwn(ofSignature, name))
  return {
    description,
    extra: Object.fromEntries(extra.toSorted(([a], [b]) => (a < b ? -1 : 1))),
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
  }
}

function checkNeighbours(before: Part, after: Part, axis: FragmentAxis): void {
  const a = before.description
  const b = after.description
  requireSame('kind', a.signature.kind, b.signature.kind)
  requireSame('model', a.signature.model, b.signature.model)
  requireSame('dtype', a.signature.dtype, b.signature.dtype)
  requireSame('layout', a.signature.layout, b.signature.layout)
  requireSame('position encoding', a.signature.positionEncoding, b.signature.positionEncoding)
  requireSame('blockTokens', a.blockTokens, b.blockTokens)
  requireSame('sequence', a.sequence, b.sequence)
  requireSame('metadata', JSON.stringify(before.extra), JSON.stringify(after.extra))
  const { end } = spanOf(a, axis)
  const { start } = spanOf(b, axis)
  if (start !== end) throw invalid(`The next fragment must begin at ${end} of the ${axis}; found ${start}.`)
  if (axis === 'tokens') requireSame('parent', a.blocks.at(-1), b.parent)
  else {
    requireSame('parent', a.parent, b.parent)
    requireSame('blocks', a.blocks.join(), b.blocks.join())
    requireSame('text', a.text, b.text)
  }
}

function describeWhole(
  parts: readonly FragmentDescription[],
  axis: FragmentAxis,
  headsOfAll: string | undefined,
): FragmentDescription {
  const [first] = parts
  const last = parts.at(-1)
  assert(first !== undefined && last !== undefined, 'there are parts')
  const span: Span = { start: spanOf(first, axis).start, end: spanOf(last, axis).end }
  const isAllHeads = axis === 'heads' && span.start === 0 && String(span.end) === headsOfAll
  const texts = parts.map(({ text }) => text)
  const isKnown = texts.every((text) => text !== null)
  return {
    ...first,
    signature: { ...first.signature, [axis]: isAllHeads ? null : span },
    blocks: axis === 'tokens' ? parts.flatMap(({ blocks }) => blocks) : first.blocks,
    text: axis === 'tokens' ? (isKnown ? texts.join('') : null) : first.text,
    derivedFrom: [...new Set(parts.flatMap(({ derivedFrom }) => derivedFrom))],
  }
}

function joinPayload(
  parts: readonly Part[],
  signature: StructuralSignature,
  axis: FragmentAxis,
  extra: Metadata,
): Uint8Array {
  const index = axis === 'layers' ? null : axisOf(signature, axis)
  const infos = index === null ? parts.flatMap(({ tensors }) => [...tensors.values()]) : joinedInfos(parts, index)
  checkTensors(signature, infos)
  const isWhole = axis === 'heads' && signature.heads === null
  const kept = Object.entries(extra).filter(([name]) => !isWhole || name !== HEADS_OF_ALL)
  const layout = layOutSafetensors(infos, { ...Object.fromEntries(kept), ...signatureMetadata(signature) })
  const payload = new Uint8Array(layout.payloadBytes)
  payload.set(layout.header)
  for (const place of layout.tensors) {
    const data = payload.subarray(place.span.start, place.span.end)
    let start = 0
    for (const { tensors } of parts) {
      const source = tensors.get(place.name)
      if (source === undefined) continue
      if (index === null) data.set(source.data)
      else {
        const length = source.shape[index] ?? 0
        const from = { data: source.data, axisLength: length, start: 0 }
        copySlice(place, index, length, from, { data, axisLength: place.shape[index] ?? 0, start })
        start += length
      }
    }
  }
  return payload
}

/** Every part has the same tensors, which differ in the length of one axis only. */
function joinedInfos(parts: readonly Part[], index: number): readonly TensorInfo[] {
  const [first, ...others] = parts
  return [...(first?.tensors.values() ?? [])].map(({ name, dtype, shape }) => {
    let length = shape[index] ?? 0
    for (const { tensors } of others) {
      const other = tensors.get(name)
      if (other === undefined || tensors.size !== first?.tensors.size)
        throw invalid(`All fragments must have the same tensors; found ${namesOf(first)} and ${namesOf({ tensors })}.`)
      requireSame(`shape of ${name}`, shape.with(index, 0).join(), other.shape.with(index, 0).join())
      length += other.shape[index] ?? 0
    }
    return { name, dtype, shape: shape.with(index, length) }
  })
}

function namesOf(part: Pick<Part, 'tensors'> | undefined): string {
  const names = [...(part?.tensors.keys() ?? [])].join()
  return names.length > 100 ? `${names.slice(0, 100)}…` : names
}

function spanOf({ signature }: FragmentDescription, axis: FragmentAxis): Span {
  const span = signature[axis]
  if (span === null) throw invalid('A fragment of all heads cannot be merged along heads.')
  return span
}

function requireSame(what: string, a: unknown, b: unknown): void {
  if (a !== b) throw invalid(`Fragments must have the same ${what} to be merged; found ${String(a)} and ${String(b)}.`)
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message)
}
