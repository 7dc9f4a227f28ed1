/** Hash chains by their ids. */
import type { BlockHashes } from './block-hashes.ts'
import { MembraneError, unreachable } from './errors.ts'
import { CHAIN_IDS, type ChainContext, type ChainId, type ChainOptions, type HashChain } from './hash-chain.ts'
import { blake3Algorithm } from './hash-chain-blake3.ts'
import { dynamoAlgorithm } from './hash-chain-dynamo.ts'
import { llmdAlgorithm } from './hash-chain-llm-d.ts'
import { type ChainAlgorithm, checkBlockTokens, hashBlocks } from './hash-chain-run.ts'
import { sglangAlgorithm } from './hash-chain-sglang.ts'
import { vllmAlgorithm } from './hash-chain-vllm.ts'

/** Throws INVALID_CONFIG when the chain does not exist, or for a block size or seed that it cannot take. */
export function createHashChain(id: ChainId, options: ChainOptions): HashChain {
  const { blockTokens } = options
  checkBlockTokens(blockTokens)
  const algorithm = algorithmOf(id, options)
  return {
    id,
    blockTokens,
    digestBytes: algorithm.digestBytes,
    binds: algorithm.binds,
    hash: (tokens, context, after) => hashBlocks(algorithm, blockTokens, tokens, context, after),
  }
}

/** Throws INVALID_CONFIG. */
export function parseChainId(text: string): ChainId {
  const id = CHAIN_IDS.find((known) => known === text)
  if (id !== undefined) return id
  throw new MembraneError(
    'INVALID_CONFIG',
    `There is no hash chain ${JSON.stringify(text.slice(0, 100))}; there are ${CHAIN_IDS.join(', ')}.`,
  )
}

/**
 * Dynamo's local hashes, which its indexer is asked with: each knows the tokens of its own block only. Their chain is
 * called `dynamo-local`. `options` and errors as for chain `dynamo`.
 */
export function dynamoLocalHashes(tokens: Uint32Array, context: ChainContext, options: ChainOptions): BlockHashes {
  checkBlockTokens(options.blockTokens)
  const algorithm = dynamoAlgorithm({ ...options, seed: options.seed, isLocal: true })
  return { ...hashBlocks(algorithm, options.blockTokens, tokens, context), chain: 'dynamo-local' }
}

function algorithmOf(id: ChainId, { hashes, blockTokens, seed }: ChainOptions): ChainAlgorithm {
  switch (id) {
    case 'blake3':
      refuseSeed(id, seed)
      return blake3Algorithm(hashes.blake3, blockTokens)
    case 'sha256_cbor':
      return vllmAlgorithm({ id, hash: hashes.sha256, blockTokens, seed })
    case 'xxhash_cbor':
      return vllmAlgorithm({ id, hash: hashes.xxh3x128, blockTokens, seed })
    case 'sglang':
      refuseSeed(id, seed)
      return sglangAlgorithm(hashes.sha256, blockTokens)
    case 'dynamo':
      return dynamoAlgorithm({ hashes, blockTokens, seed, isLocal: false })
    case 'llm-d':
      return llmdAlgorithm(hashes.fnv1a64, blockTokens, seed)
    default:
      return unreachable(id)
  }
}

function refuseSeed(id: ChainId, seed: string | undefined): void {
  if (seed === undefined) return
  throw new MembraneError('INVALID_CONFIG', `Chain ${id} has no seed, found ${JSON.stringify(seed.slice(0, 100))}.`, {
    remedy: id === 'blake3' ? 'Use the tenant salt to keep hashes apart.' : 'Leave the seed out.',
  })
}
