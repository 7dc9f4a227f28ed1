/**
 * A node without doors: the memory, an engine, and the rebuild between them. A prompt goes from tokens to block hashes,
 * to a context of the engine that is filled from what is there and computed where nothing is, to generated tokens, whose
 * KV is kept as well, so that the next turn finds its whole history.
 */
import type { KvBackend, KvContext } from '../core/compute.ts'
import { GREEDY } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { HashChain } from '../core/hash-chain.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, ContentHashers, FragmentDirectory, PeerFetch, RemotePrefill, Stopwatch } from '../core/ports.ts'
import { TokenSampler } from '../engine/sampling.ts'
import { DEFAULT_FRAGMENTIZE } from '../reconstruct/fragmentize.ts'
import type { RebuildPlan } from '../reconstruct/rebuild-plan.ts'
import type {
  RateBook,
  RebuildParts,
  RebuildRequest,
  RebuildResult,
  StoreReport,
} from '../reconstruct/rebuild-ports.ts'
import { planContext, rebuildContext, storeContext } from '../reconstruct/rebuild.ts'
import type { Fabric } from './fabric.ts'
import type { GenerateRequest, Generation, PromptRequest, Rebuilt } from './generation.ts'
import { hashContext } from './kv-hash.ts'
import { FabricMemory } from './rebuild-memory.ts'
import { DEFAULT_READ_AHEAD, type Foresight, ReadAhead, type ReadAheadStats } from './read-ahead.ts'
import { selfTest } from './self-test.ts'
import { type ContextLease, type HeldContext, ResidentPool, type ResidentStats } from './resident-pool.ts'

/** What a node is put together from. */
export interface NodeOptions {
  readonly fabric: Fabric
  readonly backend: KvBackend
  /** Names the blocks of prompts: the same for all prompts of a fabric. */
  readonly chain: HashChain
  readonly rates: RateBook
  readonly hashers: ContentHashers
  readonly stopwatch: Stopwatch
  readonly alarm: Alarm
  /** Tokens of a fragment, a multiple of the chain's block. */
  readonly fragmentTokens: number
  /** Secret of a tenant in its block hashes; '' for none. */
  readonly saltOf: (tenant: TenantId) => string
  /** Of the engine's memory, for contexts that outlive their request. */
  readonly residentBytesMax: number
  /** Of fragments that are read before a session's next turn asks for them; 0 reads none. */
  readonly readAheadBytesMax: number
  /** Requests that compute or decode at a time. */
  readonly requestsMax: number
  /** Ways to other nodes; null for a node that is alone. */
  readonly directory: FragmentDirectory | null
  readonly peers: PeerFetch | null
  readonly remotePrefill: RemotePrefill | null
}

/** A node that is alone, with room for some conversations. */
export const DEFAULT_NODE_OPTIONS = {
  fragmentTokens: DEFAULT_FRAGMENTIZE.fragmentTokens,
  // Tenants are apart by their keys already; a secret comes with the credential.
  saltOf: (tenant: TenantId): string => tenant,
  residentBytesMax: 1024 ** 3,
  readAheadBytesMax: DEFAULT_READ_AHEAD.bytesMax,
  requestsMax: 4,
  directory: null,
  peers: null,
  remotePrefill: null,
} as const satisfies Partial<NodeOptions>

/**
 * A node whose engine has shown that it takes back the KV that it gives: see `selfTest`. Throws COMPUTE_FAILED when it
 * does not; the backend stays open then. A simulated engine, whose every token takes its time, is not asked.
 */
export async function openNode(options: NodeOptions): Promise<Node> {
  const { backend, chain, rates, hashers, stopwatch, alarm, fragmentTokens } = options
  const fragmentize = { blockTokens: chain.blockTokens, fragmentTokens }
  const { model, isSimulated } = backend
  if (!isSimulated) await selfTest({ backend, chain, model, rates, hashers, stopwatch, alarm, fragmentize })
  return new Node(options)
}

/** See the top of this file. Made by `openNode`. Closing it closes its backend, and leaves its fabric open. */
export class Node {
  readonly #options: NodeOptions
  readonly #resident: ResidentPool
  readonly #parts: Omit<RebuildParts, 'memory'>
  readonly #ahead: ReadAhead

