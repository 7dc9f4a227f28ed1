/**
 * A context whose KV somebody takes while it is filled: what was there, what is written and what is computed, layer by
 * layer, each once and in order. Nothing is copied before it is taken, so that who takes slowly fills no memory but the
 * context's own.
 */
import { abortedError } from '../core/cancel.ts'
import type { CallOptions, ContextPart, KvContext, PrefillOptions, ReadOptions, ReadyLayers } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import type { Stopwatch } from '../core/ports.ts'
import type { Tensor } from '../core/safetensors.ts'
import { Bell, untilAborted } from '../reconstruct/waiting.ts'

export interface WatchedOptions extends CallOptions {
  /** What is taken. */
  readonly span: TokenSpan
  /** Of the model's KV. */
  readonly layers: Span
  readonly stopwatch: Stopwatch
  /** Told what computing took, without waiting for whoever takes. */
  readonly observePrefill: (span: TokenSpan, seconds: number) => void
}

/** See the top of this file. Engines take one call at a time, but for reads while they compute: calls wait for reads. */
export class WatchedContext implements KvContext {
  readonly #context: KvContext
  readonly #options: WatchedOptions
  readonly #waiting: ReadyLayers[] = []
  readonly #bell = new Bell()
  /** All layers of what is before were told of. */
  #toldTokens: number
  #isTaking = false
  /** Null when none is under way; never rejects. */
  #reading: Promise<void> | null = null
  /** A call during which nothing may be read; never rejects. */
  #call: Promise<void> | null = null
  /** What was told of is gone. */
  #isBroken = false
  #isFinished = false

  constructor(context: KvContext, options: WatchedOptions) {
    this.#context = context
    this.#options = options
    this.#toldTokens = options.span.start
  }

  get filledTokens(): number {
    return this.#context.filledTokens
  }

  get residentBytes(): number {
    return this.#context.residentBytes
  }

  write(parts: readonly ContextPart[], options?: CallOptions): Promise<void> {
    return this.#alone(() => this.#context.write(parts, options))
  }

  async prefill(start: number, tokenIds: Uint32Array, options: PrefillOptions = {}): Promise<void> {
    const { stopwatch, observePrefill } = this.#options
    const span = { start, end: start + tokenIds.length }
    while (this.#reading !== null) await this.#reading
    this.#tellUntil(start)
    const beganSeconds = stopwatch.seconds()
    const onLayers = (ready: ReadyLayers): void => {
      this.#tell(ready)
      options.onLayers?.(ready)
    }
    try {
      await this.#context.prefill(start, tokenIds, { ...options, onLayers })
    } catch (error) {
      this.#isBroken = true
      throw error
    }
    observePrefill(span, stopwatch.seconds() - beganSeconds)
    this.#toldTokens = Math.max(this.#toldTokens, span.end)
  }

  logits(): Float32Array {
    return this.#context.logits()
  }

  read(span: TokenSpan, options?: ReadOptions): Promise<readonly ContextPart[]> {
    return this.#alone(() => this.#context.read(span, options))
  }

  /** While something is read it cuts nothing: only a fill that failed cuts then, and its context is thrown away. */
  truncate(tokens: number): void {
    if (this.#reading === null) this.#context.truncate(tokens)
    else this.#isBroken = true
  }

  close(): Promise<void> {
    return this.#context.close()
  }

  /** The span is filled: ends when all of it was taken. Throws ABORTED. */
  async finish(): Promise<void> {
    this.#tellUntil(this.#options.span.end)
    this.#isFinished = true
    this.#bell.ring()
    while (this.#waiting.length > 0 || this.#isTaking) await untilAborted(this.#bell.rung, this.#options.signal)
  }

  /** The tensors of something that `ready` gave. One call at a time. Throws ABORTED, and COMPUTE_FAILED when the fill failed. */
  async take({ layers, span }: ReadyLayers): Promise<readonly Tensor[]> {
    const { signal } = this.#options
    while (this.#call !== null) await this.#call
    if (signal?.aborted === true) throw abortedError(signal)
    if (this.#isBroken) throw new MembraneError('COMPUTE_FAILED', 'The prefill failed, and what it had made is gone.')
    const read = this.#context.read(span, { layers, signal })
    const ended = read.then(ignore, ignore)
    this.#reading = ended
    void ended.then(() => {
      if (this.#reading === ended) this.#reading = null
    })
    const [part] = await read
    assert(part !== undefined, 'a filled span has KV')
    return part.tensors
  }

  /** Layers of a stretch of the span that have become ready, to be read at once; ends after `finish`. Iterate once. */
  async *ready(): AsyncGenerator<ReadyLayers> {
    for (;;) {
      const next = this.#waiting.shift()
      if (next !== undefined) {
        this.#isTaking = true
        yield next
        this.#isTaking = false
        this.#bell.ring()
      } else if (this.#isFinished) return
      else await untilAborted(this.#bell.rung, this.#options.signal)
    }
  }

  #tellUntil(tokens: number): void {
    const { layers } = this.#options
    this.#tell({ layers, span: { start: this.#toldTokens, end: tokens } })
    this.#toldTokens = Math.max(this.#toldTokens, tokens)
  }

  #tell({ layers, span }: ReadyLayers): void {
    const wanted = this.#options.span
    const start = Math.max(span.start, this.#toldTokens)
    const end = Math.min(span.end, wanted.end)
    if (start >= end) return
    this.#waiting.push({ layers, span: { start, end } })
    this.#bell.ring()
  }

  /** Between the last look and the call nobody else has a turn. */
  async #alone<T>(call: () => Promise<T>): Promise<T> {
    while (this.#reading !== null) await this.#reading
    const result = call()
    const ended = result.then(ignore, ignore)
    this.#call = ended
    void ended.then(() => {
      if (this.#call === ended) this.#call = null
    })
    return result
  }
}

function ignore(): void {}
