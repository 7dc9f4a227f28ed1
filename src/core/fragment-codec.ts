/**
 * A description as the head of a store entry, and back. The bytes are canonical JSON: fields in one order, no spaces,
 * so that one description has one head, and whoever compares heads compares descriptions. What is not canonical is
 * refused, which also refuses doubled fields, that `JSON.parse` would hide.
 */
import { MembraneError } from './errors.ts'
import { checkFragment } from './fragment-check.ts'
import {
  FRAGMENT_KINDS,
  type FragmentDescription,
  type FragmentGroup,
  type FragmentKind,
  type Span,
  type StructuralSignature,
} from './fragment.ts'
import type { BlockHash, ModelFingerprint } from './ids.ts'
import { LIMITS } from './limits.ts'

/** Of the head. A newer one is refused by name: its fields may mean what this version cannot know. */
const FORMAT = 1

/** Throws INVALID_FRAGMENT for a description that makes no sense or takes more than LIMITS.storeHeadBytesMax. */
export function encodeDescription(description: FragmentDescription): Uint8Array {
  checkFragment(description)
  const head = new TextEncoder().encode(canonicalText(description))
  if (head.length > LIMITS.storeHeadBytesMax)
    throw invalid(`The description takes ${head.length} bytes, but ${LIMITS.storeHeadBytesMax} are the most.`, {
      remedy: 'Store fewer blocks in one fragment, or a shorter text.',
    })
  return head
}

/** Throws INVALID_FRAGMENT for anything that `encodeDescription` does not write. */
export function decodeDescription(head: Uint8Array): FragmentDescription {
  if (head.length > LIMITS.storeHeadBytesMax)
    throw invalid(`The head takes ${head.length} bytes, but ${LIMITS.storeHeadBytesMax} are the most.`)
  const text = decodeText(head)
  const fields = readFields('The head', parseJson(text))
  const format = fields['format']
  if (format !== FORMAT)
    throw invalid(`The head is of format ${show(format)}, but this version reads format ${FORMAT}.`, {
      remedy: 'Read it with the version that wrote it, or a newer one.',
    })
  const description: FragmentDescription = {
    signature: readSignature(fields['signature']),
    parent: readNullable('parent', fields['parent'], readText) as BlockHash | null,
    blocks: readTexts('blocks', fields['blocks']) as readonly BlockHash[],
    blockTokens: readNumber('blockTokens', fields['blockTokens']),
    group: readNullable('group', fields['group'], readGroup),
    text: readNullable('text', fields['text'], readText),
    sequence: readNullable('sequence', fields['sequence'], readText),
    derivedFrom: readTexts('derivedFrom', fields['derivedFrom']) as readonly BlockHash[],
  }
  checkFragment(description)
  checkCanonical(text, canonicalText(description))
  return description
}

function canonicalText({ signature, parent, blocks, blockTokens, group, ...rest }: FragmentDescription): string {
  const { model, kind, tokens, layers, heads, dtype, layout, positionEncoding } = signature
  return JSON.stringify({
    format: FORMAT,
    signature: {
      model,
      kind,
      tokens: pairOf(tokens),
      layers: pairOf(layers),
      heads: heads === null ? null : pairOf(heads),
      dtype,
      layout,
      positionEncoding,
    },
    parent,
    blocks,
    blockTokens,
    group: group === null ? null : { id: group.id, part: group.part, parts: group.parts, pool: group.pool },
    text: rest.text,
    sequence: rest.sequence,
    derivedFrom: rest.derivedFrom,
  })
}

function pairOf({ start, end }: Span): readonly [number, number] {
  return [start, end]
}

function readSignature(value: unknown): StructuralSignature {
  const fields = readFields('signature', value)
  return {
    model: readText('signature.model', fields['model']) as ModelFingerprint,
    kind: readKind(fields['kind']),
    tokens: readSpan('signature.tokens', fields['tokens']),
    layers: readSpan('signature.layers', fields['layers']),
    heads: readNullable('signature.heads', fields['heads'], readSpan),
    dtype: readText('signature.dtype', fields['dtype']),
    layout: readText('signature.layout', fields['layout']),
    positionEncoding: readText('signature.positionEncoding', fields['positionEncoding']),
  }
}

function readGroup(name: string, value: unknown): FragmentGroup {
  const fields = readFields(name, value)
  return {
    id: readText(`${name}.id`, fields['id']),
    part: readNumber(`${name}.part`, fields['part']),
    parts: readNumber(`${name}.parts`, fields['parts']),
    pool: readText(`${name}.pool`, fields['pool']),
  }
}

function readKind(value: unknown): FragmentKind {
  const kind = FRAGMENT_KINDS.find((known) => known === value)
  if (kind === undefined) throw wrong('signature.kind', `one of ${FRAGMENT_KINDS.join(', ')}`, value)
  return kind
}

function readSpan(name: string, value: unknown): Span {
  if (!Array.isArray(value) || value.length !== 2) throw wrong(name, 'a pair [start, end]', value)
  return { start: readNumber(`${name}[0]`, value[0]), end: readNumber(`${name}[1]`, value[1]) }
}

function readTexts(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw wrong(name, 'a list', value)
  return value.map((item, index) => readText(`${name}[${index}]`, item))
}

function readNullable<Value>(
  name: string,
  value: unknown,
  read: (name: string, value: unknown) => Value,
): Value | null {
  return value === null ? null : read(name, value)
}

function readText(name: string, value: unknown): string {
  if (typeof value !== 'string') throw wrong(name, 'a text', value)
  return value
}

function readNumber(name: string, value: unknown): number {
  if (typeof value !== 'number') throw wrong(name, 'a number', value)
  return value
}

function readFields(name: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, 'an object', value)
  return value as Readonly<Record<string, unknown>>
}

function decodeText(head: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(head)
  } catch (cause) {
    throw invalid('The head is not UTF-8.', { cause })
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw invalid('The head is not JSON.', { cause })
  }
}

function checkCanonical(found: string, expected: string): void {
  if (found === expected) return
  let index = 0
  while (found[index] === expected[index]) index += 1
  const excerpt = (text: string): string => (index < text.length ? show(text.slice(index, index + 20)) : 'its end')
  throw invalid(
    `The head is not in canonical form: at character ${index}, ${excerpt(expected)} was expected; found ${excerpt(found)}.`,
  )
}

function wrong(name: string, expected: string, found: unknown): MembraneError {
  return invalid(`${name} must be ${expected}; found ${show(found)}.`, { details: { field: name } })
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function invalid(message: string, options: ConstructorParameters<typeof MembraneError>[2] = {}): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message, options)
}
