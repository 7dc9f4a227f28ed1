/**
 * A prompt as what distinguishes it from another one that both sides have: runs of the base are copied, the rest is
 * spelled out. The next turn of a conversation is then some hundred bytes instead of half a megabyte.
 *
 *   'M' 'T' 1 | 0 | tokens | 4 bytes a token, little-endian
 *   'M' 'T' 1 | 1 | tokens | tokens of the base | 16 bytes of its hash | runs
 *   run       2 · length     | tokens, varints
 *             2 · length + 1 | where in the base, from the end of the run copied before: 2 · distance, or 2 · |distance| - 1 below 0
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { HashFunction } from '../core/ports.ts'
import { copiedRuns } from './token-runs.ts'
import { WireReader } from './wire-reader.ts'
import { WireWriter } from './wire-writer.ts'

const MAGIC = Uint8Array.of(0x4d, 0x54, 1)
const RAW = 0
const DELTA = 1
const BASE_HASH_BYTES = 16
const TOKEN_MAX = 2 ** 32 - 1
/** Raw, with its head. */
const DELTA_BYTES_MAX = 4 * LIMITS.tokenDeltaTokensMax + 8

/** The base, as both sides have it, and what tells whether they do. */
export interface TokenBase {
  readonly tokenIds: Uint32Array
  /** 16 bytes or more, such as BLAKE3. */
  readonly hash: HashFunction
}

/**
 * At most 8 bytes more than 4 for each token, whatever the base. Throws INVALID_REQUEST for more than
 * LIMITS.tokenDeltaTokensMax tokens.
 */
export function encodeTokenDelta(tokenIds: Uint32Array, base: TokenBase): Uint8Array {
  checkTokens(tokenIds.length)
  checkTokens(base.tokenIds.length)
  const writer = begin(DELTA, tokenIds.length)
  writer.varint(base.tokenIds.length)
  writer.raw(hashOf(base))
  let at = 0
  let expected = 0
  for (const { start, from, length } of copiedRuns(tokenIds, base.tokenIds)) {
    writeTokens(writer, tokenIds.subarray(at, start))
    writer.varint(2 * length + 1)
    writer.varint(from >= expected ? 2 * (from - expected) : 2 * (expected - from) - 1)
    at = start + length
    expected = from + length
  }
  writeTokens(writer, tokenIds.subarray(at))
  const raw = begin(RAW, tokenIds.length)
  if (writer.length < raw.length + 4 * tokenIds.length) return writer.written()
  raw.raw(bytesOf(tokenIds))
  return raw.written()
}

/**
 * The prompt. Throws CONTENT_MISMATCH when the base is another one than that of the encoder, and INVALID_REQUEST for
 * what is no delta; nothing is allocated for more tokens than the message brings or copies.
 */
export function decodeTokenDelta(bytes: Uint8Array, base: TokenBase): Uint32Array {
  const reader = new WireReader(bytes, 'A token delta', DELTA_BYTES_MAX)
  reader.magic(MAGIC)
  const form = reader.byte('the form')
  const tokens = reader.varint('the number of tokens', LIMITS.tokenDeltaTokensMax)
  if (form === RAW) {
    const tokenIds = tokensOf(reader.raw('the tokens', 4 * tokens))
    reader.end()
    return tokenIds
  }
  if (form !== DELTA) throw reader.invalid(`a form ${form} is unknown`)
  const baseTokens = reader.varint('the tokens of the base', LIMITS.tokenDeltaTokensMax)
  const baseHash = reader.raw('the hash of the base', BASE_HASH_BYTES)
  const own = hashOf(base)
  if (baseTokens !== base.tokenIds.length || !baseHash.every((byte, index) => byte === own[index]))
    throw new MembraneError(
      'CONTENT_MISMATCH',
      'The base of a token delta is another one than the prompt that is here.',
    )
  return join(readRuns(reader, tokens, base.tokenIds), tokens)
}

function readRuns(reader: WireReader, tokens: number, base: Uint32Array): readonly (Uint32Array | readonly number[])[] {
  const runs: (Uint32Array | readonly number[])[] = []
  let expected = 0
  for (let at = 0; at < tokens; ) {
    const form = reader.varint('a run', 2 * (tokens - at) + 1, 2)
    const length = Math.floor(form / 2)
    at += length
    if (form % 2 === 0) {
      if (length > reader.left) throw reader.invalid(`a run of ${length} tokens ends before they do`)
      runs.push(Array.from({ length }, () => reader.varint('a token', TOKEN_MAX)))
      continue
    }
    const coded = reader.varint('the place of a run', 2 * base.length)
    const from = coded % 2 === 0 ? expected + coded / 2 : expected - (coded + 1) / 2
    if (from < 0 || from + length > base.length) throw reader.invalid('a run lies outside of the base')
    runs.push(base.subarray(from, from + length))
    expected = from + length
  }
  reader.end()
  return runs
}

function join(runs: readonly (Uint32Array | readonly number[])[], tokens: number): Uint32Array {
  const tokenIds = new Uint32Array(tokens)
  let at = 0
  for (const run of runs) {
    tokenIds.set(run, at)
    at += run.length
  }
  return tokenIds
}

function writeTokens(writer: WireWriter, tokenIds: Uint32Array): void {
  if (tokenIds.length === 0) return
  writer.varint(2 * tokenIds.length)
  for (const token of tokenIds) writer.varint(token)
}

function begin(form: number, tokens: number): WireWriter {
  const writer = new WireWriter()
  writer.raw(MAGIC)
  writer.byte(form)
  writer.varint(tokens)
  return writer
}

function hashOf({ tokenIds, hash }: TokenBase): Uint8Array {
  const digest = new Uint8Array(hash.digestBytes)
  hash.digestInto(bytesOf(tokenIds), digest, 0)
  return digest.subarray(0, BASE_HASH_BYTES)
}

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Little-endian on every machine; a view where that is what memory holds. */
function bytesOf(tokenIds: Uint32Array): Uint8Array {
  if (IS_LITTLE_ENDIAN) return new Uint8Array(tokenIds.buffer, tokenIds.byteOffset, tokenIds.byteLength)
  const bytes = new Uint8Array(tokenIds.byteLength)
  const view = new DataView(bytes.buffer)
  for (const [index, token] of tokenIds.entries()) view.setUint32(4 * index, token, true)
  return bytes
}

function tokensOf(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Uint32Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(4 * index, true))
}

function checkTokens(tokens: number): void {
  if (tokens <= LIMITS.tokenDeltaTokensMax) return
  const message = `A token delta takes at most ${LIMITS.tokenDeltaTokensMax} tokens, found ${tokens}.`
  throw new MembraneError('INVALID_REQUEST', message)
}
