/** What a node asks of another that is to compute for it: a prompt with the names of its blocks, and a span of it. */
import type { BlockHashes } from '../core/block-hashes.ts'
import { MembraneError } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { type ModelFingerprint, parseModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { countField, textField } from './fields.ts'
import { type PeerMessage, peerMessage } from './peer-calls.ts'

export interface PrefillRequest {
  readonly model: ModelFingerprint
  /** From the prompt's first token to the span's last. */
  readonly tokenIds: Uint32Array
  /** Of their blocks, all of which are whole. By these names what is computed is found again, here as there. */
  readonly hashes: BlockHashes
  /** Whose KV is wanted: of whole blocks, the last of the tokens. */
  readonly span: TokenSpan
}

const KIND = 'prefill'
const TOKEN_BYTES = 4
const DIGEST_BYTES_MAX = 64

/** Fields: model, chain, digestBytes, tokens, start. Bytes: token ids (u32, little-endian), digests. */
export function prefillMessage({ model, tokenIds, hashes, span }: PrefillRequest): PeerMessage {
  const { chain, digestBytes } = hashes
  const tokens = tokenIds.length
  const bytes = new Uint8Array(tokens * TOKEN_BYTES + hashes.bytes.length)
  const view = new DataView(bytes.buffer)
  for (const [index, tokenId] of tokenIds.entries()) view.setUint32(index * TOKEN_BYTES, tokenId, true)
  bytes.set(hashes.bytes, tokens * TOKEN_BYTES)
  return peerMessage(KIND, { model, chain, digestBytes, tokens, start: span.start }, bytes)
}

/** Throws INVALID_REQUEST. */
export function prefillRequestOf({ kind, fields, bytes }: PeerMessage): PrefillRequest {
  if (kind !== KIND) throw invalid(`a message of kind ${kind}`)
  const model = parseModelFingerprint(textField(fields, 'model'))
  const chain = textField(fields, 'chain', 64)
  const digestBytes = countField(fields, 'digestBytes', DIGEST_BYTES_MAX)
  const tokens = countField(fields, 'tokens', LIMITS.requestTokensMax)
  const start = countField(fields, 'start', LIMITS.requestTokensMax)
  const hashBytes = bytes.length - tokens * TOKEN_BYTES
  if (start >= tokens || digestBytes === 0 || hashBytes <= 0 || hashBytes % digestBytes !== 0)
    throw invalid(`${bytes.length} bytes for ${tokens} tokens from ${start} on`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const tokenIds = Uint32Array.from({ length: tokens }, (_, index) => view.getUint32(index * TOKEN_BYTES, true))
  const digests = bytes.slice(tokens * TOKEN_BYTES)
  const hashes: BlockHashes = { chain, digestBytes, count: hashBytes / digestBytes, bytes: digests }
  return { model, tokenIds, hashes, span: { start, end: tokens } }
}

function invalid(found: string): MembraneError {
  return new MembraneError('INVALID_REQUEST', `A request for a prefill was expected; found ${found}.`)
}
