/**
 * Which descriptions make sense. Checked when a description is written and again when it is read, so that whoever
 * holds one may rely on its arithmetic: spans are whole blocks, blocks belong to one chain, labels fit into a key.
 */
import { MembraneError } from './errors.ts'
import { type FragmentDescription, type FragmentGroup, isContextKind, type Span } from './fragment.ts'
import { type BlockHash, parseBlockHash, parseModelFingerprint } from './ids.ts'
import { LIMITS } from './limits.ts'

const LABEL_MAX = LIMITS.fragmentLabelCharactersMax

/** Printable ASCII without space and slash: a segment of a key. */
const LABEL = /^[\x21-\x2e\x30-\x7e]+$/

/** Printable ASCII: a media type has slashes, and may have spaces. */
const MEDIA_TYPE = /^[\x20-\x7e]+$/

/** The part of a block hash before its digits: the algorithm and root that it was made with. */
export function chainIdOf(hash: BlockHash): string {
  return hash.slice(0, hash.indexOf(':'))
}

/** Whether a dtype, layout, position encoding or pool may be called so. */
export function isLabel(text: string): boolean {
  return text.length <= LABEL_MAX && LABEL.test(text)
}

/** Throws INVALID_FRAGMENT, with the field that is wrong. */
export function checkFragment(description: FragmentDescription): void {
  const { signature, blockTokens, group, text, sequence } = description
  checkParsed('signature.model', parseModelFingerprint, signature.model)
  checkSpan('signature.tokens', signature.tokens, LIMITS.requestTokensMax)
  checkSpan('signature.layers', signature.layers, LIMITS.fragmentLayersMax)
  if (signature.heads !== null) {
    checkSpan('signature.heads', signature.heads, LIMITS.fragmentHeadsMax)
    if (signature.heads.start === signature.heads.end) throw invalid('signature.heads', 'at least one head', 'none')
  }
  checkLabel('signature.dtype', signature.dtype, LABEL)
  checkLabel('signature.layout', signature.layout, isContextKind(signature.kind) ? LABEL : MEDIA_TYPE)
  checkLabel('signature.positionEncoding', signature.positionEncoding, LABEL)
  checkCount('blockTokens', blockTokens, 1, LIMITS.requestTokensMax)
  if (isContextKind(signature.kind)) checkContext(description)
  else checkNoContext(description)
  if (group !== null) checkGroup(group)
  if (text !== null) checkText('text', text)
  if (sequence !== null) checkText('sequence', sequence)
  // A content hash reads like a block hash whose chain is its algorithm.
  for (const [index, hash] of description.derivedFrom.entries())
    checkParsed(`derivedFrom[${index}]`, parseBlockHash, hash)
}

/** KV, states and prefixes are found by block hashes, and hold whole blocks. */
function checkContext({ signature, parent, blocks, blockTokens }: FragmentDescription): void {
  const { kind, tokens } = signature
  const [first] = blocks
  if (first === undefined) throw invalid('blocks', `at least one block hash, because a ${kind} needs one`, 'none')
  for (const [index, hash] of blocks.entries()) checkOfChain(`blocks[${index}]`, hash, first)
  if (parent !== null) checkOfChain('parent', parent, first)
  if ((parent === null) !== (tokens.start === 0))
    throw invalid('parent', 'null for tokens from 0 on, and else a block hash', `${parent} at token ${tokens.start}`)
  if (tokens.start % blockTokens !== 0)
    throw invalid('signature.tokens', `a start that is a multiple of ${blockTokens}`, String(tokens.start))
  const expectedEnd = tokens.start + blocks.length * blockTokens
  if (tokens.end !== expectedEnd)
    throw invalid('signature.tokens', `an end at ${expectedEnd} (blocks x blockTokens)`, String(tokens.end))
  if (kind === 'state' && blocks.length !== 1)
    throw invalid('blocks', 'one block hash, of the block before the state', `${blocks.length}`)
  if (kind === 'prefix') checkNoLayers(signature)
  else if (signature.layers.start === signature.layers.end)
    throw invalid('signature.layers', 'at least one layer', 'none')
}

function checkNoContext({ signature, parent, blocks }: FragmentDescription): void {
  if (blocks.length > 0 || parent !== null)
    throw invalid('blocks', `empty, and no parent, because a fragment of kind ${signature.kind} has no context`, 'some')
  checkNoLayers(signature)
}

function checkNoLayers({ kind, layers, heads }: FragmentDescription['signature']): void {
  if (layers.start !== 0 || layers.end !== 0 || heads !== null)
    throw invalid('signature.layers', `[0, 0) and no heads, because a ${kind} has neither`, show(layers))
}

function checkGroup({ id, part, parts, pool }: FragmentGroup): void {
  checkText('group.id', id)
  checkCount('group.parts', parts, 1, LIMITS.fragmentGroupPartsMax)
  checkCount('group.part', part, 0, parts - 1)
  checkLabel('group.pool', pool, LABEL)
}

function checkOfChain(field: string, hash: BlockHash, first: BlockHash): void {
  checkParsed(field, parseBlockHash, hash)
  if (chainIdOf(hash) !== chainIdOf(first) || hash.length !== first.length)
    throw invalid(field, `a hash of the chain and length of the first block, ${first}`, hash)
}

function checkSpan(field: string, { start, end }: Span, max: number): void {
  checkCount(`${field}.start`, start, 0, max)
  checkCount(`${field}.end`, end, start, max)
}

function checkCount(field: string, count: number, min: number, max: number): void {
  if (!Number.isSafeInteger(count) || count < min || count > max)
    throw invalid(field, `a whole number from ${min} to ${max}`, String(count))
}

function checkLabel(field: string, label: string, pattern: RegExp): void {
  if (label.length > LABEL_MAX || !pattern.test(label))
    throw invalid(field, `1 to ${LABEL_MAX} printable ASCII characters, without spaces and slashes`, show(label))
}

/** Half of a surrogate pair has no UTF-8, and would come back as another character. */
function checkText(field: string, text: string): void {
  if (!text.isWellFormed()) throw invalid(field, 'a text without lone surrogates', show(text))
}

function checkParsed(field: string, parse: (text: string) => string, text: string): void {
  try {
    parse(text)
  } catch (cause) {
    if (!(cause instanceof MembraneError)) throw cause
    throw new MembraneError('INVALID_FRAGMENT', `${field} of a fragment: ${cause.message}`, {
      details: { field },
      cause,
    })
  }
}

function invalid(field: string, expected: string, found: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', `${field} of a fragment must be ${expected}; found ${found}.`, {
    details: { field },
  })
}

function show(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
