/**
 * Block hashes: each is a hash of the block's tokens and of the hash before it, so it names everything from the first
 * token on. Which hash, of which encoding, is the chain's: ours, or that of an engine whose blocks are to be shared.
 */
import type { BlockHashes } from './block-hashes.ts'
import { MembraneError } from './errors.ts'
import type { Span } from './fragment.ts'
import type { BlockHash, ModelFingerprint } from './ids.ts'
import type { ChainHashes } from './ports.ts'

/**
 * `blake3`: our own. `sha256_cbor`, `xxhash_cbor`: vLLM's algorithms of these names. `sglang`: SGLang's pages.
 * `dynamo`: Dynamo's sequence hashes, which RFC #1527 took over. `llm-d`: the llm-d indexer's.
 */
export const CHAIN_IDS = ['blake3', 'sha256_cbor', 'xxhash_cbor', 'sglang', 'dynamo', 'llm-d'] as const
/** One of CHAIN_IDS. */
export type ChainId = (typeof CHAIN_IDS)[number]

/** What tells two prompts with the same tokens apart, beside the model. */
export const CHAIN_EXTRAS = ['tenantSalt', 'adapter', 'cacheSalt', 'media'] as const
/** One of CHAIN_EXTRAS. */
export type ChainExtra = (typeof CHAIN_EXTRAS)[number]

/** An image or other medium whose placeholder tokens are `[tokens.start, tokens.end)` of the prompt. */
export interface MediaSpan {
  /** Names its content: a hash of it, as the engine writes it. */
  readonly identifier: string
  readonly tokens: Span
}

/**
 * What a prompt's KV depends on beside its tokens. An empty text counts as absent, as it does in vLLM and Dynamo.
 * A chain that cannot express an extra that is given refuses the prompt: its hashes would be those of another context.
 */
export interface ChainContext {
  /** Binds the hash in chain `blake3` only: whoever uses another keeps models apart by other means. */
  readonly model: ModelFingerprint
  /** The name that `llm-d` binds, which needs one; others do without. */
  readonly modelName?: string | undefined
  /** Secret of the tenant: without it, no hash of theirs can be guessed. */
  readonly tenantSalt?: string | undefined
  /** Name of the LoRA adapter. */
  readonly adapter?: string | undefined
  /** `cache_salt` of the request. */
  readonly cacheSalt?: string | undefined
  /** In the order of their tokens, without overlap. */
  readonly media?: readonly MediaSpan[] | undefined
}

/** Where a chain goes on: after block `blocks` - 1, whose hash is `parent`. */
export interface ChainPosition {
  readonly parent: BlockHash
  /** Blocks that came before: 1 or more. */
  readonly blocks: number
}

/** One algorithm with its block size and seed. Nothing of a prompt stays in it. */
export interface HashChain {
  readonly id: ChainId
  readonly blockTokens: number
  readonly digestBytes: number
  /** What of a context its hashes bind; a prompt with any other extra is refused. */
  readonly binds: readonly ChainExtra[]
  /**
   * The hashes of all full blocks of `tokens`: the whole prompt, or, with `after`, what follows that position. Equal
   * prefixes have equal hashes wherever they are cut. Tokens of a last block that is not full are left out.
   * Throws INVALID_REQUEST when the context has an extra that the chain cannot express, lacks what it needs, or
   * exceeds a limit, and when `after` is no position of this chain.
   */
  hash(tokens: Uint32Array, context: ChainContext, after?: ChainPosition): BlockHashes
}

/** What a chain is made with: the same for every prompt of a fabric, and the same as the engines' where it is theirs. */
export interface ChainOptions {
  readonly hashes: ChainHashes
  /** Tokens of a block, 1 to LIMITS.blockTokensMax. */
  readonly blockTokens: number
  /**
   * vLLM: PYTHONHASHSEED of the engines; without it, `sha256_cbor` starts as newer versions do, and `xxhash_cbor`
   * cannot be shared. Dynamo: an unsigned 64-bit number, default 1337. llm-d: its `hashSeed`, default empty.
   * `blake3` and `sglang` have none.
   */
  readonly seed?: string | undefined
}

/** Token ids, whole numbers 0 to 2^32 - 1, as a chain takes them. Throws INVALID_REQUEST for the first that is none. */
export function tokenIds(values: readonly number[]): Uint32Array {
  const tokens = Uint32Array.from(values)
  for (const [index, token] of tokens.entries()) {
    const value = values[index]
    if (token !== value) {
      throw new MembraneError(
        'INVALID_REQUEST',
        `A token id is a whole number from 0 to 4294967295, found ${value} at index ${index}.`,
        { details: { index, value } },
      )
    }
  }
  return tokens
}
