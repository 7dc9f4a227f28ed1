/**
 * A context whose KV somebody takes while it is filled: what was there, what is written and what is computed, layer by
 * layer, each once and in order. Nothing is copied before it is taken, so that who takes slowly slows the filling down
 * and fills no memory.
 */
import type { CallOptions, ContextPart, KvContext, PrefillOptions, ReadOptions, ReadyLayers } from '../core/compute.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import { abortedError } from '../core/cancel.ts'
import { assert, MembraneError } from '../core/errors.ts'
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

/** See the top of this file. Reads go on only while a prefill or `finish` does. */
export class WatchedContext implements KvContext {
  readonly #context: KvContext
  readonly #options: WatchedOptions
  readonly #waiting: ReadyLayers[] = []
  readonly #bell = new Bell()
  /** All layers of what is before were told of. */
  #toldTokens: number
  #isTaking = false
  #reading: Promise<unknown> | null = null
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
    return this.#context.write(parts, options)
  }

  /** Ends when all that it has made was taken. */
  async prefill(start: number, tokenIds: Uint32Array, options: PrefillOptions = {}): Promise<void> {
    const { stopwatch, observePrefill } = this.#options
    const span = { start, end: start + tokenIds.length }
    this.#tellUntil(start)
    const beganSeconds = stopwatch.seconds()
    const onLayers = (ready: ReadyLayers): void => {
      this.#tell(ready)
      options.onLayers?.(ready)
    }
    try {
      await this.#context.prefill(start, tokenIds, { ...options, onLayers })
      observePrefill(span, stopwatch.seconds() - beganSeconds)
      this.#toldTokens = Math.max(this.#toldTokens, span.end)
      await this.#taken()
    } catch (error) {
      this.#isBroken = true
      // Engines take one call at a time, and the next one may come as soon as this has ended.
      await this.#reading?.catch(() => null)
      throw error
    }
  }

  logits(): Float32Array {
    return this.#context.logits()
  }

  read(span: TokenSpan, options?: ReadOptions): Promise<readonly ContextPart[]> {
    return this.#context.read(span, options)
  }

  truncate(tokens: number): void {
    this.#context.truncate(tokens)
  }

  close(): Promise<void> {
    return this.#context.close()
  }

  /** The span is filled: ends when all of it was taken. */
  async finish(): Promise<void> {
    this.#tellUntil(this.#options.span.end)
    this.#isFinished = true
    this.#bell.ring()
    await this.#taken()
  }

  /** The tensors of something that `ready` gave. */
  async take({ layers, span }: ReadyLayers): Promise<readonly Tensor[]> {
    const { signal } = this.#options
    if (this.#isBroken)
      throw signal?.aborted === true
        ? abortedError(signal)
        : new MembraneError('COMPUTE_FAILED', 'The prefill failed, and what it had made is gone.')
    const read = this.#context.read(span, { layers, signal })
    this.#reading = read
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

  async #taken(): Promise<void> {
    while (this.#waiting.length > 0 || this.#isTaking) await untilAborted(this.#bell.rung, this.#options.signal)
  }
}
