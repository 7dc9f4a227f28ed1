/**
 * Before a node serves: KV of the engine goes out as fragments, comes back into another context, and must give the same
 * answer. An engine that does not is refused at once, not found out by its users; and what runs for the first time runs
 * here, not in somebody's request.
 */
import type { KvBackend } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import type { Fragment } from '../core/fragment.ts'
import type { HashChain } from '../core/hash-chain.ts'
import { type ContentHash, DEFAULT_TENANT } from '../core/ids.ts'
import type { ContentHashers } from '../core/ports.ts'
import type { RebuildMemory, RebuildParts, RebuildRequest } from '../reconstruct/rebuild-ports.ts'
import { rebuildContext } from '../reconstruct/rebuild.ts'
import { hashContext } from './kv-hash.ts'

/** Whole blocks of the prompt that is tried; one token more has to be computed. */
const BLOCKS = 4
/** Code that has run so often runs as fast as it will. */
const ROUNDS = 3

export interface SelfTestParts extends Omit<RebuildParts, 'memory' | 'directory' | 'peers' | 'remotePrefill'> {
  readonly backend: KvBackend
  readonly chain: HashChain
}

/** Throws COMPUTE_FAILED when KV that was given back is not what was computed. */
export async function selfTest({ backend, chain, ...parts }: SelfTestParts): Promise<void> {
  const { model } = backend
  // Models with short contexts are models too.
  const blocks = Math.min(BLOCKS, Math.floor((model.contextTokensMax - 1) / chain.blockTokens))
  const tokens = blocks * chain.blockTokens + 1
  const tokenIds = Uint32Array.from({ length: tokens }, (_, index) => index % model.tokenizer.vocabularyTokens)
  const hashes = chain.hash(tokenIds, { model: model.fingerprint })
  const request = { tenant: DEFAULT_TENANT, tokenIds, hashes, session: null } as const
  for (let round = 0; round < ROUNDS; round++) {
    const alone = {
      ...parts,
      memory: new ScratchMemory(parts.hashers),
      rates: DEAR_PREFILL,
      directory: null,
      peers: null,
      remotePrefill: null,
    }
    const computed = await tryOnce(backend, alone, { ...request, reuse: 'none' })
    const rebuilt = await tryOnce(backend, alone, { ...request, reuse: 'exact' })
    const isEqual =
      rebuilt.reusedTokens === tokens - 1 &&
      (!model.isCanonical || (rebuilt.kvHash === computed.kvHash && areEqual(rebuilt.logits, computed.logits)))
    if (!isEqual)
      throw new MembraneError('COMPUTE_FAILED', `${backend.name} does not take back the KV that it gave.`, {
        remedy: 'Check the installation of the engine; its KV cannot be kept as it is.',
        details: { reusedTokens: rebuilt.reusedTokens, computed: computed.kvHash, rebuilt: rebuilt.kvHash },
      })
  }
}

/** So that what is stored is read, however fast the engine is. */
const DEAR_PREFILL = {
  read: () => ({ latencySeconds: 0, bytesPerSecond: 1e12, isMeasured: true }),
  prefillSeconds: ({ start, end }: { readonly start: number; readonly end: number }) => end - start,
  isPrefillMeasured: true,
  observeRead: () => {},
  observePrefill: () => {},
}

interface Trial {
  readonly reusedTokens: number
  readonly kvHash: ContentHash
  readonly logits: Float32Array
}

async function tryOnce(backend: KvBackend, parts: RebuildParts, request: RebuildRequest): Promise<Trial> {
  const tokens = request.tokenIds.length
  const context = await backend.openContext(tokens)
  try {
    const { reusedTokens, stored } = await rebuildContext(parts, context, request)
    const logits = context.logits().slice()
    const kvHash = await hashContext(context, tokens, parts.hashers.b3)
    await stored
    return { reusedTokens, kvHash, logits }
  } finally {
    await context.close()
  }
}

function areEqual(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, index) => Object.is(value, b[index]))
}

/** Fragments of this test alone. */
class ScratchMemory implements RebuildMemory {
  readonly #hashers: ContentHashers
  readonly #fragments = new Map<string, Fragment>()

  constructor(hashers: ContentHashers) {
    this.#hashers = hashers
  }

  async find(): ReturnType<RebuildMemory['find']> {
    return Array.from(this.#fragments, ([key, { description, payload }]) => ({
      key,
      description,
      contentHash: this.#hashers.b3.hash(payload),
      payloadBytes: payload.length,
      tier: 'memory',
    }))
  }

  async read(key: string): Promise<Uint8Array | null> {
    return this.#fragments.get(key)?.payload ?? null
  }

  async put(fragment: Fragment): ReturnType<RebuildMemory['put']> {
    this.#fragments.set(fragmentKey(contextName(fragment.description)), fragment)
    return 'stored'
  }

  used(): void {
    // Of no session.
  }
}
