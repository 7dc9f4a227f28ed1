/**
 * The store key of a fragment: what somebody who looks for it knows before reading it. One key names one thing, and
 * says it legibly, so that a listing can be read and filtered by its beginning. Whoever shares a store among tenants
 * puts an owner before it.
 *
 *   kv/<chain>/<model>/<digits of the last block hash>/t<start>/l<start>-<end>/h<start>-<end>/<dtype>/<layout>/<positions>/<part>
 *   artifact/<content hash>          opaque/=<foreign key>
 */
import { MembraneError } from './errors.ts'
import { chainIdOf, isLabel } from './fragment-check.ts'
import {
  BYTE_KINDS,
  type ByteKind,
  CONTEXT_KINDS,
  type ContextKind,
  type FragmentDescription,
  type FragmentGroup,
  isContextKind,
  type Span,
  type StructuralSignature,
} from './fragment.ts'
import { type BlockHash, type ContentHash, parseBlockHash, parseContentHash, parseModelFingerprint } from './ids.ts'
import { LIMITS } from './limits.ts'

/** Bytes that an owner may put before a key. */
const OWNER_BYTES_MAX = 80

/** Names KV, a state or token ids by their context. The chain id is part of the block hash. */
export interface ContextName
  extends Pick<StructuralSignature, 'model' | 'layers' | 'heads' | 'dtype' | 'layout' | 'positionEncoding'> {
  readonly kind: ContextKind
  /** Of the last block, so that it stands for all tokens before `signature.tokens.end`. */
  readonly block: BlockHash
  readonly tokenStart: number
  /** A group's id follows from the name; which part this is does not. */
  readonly part: Pick<FragmentGroup, 'part' | 'parts' | 'pool'> | null
}

/** Names bytes that have no context: by themselves, or by the key that somebody else gave them. */
export interface ByteName {
  readonly kind: ByteKind
  readonly name: ContentHash | Uint8Array
}

/** What a key stands for; a name with `block` is one of a context. */
export type FragmentName = ContextName | ByteName

/**
 * Throws INVALID_FRAGMENT for a fragment without context: `fragmentKey` takes the name of such a one.
 * The description is one that `checkFragment` accepts.
 */
export function contextName({ signature, blocks, group }: FragmentDescription): ContextName {
  const { kind, tokens, model, layers, heads, dtype, layout, positionEncoding } = signature
  const block = blocks.at(-1)
  if (!isContextKind(kind) || block === undefined)
    throw new MembraneError('INVALID_FRAGMENT', `A fragment of kind ${kind} without block hashes has no context.`, {
      remedy: 'Name it by its content hash or by a foreign key.',
    })
  const part = group === null ? null : { part: group.part, parts: group.parts, pool: group.pool }
  return { kind, block, tokenStart: tokens.start, model, layers, heads, dtype, layout, positionEncoding, part }
}

/**
 * Printable ASCII without spaces, at most LIMITS.storeKeyBytesMax - 80 characters, different for different names.
 * Throws INVALID_REQUEST for a foreign key that is empty or too long for that.
 */
export function fragmentKey(name: FragmentName): string {
  const key = 'block' in name ? contextKey(name) : byteKey(name)
  if (key.length > LIMITS.storeKeyBytesMax - OWNER_BYTES_MAX)
    throw new MembraneError(
      'INVALID_REQUEST',
      `A key takes at most ${LIMITS.storeKeyBytesMax - OWNER_BYTES_MAX} characters; this one takes ${key.length}.`,
    )
  return key
}

/** Of the numbers under a key; null for bytes that are not numbers of one dtype, and for keys of another kind than ours. */
export function dtypeOfKey(key: string): string | null {
  try {
    const name = parseFragmentKey(key)
    return 'dtype' in name ? name.dtype : null
  } catch (error) {
    if (error instanceof MembraneError) return null
    throw error
  }
}

/** The name that has this key. Throws INVALID_FRAGMENT for what `fragmentKey` does not write. */
export function parseFragmentKey(key: string): FragmentName {
  const [kind, ...rest] = key.split('/')
  const contextKind = CONTEXT_KINDS.find((known) => known === kind)
  const byteKind = BYTE_KINDS.find((known) => known === kind)
  try {
    if (contextKind !== undefined) return checkedName(key, parseContext(contextKind, rest))
    if (byteKind !== undefined && rest.length === 1) return checkedName(key, parseBytes(byteKind, rest[0] ?? ''))
  } catch (cause) {
    if (!(cause instanceof MembraneError)) throw cause
    throw notAKey(key, cause)
  }
  throw notAKey(key)
}