  constructor(options: NodeOptions) {
    this.#options = options
    const { backend, rates, hashers, stopwatch, alarm, chain, fragmentTokens } = options
    const { directory, peers, remotePrefill } = options
    const fragmentize = { blockTokens: chain.blockTokens, fragmentTokens }
    const { model } = backend
    this.#ahead = new ReadAhead({ ...DEFAULT_READ_AHEAD, bytesMax: options.readAheadBytesMax })
    this.#parts = { model, rates, hashers, stopwatch, alarm, fragmentize, directory, peers, remotePrefill }
    this.#resident = new ResidentPool({
      backend,
      bytesMax: options.residentBytesMax,
      requestsMax: options.requestsMax,
      waitingMax: LIMITS.nodeRequestsWaitingMax,
      blockTokens: chain.blockTokens,
      demote: (held) => this.#demote(held),
    })
  }

  get backend(): KvBackend {
    return this.#options.backend
  }

  residentStats(): ResidentStats {
    return this.#resident.stats()
  }

  readAheadStats(): ReadAheadStats {
    return this.#ahead.stats()
  }

  /** The prompt as token ids. Throws INVALID_REQUEST for one that is empty or longer than the model's context. */
  tokensOf({ prompt }: Pick<PromptRequest, 'prompt'>): Uint32Array {
    const { tokenizer, contextTokensMax } = this.backend.model
    const tokenIds =
      'tokenIds' in prompt
        ? prompt.tokenIds
        : Uint32Array.from([...tokenizer.startTokens, ...tokenizer.encode(prompt.text)])
    if (tokenIds.length === 0) throw new MembraneError('INVALID_REQUEST', 'The prompt has no tokens.')
    if (tokenIds.length >= contextTokensMax)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The prompt has ${tokenIds.length} tokens; ${this.backend.model.name} takes ${contextTokensMax} with the answer.`,
        { details: { promptTokens: tokenIds.length, contextTokensMax } },
      )
    const unknown = tokenIds.findIndex((id) => id >= tokenizer.vocabularyTokens)
    if (unknown >= 0)
      throw new MembraneError(
        'INVALID_REQUEST',
        `Token ids are 0 to ${tokenizer.vocabularyTokens - 1}; token ${unknown} of the prompt is ${tokenIds[unknown]}.`,
      )
    return tokenIds
  }

  /** What a rebuild of the prompt would do now, and what each span would cost. Reads and computes nothing. */
  async plan(request: PromptRequest): Promise<RebuildPlan> {
    const tokenIds = this.tokensOf(request)
    const residentTokens = this.#resident.peek({ scope: this.#scopeOf(request), tokenIds })
    return planContext(this.#partsOf(request), this.#rebuildRequest(request, tokenIds), residentTokens)
  }

  /** Makes a prompt ready: its KV is in the engine's memory and in the fabric afterwards. */
  async rebuild(request: PromptRequest & { readonly wantsKvHash?: boolean }): Promise<Rebuilt> {
    const tokenIds = this.tokensOf(request)
    const { lease, result } = await this.#ready(request, tokenIds, tokenIds.length)
    return this.#using(lease, async () => {
      const { plan, explain, reusedTokens, prefilledTokens, seconds } = result
      const kvHash = await this.#hashIfWanted(lease.context, tokenIds, request)
      const stored = await result.stored
      const rebuilt = { promptTokens: tokenIds.length, reusedTokens, prefilledTokens, seconds, kvHash, plan, explain }
      return { value: { ...rebuilt, stored }, tokenIds }
    })
  }

  /** Throws what a rebuild throws, INVALID_REQUEST for a maxTokens out of range, and ABORTED. */
  async generate(request: GenerateRequest): Promise<Generation> {
    const { stopwatch } = this.#options
    const startSeconds = stopwatch.seconds()
    const promptIds = this.tokensOf(request)
    const maxTokens = this.#checkMaxTokens(request.maxTokens, promptIds.length)
    const sampler = new TokenSampler({ ...GREEDY, ...request.sampling })
    const { lease, result } = await this.#ready(request, promptIds, promptIds.length + maxTokens)
    return this.#using(lease, async () => {
      const { context } = lease
      const { tokenizer } = this.backend.model
      const endTokens = new Set(tokenizer.endTokens)
      const decoder = tokenizer.decoder()
      const tokenIds = new Uint32Array(promptIds.length + maxTokens)
      tokenIds.set(promptIds)
      let filled = promptIds.length
      let text = ''
      const say = (piece: string): void => {
        text += piece
        if (piece !== '') request.onText?.(piece)
      }
      let next = sampler.next(context.logits())
      const firstSeconds = stopwatch.seconds()
      const kvHash = await this.#hashIfWanted(context, promptIds, request)
      const decodeStartSeconds = stopwatch.seconds()
      let lastSeconds = decodeStartSeconds
      let generated = 0
      while (!endTokens.has(next)) {
        tokenIds[filled + generated] = next
        generated += 1
        say(decoder.push(next))
        if (generated === maxTokens) break
        await context.prefill(filled + generated - 1, Uint32Array.of(next), { signal: request.signal })
        next = sampler.next(context.logits())
        lastSeconds = stopwatch.seconds()
      }
      say(decoder.end())
      filled = context.filledTokens
      const held = tokenIds.slice(0, filled)
      const prompt = await result.stored
      const answer = await storeContext(this.#partsOf(request), context, {
        ...this.#rebuildRequest(request, held),
        start: promptIds.length,
      })
      const decodedTokens = filled - promptIds.length
      const value: Generation = {
        text,
        tokenIds: tokenIds.slice(promptIds.length, promptIds.length + generated),
        finish: generated === maxTokens ? 'length' : 'stop',
        promptTokens: promptIds.length,
        reusedTokens: result.reusedTokens,
        prefilledTokens: result.prefilledTokens,
        ttftSeconds: firstSeconds - startSeconds,
        decodeTokensPerSecond: decodedTokens === 0 ? null : decodedTokens / (lastSeconds - decodeStartSeconds),
        kvHash,
        explain: result.explain,
        isSimulated: this.backend.isSimulated,
        usage: null,
        stored: addReports(prompt, answer),
      }
      return { value, tokenIds: held }
    })
  }

  /** Ends once everything that was computed is stored; requests must have ended. */
  async close(): Promise<void> {
    await this.#resident.close()
    await this.#ahead.close()
    await this.backend.close()
  }

  async #ready(
    request: PromptRequest,
    tokenIds: Uint32Array,
    capacityTokens: number,
  ): Promise<{ readonly lease: ContextLease; readonly result: RebuildResult }> {
    const { signal } = request
    const scope = this.#scopeOf(request)
    const isFresh = request.reuse === 'none'
    const lease = await this.#resident.acquire({ scope, tokenIds, capacityTokens, isFresh, signal })
    try {
      const result = await rebuildContext(
        this.#partsOf(request),
        lease.context,
        this.#rebuildRequest(request, tokenIds),
      )
      return { lease, result }
    } catch (error) {
      await lease.discard()
      throw error
    }
  }

  /** Whatever happens, the context is given back: as it is when all went well. */
  async #using<T>(
    lease: ContextLease,
    use: () => Promise<{ readonly value: T; readonly tokenIds: Uint32Array }>,
  ): Promise<T> {
    try {
      const { value, tokenIds } = await use()
      lease.release(tokenIds)
      return value
    } catch (error) {
      await lease.discard()
      throw error
    }
  }

  async #demote({ scope, context, tokenIds }: HeldContext): Promise<void> {
    const request = { tenant: scope as TenantId, prompt: { tokenIds } }
    const report = await storeContext(this.#partsOf(request), context, {
      ...this.#rebuildRequest(request, tokenIds),
      start: 0,
    })
    if (report.error !== null) throw report.error
  }

  async #hashIfWanted(
    context: KvContext,
    promptIds: Uint32Array,
    { wantsKvHash = false }: { readonly wantsKvHash?: boolean },
  ): Promise<Generation['kvHash']> {
    return wantsKvHash ? hashContext(context, promptIds.length, this.#options.hashers.b3) : null
  }

  #scopeOf({ tenant }: Pick<PromptRequest, 'tenant'>): string {
    return tenant
  }

  #partsOf({ tenant }: Pick<PromptRequest, 'tenant'>): RebuildParts {
    const fabric = this.#options.fabric.of(tenant)
    const foresight: Foresight = async (keys, limit) => {
      const likely = fabric.prefetch(keys, limit)
      const heads = await Promise.all(likely.map(async ({ key }) => fabric.head(key)))
      return heads.flatMap((head) => (head === null ? [] : [{ key: head.key, payloadBytes: head.payloadBytes }]))
    }
    const memory = this.#ahead.over({ scope: tenant, memory: new FabricMemory(fabric), foresight })
    return { ...this.#parts, memory }
  }

  #rebuildRequest(request: PromptRequest, tokenIds: Uint32Array): RebuildRequest {
    const { tenant, session = null, reuse = 'exact', signal } = request
    const { chain, saltOf } = this.#options
    const hashes = chain.hash(tokenIds, { model: this.backend.model.fingerprint, tenantSalt: saltOf(tenant) })
    return { tenant, tokenIds, hashes, session, reuse, signal }
  }

  #checkMaxTokens(maxTokens: number, promptTokens: number): number {
    const room = this.backend.model.contextTokensMax - promptTokens
    if (Number.isSafeInteger(maxTokens) && maxTokens >= 1 && maxTokens <= room) return maxTokens
    throw new MembraneError(
      'INVALID_REQUEST',
      `Beside the prompt of ${promptTokens} tokens there is room to generate 1 to ${room}; found ${maxTokens}.`,
      { details: { promptTokens, maxTokens, room } },
    )
  }
}

function addReports(a: StoreReport, b: StoreReport): StoreReport {
  return {
    fragments: a.fragments + b.fragments,
    bytes: a.bytes + b.bytes,
    refused: a.refused + b.refused,
    error: a.error ?? b.error,
  }
}
