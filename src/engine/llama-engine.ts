/** Runs the kernel: the weights of one model, room for the rows of a call, and one call after the other. */
import { throwIfAborted } from '../core/cancel.ts'
import type { ReadyLayers } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { Gguf } from './gguf.ts'
import { type KernelBuild, loadKernel } from './kernel-build.ts'
import { JOB_BYTES, layersDone, readIsNotFinite, SYNC_BYTES, writeJob } from './kernel-layout.ts'
import { KernelMemory } from './kernel-memory.ts'
import { KernelThreads } from './kernel-threads.ts'
import { checkLlamaTensors, type LlamaConfig, readLlamaConfig } from './llama-config.ts'
import { LlamaScratch, ROWS_MAX } from './llama-scratch.ts'
import { loadWeights } from './llama-weights.ts'
import { roundUp } from './panels.ts'

/**
 * Names how the numbers are made: the order of every sum, what is fused, the functions. Whatever changes a bit of the KV
 * of some model changes this, so that the KV of before is not taken for that of after.
 */
export const KV_ARITHMETIC = 'cpu-f32-1'

export interface LlamaEngineOptions {
  readonly threads: number
  /** Of weights, contexts and work together; at most 4 GiB are used. */
  readonly memoryBytesMax: number
  /** Which build must run; by default the fastest that is right here. */
  readonly build?: KernelBuild | undefined
}

/** Rows of a context that are computed. */
export interface Prefill {
  /** Where the context's KV lies: [layer][k, v][capacity][kvHeads * headDim]. */
  readonly kv: number
  readonly capacity: number
  readonly start: number
  /** Each below the vocabulary's size. */
  readonly tokenIds: Uint32Array
  /** Scores after the last token go here. */
  readonly logits: Float32Array
  readonly signal?: AbortSignal | undefined
  /** Told of each layer's KV of a chunk of rows as soon as it is there; layer after layer, chunk after chunk. */
  readonly onLayers?: ((ready: ReadyLayers) => void) | undefined
}

/** Positions beyond `start` may be changed when a call throws. */
export class LlamaEngine {
  readonly config: LlamaConfig
  readonly build: KernelBuild
  readonly threads: number
  readonly #memory: KernelMemory
  readonly #workers: KernelThreads
  readonly #scratch: LlamaScratch
  readonly #model: number
  readonly #job: number
  readonly #sync: number
  readonly #logits: number
  /** The call under way, or the last one. */
  #latest: Promise<unknown> = Promise.resolve()

  private constructor(
    config: LlamaConfig,
    parts: { memory: KernelMemory; workers: KernelThreads; model: number; build: KernelBuild },
  ) {
    this.config = config
    this.build = parts.build
    this.threads = parts.workers.count
    this.#memory = parts.memory
    this.#workers = parts.workers
    this.#model = parts.model
    this.#scratch = new LlamaScratch(config, parts.memory, parts.workers.count)
    this.#job = allocate(parts.memory, JOB_BYTES)
    this.#sync = allocate(parts.memory, SYNC_BYTES)
    parts.memory.bytes(this.#sync, SYNC_BYTES).fill(0)
    this.#logits = allocate(parts.memory, roundUp(config.vocabularyTokens) * 4)
  }

  /** Throws INVALID_MODEL, COMPUTE_FULL when the weights do not fit, and COMPUTE_FAILED when no thread starts. */
  static async open(gguf: Pick<Gguf, 'metadata' | 'tensors'>, options: LlamaEngineOptions): Promise<LlamaEngine> {
    const config = readLlamaConfig(gguf)
    checkLlamaTensors(gguf, config)
    const { module, build } = await loadKernel(options.build)
    const memory = new KernelMemory(options.memoryBytesMax)
    const model = loadWeights(gguf, config, memory)
    const workers = await KernelThreads.start(options.threads, module, memory.memory)
    try {
      return new LlamaEngine(config, { memory, workers, model, build })
    } catch (error) {
      await workers.stop()
      throw error
    }
  }

  /** Bytes of one position's KV in all layers. */
  get kvBytesPerToken(): number {
    const { layers, kvHeads, headDim } = this.config
    return 2 * layers * kvHeads * headDim * 4
  }

  /** Room for the KV of `capacity` positions, holding anything. Throws COMPUTE_FULL. */
  async allocateKv(capacity: number): Promise<number> {
    return await this.#inTurn(async () => {
      this.#scratch.reserve(capacity)
      return allocate(this.#memory, capacity * this.kvBytesPerToken)
    })
  }

