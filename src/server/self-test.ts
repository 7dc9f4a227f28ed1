/**
 * Before a node serves: KV of the engine goes out as fragments, comes back into another context, and must give the same
 * answer. An engine that does not is refused at once, not found out by its users; and what runs for the first time runs
 * here, not in somebody's request.
 */
import type { KvContext } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import type { HashChain } from '../core/hash-chain.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import type { KvBackend } from '../core/compute.ts'
import type { LocalFragment, RebuildMemory, RebuildParts, RebuildRequest } from '../reconstruct/rebuild-ports.ts'
import { rebuildContext } from '../reconstruct/rebuild.ts'
import { hashContext } from './kv-hash.ts'

/** Blocks of the prompt that is tried, and how often. */
const BLOCKS = 4
const ROUNDS = 3

export interface SelfTestParts extends Omit<RebuildParts, 'memory'> {
  readonly backend: KvBackend
  readonly chain: HashChain
}

/** Throws COMPUTE_FAILED when KV that was given back is not what was computed. */
export async function selfTest({ backend, chain, ...parts }: SelfTestParts): Promise<void> {
  const { model } = backend
  const tokens = Math.min(BLOCKS * chain.blockTokens + 1, model.contextTokensMax)
  const tokenIds = Uint32Array.from({ length: tokens }, (_, index) => index % model.tokenizer.vocabularyTokens)
  const hashes = chain.hash(tokenIds, { model: model.fingerprint })
  const request = { tenant: DEFAULT_TENANT, tokenIds, hashes, session: null } as const
  for (let round = 0; round < ROUNDS; round++) {
    const memory = new ScratchMemory(parts.hashers)
    const alone = { ...parts, memory, directory: null, peers: null, remotePrefill: null }
    const computed = await trial(backend, alone, { ...request, reuse: 'none' })
    const rebuilt = await trial(backend, alone, { ...request, reuse: 'exact' })
    const isEqual =
      rebuilt.kvHash === computed.kvHash && (!model.isCanonical || areEqual(rebuilt.logits, computed.logits))
    if (!isEqual || rebuilt.reusedTokens === 0)
      throw new MembraneError('COMPUTE_FAILED', `${backend.name} does not take back the KV that it gave.`, {
        remedy: 'Check the installation of the engine; its KV cannot be kept as it is.',
        details: { reusedTokens: rebuilt.reusedTokens, computed: computed.kvHash, rebuilt: rebuilt.kvHash },
      })
  }
}
