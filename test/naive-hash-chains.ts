/**
 * The hash chains once more, as one would write them down: lists, general encoders, BigInts, hashes from elsewhere.
 * Slow, and right by being short. Tests hold the fast ones against them, and benches ask what speed was worth.
 */
import { createHash } from 'node:crypto'
import { blake3 } from '@napi-rs/blake-hash'
import { createXXHash128, createXXHash3 } from 'hash-wasm'
import type { ChainContext, MediaSpan } from '../src/core/hash-chain.ts'

export interface NaivePrompt {
  readonly tokens: readonly number[]
  readonly blockTokens: number
  readonly context: ChainContext
}

type Digest = (message: Uint8Array) => Uint8Array

export const sha256: Digest = (message) => createHash('sha256').update(message).digest()

export async function loadXxh3x128(): Promise<Digest> {
  const hasher = await createXXHash128()
  return (message) => hasher.init().update(message).digest('binary')
}

export async function loadXxh3x64(seed: bigint): Promise<(message: Uint8Array) => bigint> {
  const hasher = await createXXHash3(Number(seed & 0xffff_ffffn), Number(seed >> 32n))
  return (message) => BigInt(`0x${hasher.init().update(message).digest('hex')}`)
}

/** Hashes as hexadecimal digits, one a block. */
export function naiveB3({ tokens, blockTokens, context }: NaivePrompt): string[] {
  const text = (value = ''): Uint8Array => Buffer.from(value)
  const field = (bytes: Uint8Array): Uint8Array => Buffer.concat([u32(bytes.length), bytes])
  const root = [text('membrane.block-chain.b3.v1'), Buffer.from(context.model, 'hex'), u32(blockTokens)]
  const salts = [text(context.tenantSalt), text(context.adapter), text(context.cacheSalt)]
  let parent: Uint8Array = blake3(Buffer.concat([...root, ...salts].map(field)))
  return blocks(tokens, blockTokens).map((block, index) => {
    const media = overlapping(context.media, index * blockTokens, blockTokens)
    const fields = media.flatMap(({ identifier, tokens: { start, end } }) => [
      Buffer.concat([u32(start), u32(end)]),
      text(identifier),
    ])
    const extra =
      media.length === 0 ? [] : [blake3(Buffer.concat([text('membrane.block-media.b3.v1'), ...fields].map(field)))]
    parent = blake3(Buffer.concat([parent, ...block.map(u32), ...extra]))
    return Buffer.from(parent).toString('hex')
  })
}

export function naiveVllm({ tokens, blockTokens, context }: NaivePrompt, hash: Digest, seed: string): string[] {
  let parent = hash(cbor(seed))
  return blocks(tokens, blockTokens).map((block, index) => {
    const first = index * blockTokens
    const extras = [
      ...(context.adapter ? [context.adapter] : []),
      ...overlapping(context.media, first, blockTokens).map((medium) => [
        medium.identifier,
        medium.tokens.start - first,
      ]),
      ...(context.cacheSalt && index === 0 ? [context.cacheSalt] : []),
    ]
    parent = hash(cbor([parent, block, extras.length === 0 ? null : extras]))
    return Buffer.from(parent).toString('hex')
  })
}

export function naiveSglang({ tokens, blockTokens }: NaivePrompt): string[] {
  let parent: Uint8Array = Buffer.alloc(0)
  return blocks(tokens, blockTokens).map((block) => {
    parent = sha256(Buffer.concat([parent, ...block.map(u32)]))
    return Buffer.from(parent).toString('hex')
  })
}

export async function naiveDynamo({ tokens, blockTokens, context }: NaivePrompt, seed: bigint): Promise<bigint[]> {
  const [plain, salted] = [await loadXxh3x64(0n), await loadXxh3x64(1n)]
  const adapter = context.adapter ? plain(Buffer.from(context.adapter)) : 0n
  const salt = context.cacheSalt ? salted(Buffer.from(context.cacheSalt)) : 0n
  const local = await loadXxh3x64((seed + adapter + salt) % 2n ** 64n)
  const sequence = await loadXxh3x64(seed)
  let parent: bigint | null = null
  return blocks(tokens, blockTokens).map((block, index) => {
    const media = overlapping(context.media, index * blockTokens, blockTokens)
      .map(({ identifier }) => BigInt(`0x${identifier.slice(0, 16)}`))
      .sort((a, b) => (a < b ? -1 : 1))
    const own = local(Buffer.concat([...block.map(u32), ...media.map(u64)]))
    parent = parent === null ? own : sequence(Buffer.concat([u64(parent), u64(own)]))
    return parent
  })
}

export function naiveLlmd({ tokens, blockTokens, context }: NaivePrompt, seed: string): bigint[] {
  let parent = fnv(cbor([fnv(Buffer.from(seed)), null, context.modelName ?? '']))
  return blocks(tokens, blockTokens).map((block, index) => {
    const first = index * blockTokens
    const media = overlapping(context.media, first, blockTokens).map(
      ({ identifier, tokens: { start } }) =>
        new Map<string, CborValue>([
          ['Hash', identifier],
          ['Offset', start - first],
        ]),
    )
    parent = fnv(cbor([parent, block, media.length === 0 ? null : media]))
    return parent
  })
}

export function fnv(message: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n
  for (const byte of message) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) % 2n ** 64n
  return hash
}

export type CborValue = null | string | number | bigint | Uint8Array | readonly CborValue[] | Map<string, CborValue>

/** Canonical CBOR of whole values; maps have their keys in order already. */
export function cbor(value: CborValue): Uint8Array {
  if (value === null) return Buffer.of(0xf6)
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
  if (typeof value === 'number' || typeof value === 'bigint') {
    return value >= 0 ? head(0, value) : head(1, -1n - BigInt(value))
  }
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value])
  if (value instanceof Map) {
    return Buffer.concat([head(5, value.size), ...[...value].flatMap(([key, item]) => [cbor(key), cbor(item)])])
  }
  return Buffer.concat([head(4, value.length), ...value.map(cbor)])
}

function head(major: number, value: number | bigint): Uint8Array {
  const number = BigInt(value)
  if (number < 24n) return Buffer.of((major << 5) | Number(number))
  const size = number < 2n ** 8n ? 1 : number < 2n ** 16n ? 2 : number < 2n ** 32n ? 4 : 8
  const bytes = Buffer.from(number.toString(16).padStart(2 * size, '0'), 'hex')
  return Buffer.concat([Buffer.of((major << 5) | (24 + Math.log2(size))), bytes])
}

function blocks(tokens: readonly number[], blockTokens: number): number[][] {
  const count = Math.floor(tokens.length / blockTokens)
  return Array.from({ length: count }, (_, index) => tokens.slice(index * blockTokens, (index + 1) * blockTokens))
}

function overlapping(media: readonly MediaSpan[] = [], first: number, blockTokens: number): MediaSpan[] {
  return media.filter(({ tokens: { start, end } }) => start < first + blockTokens && end > first)
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}
