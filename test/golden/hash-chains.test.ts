/**
 * Block hashes that other systems print. vLLM's agree with a set published for vLLM 0.17, Dynamo's local hash with a
 * constant of its tests; the others follow from the definitions. Ours are here so that they never change unnoticed.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { blockHashAt, digestAt, eventHashes } from '../../src/core/block-hashes.ts'
import { type ChainContext, type ChainId, tokenIds } from '../../src/core/hash-chain.ts'
import { vllmNoneHash } from '../../src/core/hash-chain-vllm.ts'
import { createHashChain, dynamoLocalHashes } from '../../src/core/hash-chains.ts'
import { bytesToHex } from '../../src/core/hex.ts'
import { parseContentHash, parseModelFingerprint } from '../../src/core/ids.ts'
import { modelFingerprint } from '../../src/core/model-fingerprint.ts'
import type { ChainHashes } from '../../src/core/ports.ts'
import { loadChainHashes } from '../../src/hashing/chain-hashes.ts'

const BLOCK_TOKENS = 16
/** 101, 202, … 1616; 1717, … 3232. */
const TOKENS = tokenIds(Array.from({ length: 32 }, (_, index) => 101 * (index + 1)))
const MODEL = parseModelFingerprint('00'.repeat(31) + '01')
const CONTEXT: ChainContext = { model: MODEL, modelName: 'Qwen/Qwen3-0.6B' }

let hashes: ChainHashes
beforeAll(async () => {
  hashes = await loadChainHashes()
})

const chainHashes = (id: ChainId, seed?: string, context: ChainContext = CONTEXT) =>
  createHashChain(id, { hashes, blockTokens: BLOCK_TOKENS, seed }).hash(TOKENS, context)

describe('vLLM', () => {
  test.each([
    ['sha256_cbor', '0', '4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e'],
    ['xxhash_cbor', '0', '1ebe36576dcb573f26b99533a20aaeca'],
    ['sha256_cbor', undefined, '9bd96a485ad84efdafb72ee48a1d7a69bcead0f8f0433173941b276b9581eef0'],
  ] as const)('%s with PYTHONHASHSEED %s starts from its NONE_HASH', (id, seed, expected) => {
    const hash = id === 'sha256_cbor' ? hashes.sha256 : hashes.xxh3x128
    expect(bytesToHex(vllmNoneHash({ id, hash, blockTokens: BLOCK_TOKENS, seed }))).toBe(expected)
  })

  test('sha256_cbor', () => {
    const found = chainHashes('sha256_cbor', '0')
    expect(blockHashAt(found, 0)).toBe('sha256_cbor:d450abdaf2c9ebdd0e0cbfbc4e24a5c07ff71dcab37be7426d4fa0e5fdb93342')
    expect(blockHashAt(found, 1)).toBe('sha256_cbor:0d95d2dc02f528b32afbd33ebffedd911ed1978087b0a01679b4ddd62261c5db')
    expect([...eventHashes(found)]).toEqual([7876691182959014722n, 8769878286166771163n])
  })

  test('xxhash_cbor', () => {
    const found = chainHashes('xxhash_cbor', '0')
    expect(blockHashAt(found, 0)).toBe('xxhash_cbor:363a30eaa81cfc9f9992a6dfe619bda1')
    expect(blockHashAt(found, 1)).toBe('xxhash_cbor:60bf650ad0efa0dc7147140a2e85add6')
    expect([...eventHashes(found)]).toEqual([11066090714971094433n, 8162514883595054550n])
  })

  test('sha256_cbor with a cache salt', () => {
    const found = chainHashes('sha256_cbor', '0', { ...CONTEXT, cacheSalt: 'tenant-a' })
    expect(bytesToHex(digestAt(found, 0))).toBe('f68d2a9da147b96aa631942c606775e86dc645e185cdccad6dd7c6d5e7f4297d')
  })
})

test('SGLang', () => {
  const found = chainHashes('sglang')
  expect(blockHashAt(found, 0)).toBe('sglang:316da9df5aab9135e1362b8bb62cd81d57b887e3fa8d13b57fc267b52812587b')
  expect(blockHashAt(found, 1)).toBe('sglang:9ccc66e17278f89a588d884774717d02a1e1f860126557db894bc8e494cf6f05')
})

test('Dynamo, seed 1337 by default', () => {
  expect([...eventHashes(chainHashes('dynamo'))]).toEqual([4257951094936895530n, 1759366625065030664n])
  expect([...eventHashes(chainHashes('dynamo', '1337'))]).toEqual([4257951094936895530n, 1759366625065030664n])
  const local = dynamoLocalHashes(TOKENS, CONTEXT, { hashes, blockTokens: BLOCK_TOKENS })
  expect([...eventHashes(local)]).toEqual([4257951094936895530n, 6836067172004419605n])
})

test('llm-d', () => {
  expect([...eventHashes(chainHashes('llm-d', '0'))]).toEqual([8161861213180845558n, 11314126724825323485n])
})

describe('our chain', () => {
  test('of tokens alone', () => {
    const found = chainHashes('blake3')
    expect(blockHashAt(found, 0)).toBe('blake3:38ba6245ec1dcdcbd170457b2fbe3a9cc91b68a8f4ebd04f2e13554034fca76d')
    expect(blockHashAt(found, 1)).toBe('blake3:7d4d90f74b216ff4ea3d1395f0c207216da503b153cb22d9941aa0d0847b511f')
  })

  test('with everything that it binds', () => {
    const found = chainHashes('blake3', undefined, {
      ...CONTEXT,
      tenantSalt: 'salt of tenant a',
      adapter: 'sql-expert',
      cacheSalt: 'request',
      media: [{ identifier: 'ab'.repeat(32), tokens: { start: 10, end: 20 } }],
    })
    expect(blockHashAt(found, 0)).toBe('blake3:eb797e114487277eeda793cd90312e6572f83d3ab67a923e80616160eabd8463')
    expect(blockHashAt(found, 1)).toBe('blake3:259d7626e25cbfde818f9862b0515264afb6a67a0ce95350b9476bccf83372be')
  })

  test('of a model', () => {
    const weights = parseContentHash(`b3:${'cd'.repeat(32)}`)
    expect(modelFingerprint(hashes.blake3, 'Qwen/Qwen3-0.6B', weights)).toBe(
      'f8c8fe6b409ce8cf82fba8eecc90023f60e7a074e46bfdb2a02feb4d9ad0d4c3',
    )
  })
})
