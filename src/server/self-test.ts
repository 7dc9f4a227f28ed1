/**
 * Before a node serves: KV of the engine goes out as fragments, comes back into another context, and must give the same
 * answer. An engine that does not is refused at once, not found out by its users; and what runs for the first time runs
 * here, not in somebody's request: the tokenizer, the hashes of blocks, and a fabric in memory with all of its layers.
 */
import type { KvBackend, Tokenizer } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { HashChain } from '../core/hash-chain.ts'
import { type ContentHash, DEFAULT_TENANT } from '../core/ids.ts'
import type { RebuildParts, RebuildRequest } from '../reconstruct/rebuild-ports.ts'
import { rebuildContext } from '../reconstruct/rebuild.ts'
import { MemoryStore } from '../store/memory.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from './fabric.ts'
import { hashContext } from './kv-hash.ts'
import { FabricMemory } from './rebuild-memory.ts'

/** Whole blocks of the prompt that is tried, each a fragment of its own; one token more has to be computed. */
const BLOCKS = 4
/** Code that has run so often runs nearly as fast as it will; more rounds cost more than they give. */
const REBUILDS = 5
/** Read by the tokenizer: fewer words leave a third of its code slow. */
const TEXTS = 6
const TEXT_TOKENS = 512

export interface SelfTestParts extends Omit<RebuildParts, 'memory' | 'directory' | 'peers' | 'remotePrefill'> {
  readonly backend: KvBackend
  readonly chain: HashChain
}

/** Throws COMPUTE_FAILED when KV that was given back is not what was computed. */
export async function selfTest({ backend, chain, ...parts }: SelfTestParts): Promise<void> {
  const { model } = backend
  const { blockTokens } = chain
  // Models with short contexts are models too.
  const blocks = Math.min(BLOCKS, Math.floor((model.contextTokensMax - 1) / blockTokens))
  const tokens = blocks * blockTokens + 1
  const tokenIds = Uint32Array.from({ length: tokens }, (_, index) => index % model.tokenizer.vocabularyTokens)
  warmTokenizer(model.tokenizer)
  const clock = { nowMs: Date.now }
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store: new MemoryStore(clock),
    tier: 'memory',
    hashers: parts.hashers,
    clock,
    seed: 0,
  })
  const alone: RebuildParts = {
    ...parts,
    fragmentize: { blockTokens, fragmentTokens: blockTokens },
    memory: new FabricMemory(fabric.of()),
    rates: DEAR_PREFILL,
    directory: null,
    peers: null,
    remotePrefill: null,
  }
  const attempt = async (reuse: RebuildRequest['reuse']): Promise<Trial> => {
    const hashes = chain.hash(tokenIds, { model: model.fingerprint })
    return tryOnce(backend, alone, { tenant: DEFAULT_TENANT, tokenIds, hashes, session: null, reuse })
  }
  try {
    const computed = await attempt('none')
    for (let rebuild = 0; rebuild < REBUILDS; rebuild++) checkEqual(backend, await attempt('exact'), computed, tokens)
  } finally {
    await fabric.close()
  }
}

function checkEqual({ name, model }: KvBackend, rebuilt: Trial, computed: Trial, tokens: number): void {
  const isEqual =
    rebuilt.reusedTokens === tokens - 1 &&
    (!model.isCanonical || (rebuilt.kvHash === computed.kvHash && areEqual(rebuilt.logits, computed.logits)))
  if (isEqual) return
  throw new MembraneError('COMPUTE_FAILED', `${name} does not take back the KV that it gave.`, {
    remedy: 'Check the installation of the engine; its KV cannot be kept as it is.',
    details: { reusedTokens: rebuilt.reusedTokens, computed: computed.kvHash, rebuilt: rebuilt.kvHash },
  })
}

/** On texts of many different words, which a tokenizer that remembers words has not seen. */
function warmTokenizer(tokenizer: Tokenizer): void {
  const { vocabularyTokens } = tokenizer
  for (let round = 0; round < TEXTS; round++) {
    const ids = Array.from(
      { length: TEXT_TOKENS },
      (_, index) => ((index + round * TEXT_TOKENS) * 7919) % vocabularyTokens,
    )
    tokenizer.encode(tokenizer.decode(ids).replaceAll(/.{5}/gu, '$& '))
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
