/**
 * Keeps the tokens of prompts beside their KV, so that KV at other positions is found after a restart too: what a moved
 * run of tokens was computed from can only be told from the tokens themselves.
 */
import { unpackBlockHashes } from '../core/block-hashes.ts'
import { MembraneError } from '../core/errors.ts'
import { buildPrefix, parsePrefix } from '../core/fragment-kv.ts'
import type { HashChain } from '../core/hash-chain.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import type { MovedIndex } from '../indices/moved.ts'
import type { TenantFabric } from './tenant-fabric.ts'

/** Whose prompts, of which model. */
export interface MovedOwner {
  readonly scope: string
  readonly fabric: TenantFabric
  readonly model: ModelFingerprint
  readonly tenantSalt: string
}

export class MovedRecords {
  readonly #index: MovedIndex
  readonly #chain: HashChain
  readonly #loaded = new Map<string, Promise<void>>()

  constructor(index: MovedIndex, chain: HashChain) {
    this.#index = index
    this.#chain = chain
  }

  /** What was kept before this start, once for each owner. Throws what the store throws, and may be asked again then. */
  load(owner: MovedOwner): Promise<void> {
    const known = this.#loaded.get(owner.scope)
    if (known !== undefined) return known
    const loading = this.#read(owner)
    this.#loaded.set(owner.scope, loading)
    loading.catch(() => this.#loaded.delete(owner.scope))
    return loading
  }

  /** The tokens of the full blocks of a prompt whose KV was stored. Throws what the store throws. */
  async keep({ fabric, model, tenantSalt }: MovedOwner, tokenIds: Uint32Array): Promise<void> {
    const { blockTokens } = this.#chain
    const whole = tokenIds.subarray(0, tokenIds.length - (tokenIds.length % blockTokens))
    if (whole.length === 0) return
    const { signature, payload } = buildPrefix({ model, tokenStart: 0, tokenIds: whole })
    const blocks = unpackBlockHashes(this.#chain.hash(whole, { model, tenantSalt }))
    const description = {
      signature,
      parent: null,
      blocks,
      blockTokens,
      group: null,
      text: null,
      sequence: null,
      derivedFrom: [],
    } as const
    await fabric.put({ description, payload: Buffer.concat(payload.pieces) })
  }

  async #read({ scope, fabric, model, tenantSalt }: MovedOwner): Promise<void> {
    for await (const { key, description } of fabric.list('prefix/')) {
      const { signature, blocks, blockTokens } = description
      if (signature.model !== model || signature.tokens.start !== 0 || blockTokens !== this.#chain.blockTokens) continue
      const found = await fabric.get(key)
      if (found === null) continue
      const tokenIds = tokensOf(signature, found.payload)
      if (tokenIds === null) continue
      // Tokens decide: a record counts only under the names that its own tokens have.
      const own = unpackBlockHashes(this.#chain.hash(tokenIds, { model, tenantSalt }))
      if (own.at(-1) === blocks.at(-1)) this.#index.add(scope, tokenIds, own)
    }
  }
}

function tokensOf(signature: Parameters<typeof parsePrefix>[0], payload: Uint8Array): Uint32Array | null {
  try {
    return parsePrefix(signature, payload).tokenIds
  } catch (error) {
    if (error instanceof MembraneError) return null
    throw error
  }
}