  releaseKv(kv: number): void {
    this.#memory.release(kv)
  }

  /** A view of memory that prefills change. */
  bytes(start: number, length: number): Uint8Array<SharedArrayBuffer> {
    return this.#memory.bytes(start, length)
  }

  /** Throws ABORTED between chunks, and COMPUTE_FAILED when the KV is not finite or a thread ended. */
  async prefill(work: Prefill): Promise<void> {
    const { tokenIds, start, signal } = work
    for (let done = 0; done < tokenIds.length; done += ROWS_MAX) {
      const chunk = tokenIds.subarray(done, done + ROWS_MAX)
      const isLast = done + chunk.length === tokenIds.length
      await this.#inTurn(async () => {
        throwIfAborted(signal)
        await this.#run({ ...work, start: start + done, tokenIds: chunk }, isLast)
      })
    }
  }

  /** Ends after the call under way. A second call changes nothing. */
  async close(): Promise<void> {
    await this.#inTurn(() => this.#workers.stop())
  }

  async #run(work: Prefill, wantsLogits: boolean): Promise<void> {
    const { kv, capacity, start, tokenIds, logits, onLayers } = work
    const scratch = this.#scratch
    scratch.setTokens(tokenIds)
    writeJob(this.#memory, this.#job, {
      model: this.#model,
      tokens: scratch.tokens,
      rows: tokenIds.length,
      start,
      kv,
      capacity,
      wantsLogits: wantsLogits ? 1 : 0,
      logits: this.#logits,
      isNotFinite: 0,
      scratch: scratch.address,
      sync: this.#sync,
      threads: this.threads,
      layersDone: 0,
    })
    const run = this.#workers.run(this.#job)
    const told = onLayers === undefined ? null : this.#tellLayers(run, work, onLayers)
    await run
    await told
    if (readIsNotFinite(this.#memory, this.#job))
      throw new MembraneError('COMPUTE_FAILED', 'The computed KV has numbers that are not finite.', {
        remedy: 'The weights, or the KV that was written before these tokens, are not those of a trained model.',
      })
    if (wantsLogits) logits.set(this.#memory.floats(this.#logits, logits.length))
  }

  /** While the threads run, and what is left when they have ended. KV that is not finite is not told of. */
  async #tellLayers(
    run: Promise<void>,
    { start, tokenIds }: Prefill,
    onLayers: (ready: ReadyLayers) => void,
  ): Promise<void> {
    const span = { start, end: start + tokenIds.length }
    const count = layersDone(this.#memory, this.#job)
    let isOver = false
    const over = run.then(
      () => {
        isOver = true
      },
      () => {
        isOver = true
      },
    )
    for (let told = 0; told < this.config.layers; ) {
      const done = Atomics.load(count, 0)
      if (readIsNotFinite(this.#memory, this.#job)) return
      if (done > told) onLayers({ layers: { start: told, end: done }, span })
      else if (isOver) return
      else {
        const change = Atomics.waitAsync(count, 0, done)
        if (change.async) await Promise.race([change.value, over])
      }
      told = done
    }
  }

  /** The work areas are one: calls of several contexts take turns, chunk by chunk. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#latest.then(work)
    this.#latest = turn.catch(() => null)
    return turn
  }
}

function allocate(memory: KernelMemory, bytes: number): number {
  const at = memory.allocate(bytes)
  if (at !== null) return at
  throw new MembraneError('COMPUTE_FULL', `The engine has no ${bytes} bytes left.`, {
    remedy: 'Close contexts that are not needed, or allow the engine more memory.',
    details: { bytes },
  })
}