function contextKey(name: ContextName): string {
  const chain = chainIdOf(name.block)
  return [
    name.kind,
    chain,
    name.model,
    name.block.slice(chain.length + 1),
    `t${name.tokenStart}`,
    `l${name.layers.start}-${name.layers.end}`,
    name.heads === null ? 'h' : `h${name.heads.start}-${name.heads.end}`,
    name.dtype,
    name.layout,
    name.positionEncoding,
    name.part === null ? 'whole' : `${name.part.part}of${name.part.parts}:${name.part.pool}`,
  ].join('/')
}

function parseContext(kind: ContextKind, segments: readonly string[]): ContextName | null {
  const [chain, model = '', digits, start = '', layers, heads, ...labels] = segments
  const [dtype = '', layout = '', positionEncoding = '', part = ''] = labels
  if (![dtype, layout, positionEncoding].every(isLabel)) return null
  const startMatch = /^t(\d+)$/.exec(start)
  const layerSpan = parseSpan('l', layers)
  const headSpan = heads === 'h' ? null : parseSpan('h', heads)
  const partMatch = /^(\d+)of(\d+):(.+)$/.exec(part)
  if (startMatch === null || layerSpan === null || (heads !== 'h' && headSpan === null)) return null
  if (part !== 'whole' && !isLabel(partMatch?.[3] ?? '')) return null
  return {
    kind,
    block: parseBlockHash(`${chain}:${digits}`),
    model: parseModelFingerprint(model),
    tokenStart: Number(startMatch[1]),
    layers: layerSpan,
    heads: headSpan,
    dtype,
    layout,
    positionEncoding,
    part:
      partMatch === null ? null : { part: Number(partMatch[1]), parts: Number(partMatch[2]), pool: partMatch[3] ?? '' },
  }
}

function parseSpan(letter: 'l' | 'h', text = ''): Span | null {
  const match = /^.(\d+)-(\d+)$/.exec(text)
  if (match === null || !text.startsWith(letter)) return null
  return { start: Number(match[1]), end: Number(match[2]) }
}

function byteKey({ kind, name }: ByteName): string {
  if (typeof name === 'string') return `${kind}/${name}`
  if (name.length === 0) throw new MembraneError('INVALID_REQUEST', 'A foreign key must not be empty.')
  return `${kind}/=${percentEncode(name)}`
}

function parseBytes(kind: ByteKind, text: string): ByteName | null {
  if (!text.startsWith('=')) return { kind, name: parseContentHash(text) }
  const name = percentDecode(text.slice(1))
  return name === null ? null : { kind, name }
}

/** Letters, digits and what keys of engines are made of stand for themselves, so that they stay legible. */
const PLAIN = /[A-Za-z0-9._:@,+=~-]/

/** What each byte is written as. */
const WRITTEN: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  return PLAIN.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`
})

/** HOT: once for every key that an engine names. */
function percentEncode(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at++) text += WRITTEN[bytes[at] ?? 0]
  return text
}

function percentDecode(text: string): Uint8Array | null {
  if (!/^(?:[A-Za-z0-9._:@,+=~-]|%[0-9a-f]{2})+$/.test(text)) return null
  const parts = text.match(/%..|./g) ?? []
  return Uint8Array.from(parts, (part) => (part.length === 3 ? Number.parseInt(part.slice(1), 16) : part.charCodeAt(0)))
}

/** One name has one key: what another spelling (`t007`, `%41`) says is not a key. */
function checkedName(key: string, name: FragmentName | null): FragmentName {
  if (name === null || fragmentKey(name) !== key) throw notAKey(key)
  return name
}

function notAKey(key: string, cause?: MembraneError): MembraneError {
  const found = JSON.stringify(key.length > 100 ? `${key.slice(0, 100)}…` : key)
  return new MembraneError('INVALID_FRAGMENT', `A fragment key was expected; found ${found}.`, { cause })
}
