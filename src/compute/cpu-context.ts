/** The KV of one token sequence in the engine's memory: [layer][k, v][position][head][number of the head]. */
import type {
  CallOptions,
  ContextPart,
  KvContext,
  KvModel,
  PrefillOptions,
  ReadOptions,
  ReadyLayers,
} from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import { layerTensorName } from '../core/fragment-tensors.ts'
import type { Tensor } from '../core/safetensors.ts'
import type { LlamaEngine } from '../engine/llama-engine.ts'
import { checkParts } from './cpu-parts.ts'
import { LayerProgress } from './ready-layers.ts'

interface ContextOptions {
  /** Positions that there is room for. */
  readonly tokens: number
  readonly onClose: () => void
}

/** One call at a time, but for reads while a prefill goes on, which is asserted; `close` waits for the one under way. */
export class CpuContext implements KvContext {
  readonly #engine: LlamaEngine
  readonly #model: KvModel
  readonly #capacity: number
  readonly #onClose: () => void
  readonly #kv: number
  /** 1 for each position that has KV. */
  readonly #filled: Uint8Array
  readonly #logits: Float32Array
  #hasLogits = false
  #underWay: Promise<unknown> | null = null
  /** Of the prefill under way. */
  #progress: LayerProgress | null = null
  #closing: Promise<void> | null = null

  private constructor(engine: LlamaEngine, model: KvModel, kv: number, { tokens, onClose }: ContextOptions) {
    this.#engine = engine
    this.#model = model
    this.#capacity = tokens
    this.#onClose = onClose
    this.#kv = kv
    this.#filled = new Uint8Array(tokens)
    this.#logits = new Float32Array(engine.config.vocabularyTokens)
  }

  /** Throws COMPUTE_FULL. */
  static async open(engine: LlamaEngine, model: KvModel, options: ContextOptions): Promise<CpuContext> {
    return new CpuContext(engine, model, await engine.allocateKv(options.tokens), options)
  }

  get filledTokens(): number {
    const gap = this.#filled.indexOf(0)
    return gap < 0 ? this.#capacity : gap
  }

  get residentBytes(): number {
    return this.#closing === null ? this.#capacity * this.#engine.kvBytesPerToken + this.#logits.byteLength : 0
  }

