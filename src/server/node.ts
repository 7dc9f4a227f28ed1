/**
 * A node without doors: the memory, an engine, and the rebuild between them. A prompt goes from tokens to block hashes,
 * to a context of the engine that is filled from what is there and computed where nothing is, to generated tokens, whose
 * KV is kept as well, so that the next turn finds its whole history.
 */
import { blockHashAt, commonBlocks } from '../core/block-hashes.ts'
import type { KvBackend, KvContext, KvModel } from '../core/compute.ts'
import { contextBytes, GREEDY } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { ContentHash, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { checkedSampling } from '../engine/sampling.ts'
import type { IndexedFragment } from '../indices/indexed-fragment.ts'
import { DEFAULT_MOVED_INDEX, MovedIndex } from '../indices/moved.ts'
import { DEFAULT_MOVED, type MovedReuse } from '../reconstruct/moved-options.ts'
import type { ExplainedSpan, RebuildPlan } from '../reconstruct/rebuild-plan.ts'
import type {
  RateBook,
  RebuildParts,
  RebuildRequest,
  RebuildResult,
  StoreReport,
} from '../reconstruct/rebuild-ports.ts'
import { planContext, rebuildContext, storeContext } from '../reconstruct/rebuild.ts'
import { chatTokens } from './chat-prompt.ts'
import {
  checkedStop,
  DEFAULT_MAX_TOKENS,
  type GenerateRequest,
  type Generation,
  type PrefillFor,
  type Prompt,
  type PromptRequest,
  type Rebuilt,
} from './generation.ts'
import { decode } from './decode.ts'
import type { NodeMovedOptions, NodeOptions, NodeStats } from './node-options.ts'
import { hashContext } from './kv-hash.ts'
import { type MovedOwner, MovedRecords } from './moved-records.ts'
import { LentBuffers, ReadBuffers } from './read-buffers.ts'
import { FabricMemory } from './rebuild-memory.ts'
import { DEFAULT_READ_AHEAD, type Foresight, ReadAhead } from './read-ahead.ts'
import { selfTest } from './self-test.ts'
import { type ContextLease, type HeldContext, ResidentPool } from './resident-pool.ts'

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

/** Some fragments of a small model, one or two of a large one. */
const READ_BUFFERS_BYTES_MAX = 64 * 1024 * 1024
/** Fragments of a prompt of 2,000 tokens. */
const READ_BUFFERS = 4

/** See the top of this file. Made by `openNode`. Closing it closes its backend, and leaves its fabric open. */
export class Node {
  readonly #options: NodeOptions
  readonly #resident: ResidentPool
  readonly #parts: Omit<RebuildParts, 'memory'>
  readonly #ahead: ReadAhead
  readonly #buffers = new ReadBuffers(READ_BUFFERS_BYTES_MAX)
  readonly #records: MovedRecords | null
  /** What rebuilds store: it goes on when a request ends early. */
  readonly #storing = new Set<Promise<StoreReport>>()
  readonly #counts = {
    requests: 0,
    reusedTokens: 0,
    prefilledTokens: 0,
    generatedTokens: 0,
    failedReads: 0,
    rebuildSeconds: 0,
  }

  /** Use `openNode`. */
  constructor(options: NodeOptions) {
    this.#options = options
    const { backend, rates, hashers, stopwatch, alarm, chain, fragmentTokens } = options
    const { directory, peers, remotePrefill } = options
    const fragmentize = { blockTokens: chain.blockTokens, fragmentTokens }
    const { model } = backend
    this.#ahead = new ReadAhead({ ...DEFAULT_READ_AHEAD, bytesMax: options.readAheadBytesMax })
    const index =
      options.moved === null ? null : new MovedIndex({ ...DEFAULT_MOVED_INDEX, blockTokens: chain.blockTokens })
    this.#records = index === null ? null : new MovedRecords(index, chain)
    const moved = index === null || options.moved === null ? null : { index, ...movedReuse(options.moved, backend) }
    this.#parts = { model, rates, hashers, stopwatch, alarm, fragmentize, directory, peers, remotePrefill, moved }
    // With the header of a fragment's file.
    this.#buffers.prepare(READ_BUFFERS, contextBytes(model, fragmentTokens) + 4096)
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

  /** Of the chain that names its prompts. */
  get blockTokens(): number {
    return this.#options.chain.blockTokens
  }

  stats(): NodeStats {
    return { ...this.#counts, resident: this.#resident.stats(), readAhead: this.#ahead.stats() }
  }

  /** How long a request that comes now waits before its turn: as long as those before it took, on average, so far. */
  get waitSeconds(): number {
    const { contextsInUse, requestsWaiting } = this.#resident.stats()
    const { requests, rebuildSeconds } = this.#counts
    const { requestsMax } = this.#options
    if (contextsInUse < requestsMax || requests === 0) return 0
    return ((requestsWaiting + 1) * rebuildSeconds) / requests / requestsMax
  }

  /** The prompt as token ids. Throws INVALID_REQUEST for one that is empty or longer than the model's context. */
  tokensOf({ prompt }: Pick<PromptRequest, 'prompt'>): Uint32Array {
    const { tokenizer, contextTokensMax } = this.backend.model
    const tokenIds = promptTokens(this.backend.model, prompt)
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

  /** What a rebuild of the prompt would do now, and what each span would cost. Reads no KV and computes nothing. */
  async plan(request: PromptRequest): Promise<RebuildPlan> {
    const tokenIds = this.tokensOf(request)
    await this.#loadMoved(request)
    const residentTokens = this.#resident.peek({ scope: this.#scopeOf(request), tokenIds })
    return planContext(this.#partsOf(request), this.#rebuildRequest(request, tokenIds), residentTokens)
  }

  /** Makes a prompt ready: its KV is in the engine's memory and in the fabric afterwards. */
  async rebuild(request: PromptRequest & { readonly wantsKvHash?: boolean }): Promise<Rebuilt> {
    const tokenIds = this.tokensOf(request)
    const { lease, result } = await this.#ready(request, tokenIds, tokenIds.length)
    return this.#using(lease, async () => {
      const { plan, reusedTokens, prefilledTokens, seconds, approximate } = result
      const kvHash = await this.#hashIfWanted(lease.context, tokenIds, request)
      const figures = { promptTokens: tokenIds.length, reusedTokens, prefilledTokens, seconds }
      const stored = await this.#storeAnswer(request, {
        context: lease.context,
        result,
        held: tokenIds,
        start: tokenIds.length,
      })
      const value = { ...figures, kvHash, plan, explain: spelledOut(result.explain), approximate, stored }
      return { value, tokenIds: approximate === null ? tokenIds : null }
    })
  }

  /**
   * The fragments that cover blocks of a prompt, leased for `leaseMs` (LIMITS.leaseMsMax at most): after a rebuild, what
   * it read and what it stored.
   */
  fragmentsOf(request: PromptRequest, leaseMs: number): Promise<readonly IndexedFragment[]> {
    const { hashes } = this.#rebuildRequest(request, this.tokensOf(request))
    const model = this.backend.model.fingerprint
    return this.#options.fabric.of(request.tenant).fragmentsOf({ model, hashes }, leaseMs)
  }

  /** Throws what a rebuild throws, INVALID_REQUEST for a maxTokens or a sampling out of range, and ABORTED. */
  async generate(request: GenerateRequest): Promise<Generation> {
    const { stopwatch } = this.#options
    const { signal, onText } = request
    const startSeconds = stopwatch.seconds()
    const promptIds = this.tokensOf(request)
    const maxTokens = this.#checkMaxTokens(request.maxTokens, promptIds.length)
    const sampling = checkedSampling({ ...GREEDY, ...request.sampling })
    const stop = checkedStop(request.stop)
    const { lease, result } = await this.#ready(request, promptIds, promptIds.length + maxTokens)
    return this.#using(lease, async () => {
      const { context } = lease
      let kvHash: ContentHash | null = null
      const { text, tokenIds, finish, firstSeconds, tokensPerSecond } = await decode(context, {
        tokenizer: this.backend.model.tokenizer,
        sampling,
        maxTokens,
        stop,
        onText,
        onFirst: async () => {
          kvHash = await this.#hashIfWanted(context, promptIds, request)
        },
        stopwatch,
        signal,
      })
      this.#counts.generatedTokens += tokenIds.length
      this.#options.observer?.answered(tokenIds.length, tokensPerSecond)
      const held = Uint32Array.from([...promptIds, ...tokenIds]).subarray(0, context.filledTokens)
      const value: Generation = {
        text,
        tokenIds,
        finish,
        promptTokens: promptIds.length,
        reusedTokens: result.reusedTokens,
        prefilledTokens: result.prefilledTokens,
        ttftSeconds: firstSeconds - startSeconds,
        decodeTokensPerSecond: tokensPerSecond,
        kvHash,
        explain: spelledOut(result.explain),
        approximate: result.approximate,
        isSimulated: this.backend.isSimulated,
        usage: null,
        stored: await this.#storeAnswer(request, { context, result, held, start: promptIds.length }),
      }
      return { value, tokenIds: result.approximate === null ? held : null }
    })
  }

  /**
   * Computes a prompt that another node has named. It is never asked of a third node. Where the names are those of this
   * node's own prompts, it shares their KV, and its own is shared; else only the fragments of that name are. Throws what
   * a rebuild throws, and INVALID_REQUEST for names of another chain.
   */
  async prefillFor({ tenant, tokenIds, hashes, fill, signal }: PrefillFor): Promise<RebuildResult> {
    const request: PromptRequest = { tenant, prompt: { tokenIds: this.tokensOf({ prompt: { tokenIds } }) }, signal }
    const asked = this.#rebuildRequest(request, tokenIds)
    const { chain, count } = asked.hashes
    if (hashes.chain !== chain || hashes.count !== count || hashes.digestBytes !== asked.hashes.digestBytes)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The prompt has ${count} blocks of chain ${chain}; found ${hashes.count} of ${hashes.chain}.`,
      )
    const isOwn = commonBlocks(asked.hashes, hashes) === count
    const scope = isOwn ? tenant : `${tenant}/${blockHashAt(hashes, 0)}`
    const wanted = { scope, tokenIds, capacityTokens: tokenIds.length, signal }
    const lease = await this.#resident.acquire(wanted)
    return this.#using(lease, async () => {
      const { rates } = this.#options
      const parts = { ...this.#partsOf(request), remotePrefill: null, rates: withoutPrefill(rates) }
      const rebuild = (context: KvContext): Promise<RebuildResult> =>
        rebuildContext(parts, context, { ...asked, hashes, movedScope: null })
      const value = await fill(lease.context, rebuild, (span, seconds) => {
        rates.observePrefill(span, seconds)
      })
      this.#storing.add(value.stored)
      void value.stored.then(() => this.#storing.delete(value.stored))
      this.#count(request, value)
      return { value, tokenIds: isOwn ? tokenIds : null }
    })
  }

  /**
   * No KV of a tenant stays in the engine's memory or is read ahead, nor goes from there to the fabric: for who erases the tenant. A
   * context in use goes when its request ends. Ends when what rebuilds had begun to store is stored.
   */
  async forget(tenant: TenantId): Promise<void> {
    await this.#resident.forget((scope) => scope === tenant || scope.startsWith(`${tenant}/`))
    this.#ahead.forget(tenant)
    await Promise.all(this.#storing)
  }

  /** Waits for the requests under way, refuses those that wait with ABORTED, and ends when all is stored. */
  async close(): Promise<void> {
    await this.#resident.close()
    await Promise.all(this.#storing)
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
    const lent = new LentBuffers(this.#buffers)
    try {
      await this.#loadMoved(request)
      const asked = this.#rebuildRequest(request, tokenIds)
      if (asked.reuse !== 'none') this.#countLookUp(asked)
      const result = await rebuildContext(this.#partsOf(request, lent), lease.context, asked)
      this.#storing.add(result.stored)
      void result.stored.then(() => this.#storing.delete(result.stored))
      this.#count(request, result)
      this.#options.observer?.seen(tokenIds.length, result.prefilledTokens)
      return { lease, result }
    } catch (error) {
      await lease.discard()
      throw error
    } finally {
      lent.end()
    }
  }

  /** Whatever happens, the context is given back: as it is when all went well and it holds the KV of `tokenIds`. */
  async #using<T>(
    lease: ContextLease,
    use: () => Promise<{ readonly value: T; readonly tokenIds: Uint32Array | null }>,
  ): Promise<T> {
    let value: T
    let tokenIds: Uint32Array | null
    try {
      ;({ value, tokenIds } = await use())
    } catch (error) {
      await lease.discard()
      throw error
    }
    if (tokenIds === null) await lease.discard()
    else lease.release(tokenIds)
    return value
  }

  /** What was generated is kept as well, and the tokens of what may be found at other positions. */
  async #storeAnswer(request: PromptRequest, { context, result, held, start }: AnswerToStore): Promise<StoreReport> {
    const prompt = await result.stored
    if (result.approximate !== null) return prompt
    const asked = { ...this.#rebuildRequest({ ...request, reuse: 'exact' }, held), start }
    const answer = await storeContext(this.#partsOf(request), context, asked)
    return this.#keepTokens(request, held, addReports(prompt, answer))
  }

  /** An answer is not lost because its tokens could not be kept: the report says so. */
  async #keepTokens(request: PromptRequest, held: Uint32Array, report: StoreReport): Promise<StoreReport> {
    try {
      await this.#records?.keep(this.#movedOwner(request), held)
      return report
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      return { ...report, error: report.error ?? error }
    }
  }

  async #loadMoved(request: PromptRequest): Promise<void> {
    if (request.reuse === 'moved') await this.#records?.load(this.#movedOwner(request))
  }

  #countLookUp({ tenant, hashes }: RebuildRequest): void {
    this.#options.fabric.of(tenant).countLookUp({ model: this.backend.model.fingerprint, hashes })
  }

  #count({ tenant }: PromptRequest, result: RebuildResult): void {
    const { explain, reusedTokens, prefilledTokens, failedReads, seconds } = result
    this.#counts.requests += 1
    this.#counts.rebuildSeconds += seconds
    this.#counts.reusedTokens += reusedTokens
    this.#counts.prefilledTokens += prefilledTokens
    this.#counts.failedReads += failedReads.length
    const read = explain.filter(({ source }) => source === 'memory' || source === 'disk' || source === 'remote')
    const readTokens = read.reduce((sum, { start, end }) => sum + end - start, 0)
    if (readTokens > 0) this.#options.fabric.of(tenant).saved(readTokens)
  }

  #movedOwner(request: Pick<PromptRequest, 'tenant' | 'salt'>): MovedOwner {
    const { fabric, backend } = this.#options
    const { fingerprint: model } = backend.model
    const tenantSalt = this.#saltOf(request)
    return { scope: this.#scopeOf(request), fabric: fabric.of(request.tenant), model, tenantSalt }
  }

  async #demote({ scope, context, tokenIds }: HeldContext): Promise<void> {
    const [tenant = '', ...salt] = scope.split('/')
    const request = { tenant: tenant as TenantId, salt: salt.join('/'), prompt: { tokenIds } }
    const report = await storeContext(this.#partsOf(request), context, {
      ...this.#rebuildRequest(request, tokenIds),
      start: 0,
    })
    if (report.error !== null) throw report.error
    if (report.refused > 0) throw new MembraneError('STORE_FULL', 'The memory rather keeps what it has.')
  }

  async #hashIfWanted(
    context: KvContext,
    promptIds: Uint32Array,
    { wantsKvHash = false }: { readonly wantsKvHash?: boolean },
  ): Promise<Generation['kvHash']> {
    return wantsKvHash ? hashContext(context, promptIds.length, this.#options.hashers.b3) : null
  }

  /** What contexts may be shared within. No tenant's name has a slash. */
  #scopeOf({ tenant, salt = '' }: Pick<PromptRequest, 'tenant' | 'salt'>): string {
    return salt === '' ? tenant : `${tenant}/${salt}`
  }

  /** Before the first block of every prompt. Of the tenant's salt and the request's, no two pairs are written alike. */
  #saltOf({ tenant, salt = '' }: Pick<PromptRequest, 'tenant' | 'salt'>): string {
    const own = this.#options.saltOf(tenant)
    return salt === '' ? own : `${own.length}:${own}/${salt}`
  }

  /** With `lent`, what the parts read is good until those end. */
  #partsOf({ tenant }: Pick<PromptRequest, 'tenant'>, lent: LentBuffers | null = null): RebuildParts {
    const fabric = this.#options.fabric.of(tenant)
    const foresight: Foresight = async (keys, limit) => {
      const likely = fabric.prefetch(keys, limit)
      const heads = await Promise.all(likely.map(async ({ key }) => fabric.head(key)))
      return heads.flatMap((head) => (head === null ? [] : [{ key: head.key, payloadBytes: head.payloadBytes }]))
    }
    const memory = new FabricMemory(fabric, lent)
    const withAhead = this.#ahead.over({ scope: tenant, memory, ahead: new FabricMemory(fabric), foresight })
    return { ...this.#parts, memory: withAhead }
  }

  #rebuildRequest(request: PromptRequest, tokenIds: Uint32Array): RebuildRequest {
    const { tenant, session = null, reuse = 'exact', signal } = request
    const { chain } = this.#options
    const hashes = chain.hash(tokenIds, { model: this.backend.model.fingerprint, tenantSalt: this.#saltOf(request) })
    const movedScope = this.#records === null ? null : this.#scopeOf(request)
    return { tenant, tokenIds, hashes, session, reuse, movedScope, signal }
  }

  #checkMaxTokens(asked: number | undefined, promptTokens: number): number {
    const room = this.backend.model.contextTokensMax - promptTokens
    const maxTokens = asked ?? Math.min(DEFAULT_MAX_TOKENS, room)
    if (Number.isSafeInteger(maxTokens) && maxTokens >= 1 && maxTokens <= room) return maxTokens
    throw new MembraneError(
      'INVALID_REQUEST',
      `Beside the prompt of ${promptTokens} tokens there is room to generate 1 to ${room}; found ${maxTokens}.`,
      { details: { promptTokens, maxTokens, room } },
    )
  }
}

function promptTokens(model: KvModel, prompt: Prompt): Uint32Array {
  if ('tokenIds' in prompt) return prompt.tokenIds
  if ('messages' in prompt) return chatTokens(model, prompt.messages)
  return Uint32Array.from([...model.tokenizer.startTokens, ...model.tokenizer.encode(prompt.text)])
}

interface AnswerToStore {
  readonly context: KvContext
  readonly result: RebuildResult
  /** The tokens whose KV the context holds. */
  readonly held: Uint32Array
  /** The first that was not stored with the prompt. */
  readonly start: number
}

function movedReuse({ measuredShare, random }: NodeMovedOptions, backend: KvBackend): Omit<MovedReuse, 'index'> {
  return { options: DEFAULT_MOVED, measure: { backend, share: measuredShare, random } }
}

/** The same rates, which do not learn from prefills. */
function withoutPrefill(rates: RateBook): RateBook {
  return {
    read: (place) => rates.read(place),
    prefillSeconds: (span) => rates.prefillSeconds(span),
    get isPrefillMeasured() {
      return rates.isPrefillMeasured
    },
    observeRead: (place, bytes, seconds) => rates.observeRead(place, bytes, seconds),
    observePrefill: () => undefined,
  }
}

/** Sentences are made when they are read, which is not while a first token is waited for. */
function spelledOut(explain: readonly ExplainedSpan[]): readonly ExplainedSpan[] {
  return explain.map((span) => ({ ...span }))
}

function addReports(a: StoreReport, b: StoreReport): StoreReport {
  return {
    fragments: a.fragments + b.fragments,
    bytes: a.bytes + b.bytes,
    refused: a.refused + b.refused,
    error: a.error ?? b.error,
  }
}