  async write(parts: readonly ContextPart[], { signal }: CallOptions = {}): Promise<void> {
    this.#begin(signal)
    const { tokens, rows } = checkParts(parts, this.#model, this.#engine.config)
    this.#checkRoom(tokens)
    for (const [index, data] of rows.entries()) this.#rows(index, tokens).set(data)
    this.#filled.fill(1, tokens.start, tokens.end)
  }

  async prefill(start: number, tokenIds: Uint32Array, { signal, onLayers }: PrefillOptions = {}): Promise<void> {
    this.#begin(signal)
    if (tokenIds.length === 0) throw invalidRequest('A prefill computes at least one token; found none.')
    const tokens = { start, end: start + tokenIds.length }
    this.#checkRoom(tokens)
    if (start > this.filledTokens)
      throw invalidRequest(
        `A prefill at ${start} needs all positions before; position ${this.filledTokens} is missing.`,
      )
    const { vocabularyTokens } = this.#engine.config
    const unknown = tokenIds.find((id) => id >= vocabularyTokens)
    if (unknown !== undefined)
      throw invalidRequest(`Token ids of this model are below ${vocabularyTokens}; found ${unknown}.`)
    this.#underWay = this.#compute(tokens, tokenIds.slice(), { signal, onLayers }).finally(() => {
      this.#underWay = null
      this.#progress = null
    })
    await this.#underWay
  }

  logits(): Float32Array {
    this.#begin(undefined)
    if (!this.#hasLogits) throw invalidRequest('There are logits after a prefill; there was none.')
    return this.#logits
  }

  async read(span: TokenSpan, options: ReadOptions = {}): Promise<readonly ContextPart[]> {
    this.#checkCall(options.signal)
    this.#checkRoom(span)
    const { kvHeads, headDim } = this.#engine.config
    const all = { start: 0, end: this.#engine.config.layers }
    const { layers = all } = options
    this.#checkThere(span, layers)
    const shape = [span.end - span.start, kvHeads, headDim]
    // A copy: memory that threads share is nothing that native hashes and files take.
    const tensors = Array.from({ length: 2 * (layers.end - layers.start) }, (_, at): Tensor => {
      const index = 2 * layers.start + at
      const name = layerTensorName(Math.floor(index / 2), index % 2 === 0 ? 'k' : 'v')
      return { name, dtype: 'F32', shape, data: this.#rows(index, span).slice() }
    })
    return this.#model.parts.map(({ pool, kind, dtype, layout, positionEncoding }) => ({
      pool,
      signature: {
        model: this.#model.fingerprint,
        kind,
        tokens: { start: span.start, end: span.end },
        layers,
        heads: null,
        dtype,
        layout,
        positionEncoding,
      },
      tensors,
    }))
  }

  truncate(tokens: number): void {
    this.#begin(undefined)
    this.#filled.fill(0, Math.max(0, tokens))
  }

  async close(): Promise<void> {
    this.#closing ??= this.#end()
    await this.#closing
  }

  async #end(): Promise<void> {
    await this.#underWay?.catch(() => null)
    this.#engine.releaseKv(this.#kv)
    this.#onClose()
  }

  /** What was there is kept until the call has succeeded, so that one that fails changes nothing. */
  async #compute(tokens: Span, tokenIds: Uint32Array, { signal, onLayers }: PrefillOptions): Promise<void> {
    const progress = new LayerProgress(tokens.start, { start: 0, end: this.#engine.config.layers })
    const tell = (ready: ReadyLayers): void => {
      progress.add(ready)
      onLayers?.(ready)
    }
    if (onLayers !== undefined) this.#progress = progress
    const isReplacing = this.#filled.subarray(tokens.start, tokens.end).includes(1)
    const count = 2 * this.#engine.config.layers
    const replaced = isReplacing ? Array.from({ length: count }, (_, index) => this.#rows(index, tokens).slice()) : []
    try {
      await this.#engine.prefill({
        kv: this.#kv,
        capacity: this.#capacity,
        start: tokens.start,
        tokenIds,
        logits: this.#logits,
        signal,
        ...(onLayers === undefined ? {} : { onLayers: tell }),
      })
    } catch (error) {
      for (const [index, data] of replaced.entries()) this.#rows(index, tokens).set(data)
      throw error
    }
    this.#filled.fill(1, tokens.start, tokens.end).fill(0, tokens.end)
    this.#hasLogits = true
  }

  /** Keys of layer index / 2, or values of (index - 1) / 2, of a span. */
  #rows(index: number, { start, end }: Span): Uint8Array<SharedArrayBuffer> {
    const { kvHeads, headDim } = this.#engine.config
    const rowBytes = kvHeads * headDim * 4
    return this.#engine.bytes(this.#kv + (index * this.#capacity + start) * rowBytes, (end - start) * rowBytes)
  }

  #begin(signal: AbortSignal | undefined): void {
    this.#checkCall(signal)
    assert(this.#underWay === null, 'a context is called while a prefill is under way')
  }

  #checkThere(span: Span, layers: Span): void {
    assert(
      layers.start >= 0 && layers.start < layers.end && layers.end <= this.#engine.config.layers,
      'layers are read that the model has',
    )
    assert(this.#underWay === null || this.#progress !== null, 'a context is read while a prefill is under way')
    if (this.#progress?.covers(span, layers) === true) return
    const missing = this.#filled.subarray(span.start, span.end).indexOf(0)
    if (missing >= 0) throw invalidRequest(`Position ${span.start + missing} has no KV.`)
    if (this.#progress !== null) throw invalidRequest('KV is read that is being computed.')
  }

  #checkCall(signal: AbortSignal | undefined): void {
    if (this.#closing !== null) throw new MembraneError('COMPUTE_FAILED', 'The context has been closed.')
    if (signal?.aborted === true)
      throw new MembraneError('ABORTED', 'The call was cancelled before it began.', { cause: signal.reason })
  }

  #checkRoom({ start, end }: Span): void {
    if (Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= this.#capacity) return
    throw new MembraneError(
      'OUT_OF_DOMAIN',
      `Positions of this context are 0 to ${this.#capacity - 1}; found ${start} to ${end - 1}.`,
    )
  }
}

function invalidRequest(message: string): MembraneError {
  return new MembraneError('INVALID_REQUEST', message)
}
