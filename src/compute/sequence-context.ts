/**
 * The context of an engine that gives and takes a sequence's KV as a whole only. The engine holds positions 0 to
 * `#engineTokens`; rows that were written beyond wait here, in the host's memory, until a prefill needs them, and rows
 * that were asked for stay here until they are replaced.
 */
import { throwIfAborted } from '../core/cancel.ts'
import type { CallOptions, ContextPart, KvContext, PrefillOptions, ReadOptions } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { type KvForm, KvRows } from './kv-rows.ts'
import { partsOfLayers } from './ready-layers.ts'

/** KV of one sequence in an engine. Calls come one at a time. Throws COMPUTE_FAILED. */
export interface EngineSequence {
  /** Positions from 0 on that it holds. */
  readonly tokens: number
  readonly residentBytes: number
  /** Of all positions, for each layer the keys and then the values. */
  save(): Promise<readonly Uint8Array[]>
  /** Replaces everything by the rows of `tokens` positions. */
  load(tokens: number, rows: readonly Uint8Array[]): Promise<void>
  truncate(tokens: number): Promise<void>
  /** Computes the positions that follow, STEP_TOKENS at most; gives the logits of the last when they are wanted. */
  evaluate(tokenIds: Uint32Array, wanted: 'logits' | 'kv'): Promise<Float32Array | null>
  close(): Promise<void>
}

/** Tokens of one step of a prefill, after which it can be cancelled. llama.cpp's own default; more is hardly faster. */
export const STEP_TOKENS = 512

export interface SequenceContextOptions {
  readonly sequence: EngineSequence
  readonly form: KvForm
  readonly contextTokens: number
  readonly vocabularyTokens: number
  /** Called once, when the context is closed. */
  readonly onClose: () => void
}

export class SequenceContext implements KvContext {
  readonly #options: SequenceContextOptions
  readonly #rows: KvRows
  #engineTokens = 0
  #logits: Float32Array | null = null
  /** Resolves when the call that runs has ended; null when none runs. */
  #running: Promise<void> | null = null
  /** Reads wait for it. */
  #prefilling: Promise<void> | null = null
  #isClosed = false

  constructor(options: SequenceContextOptions) {
    this.#options = options
    this.#rows = new KvRows(options.form, options.contextTokens)
  }

  get filledTokens(): number {
    return this.#rows.heldUntil(this.#engineTokens)
  }

  get residentBytes(): number {
    return this.#isClosed ? 0 : this.#options.sequence.residentBytes + this.#rows.residentBytes
  }

  write(parts: readonly ContextPart[], options: CallOptions = {}): Promise<void> {
    return this.#exclusively(options, async () => {
      const { span, tensors } = this.#rows.checkParts(parts)
      await this.#keepFrom(span.start)
      this.#rows.put(
        span,
        tensors.map(({ data }) => data),
      )
    })
  }

  /** Nothing is known of an engine's layers while it computes: what is asked for meanwhile is read when it has ended. */
  async prefill(start: number, tokenIds: Uint32Array, options: PrefillOptions = {}): Promise<void> {
    this.#prefilling = this.#prefill(start, tokenIds, options)
    await this.#prefilling
    const { layers } = this.#options.form.part
    options.onLayers?.({ layers, span: { start, end: start + tokenIds.length } })
  }

  #prefill(start: number, tokenIds: Uint32Array, options: CallOptions): Promise<void> {
    return this.#exclusively(options, async () => {
      this.#checkPrefill(start, tokenIds)
      await this.#keepFrom(start)
      await this.#fillEngine(start)
      const logits = await this.#evaluate(tokenIds, options)
      this.#engineTokens = start + tokenIds.length
      assert(this.#options.sequence.tokens === this.#engineTokens, 'the engine has kept every token')
      this.#rows.truncate(start)
      this.#logits = logits
    })
  }

  logits(): Float32Array {
    if (this.#logits === null)
      throw new MembraneError('INVALID_REQUEST', 'Logits are there after a prefill; found none.')
    return this.#logits
  }

  async read(span: TokenSpan, options: ReadOptions = {}): Promise<readonly ContextPart[]> {
    await this.#prefilling?.catch(() => null)
    return await this.#exclusively(options, async () => {
      const { start, end } = span
      if (!Number.isInteger(start) || start < 0 || end <= start || end > this.#filledUntil(start))
        throw new MembraneError('INVALID_REQUEST', `A filled span was expected; found [${start}, ${end}).`)
      if (this.#rows.heldUntil(start) < end) await this.#copyFromEngine()
      return partsOfLayers([this.#rows.read(span)], options.layers)
    })
  }

  truncate(tokens: number): void {
    assert(this.#running === null, 'calls on a context come one at a time')
    assert(Number.isInteger(tokens) && tokens >= 0, 'a context keeps a whole number of tokens')
    this.#rows.truncate(tokens)
    this.#engineTokens = Math.min(this.#engineTokens, tokens)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#running
    await this.#options.sequence.close()
    this.#options.onClose()
  }

  #filledUntil(from: number): number {
    return this.#rows.heldUntil(Math.max(from, this.#engineTokens))
  }

  #checkPrefill(start: number, tokenIds: Uint32Array): void {
    const { contextTokens, vocabularyTokens } = this.#options
    if (tokenIds.length === 0)
      throw new MembraneError('INVALID_REQUEST', 'A prefill takes at least one token; found none.')
    // Before the gap: a position that can never be computed is out of the context, whatever is filled.
    if (start + tokenIds.length > contextTokens)
      throw new MembraneError(
        'OUT_OF_DOMAIN',
        `The context has ${contextTokens} tokens; found ${start + tokenIds.length}.`,
      )
    if (!Number.isInteger(start) || start < 0 || start > this.filledTokens)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The first ${this.filledTokens} tokens are filled; found start ${start}.`,
      )
    const unknown = tokenIds.find((id) => id >= vocabularyTokens)
    if (unknown !== undefined)
      throw new MembraneError('INVALID_REQUEST', `A token id is below ${vocabularyTokens}; found ${unknown}.`)
  }

  /** From `tokens` on, the engine's rows are about to change: what is only there comes here, so that nothing is lost. */
  async #keepFrom(tokens: number): Promise<void> {
    if (this.#engineTokens <= tokens) return
    if (this.#rows.heldUntil(tokens) < this.#engineTokens) await this.#copyFromEngine()
    this.#engineTokens = tokens
  }

  async #copyFromEngine(): Promise<void> {
    const { sequence } = this.#options
    const tokens = this.#engineTokens
    const held = sequence.tokens
    assert(held >= tokens, 'the engine has the positions that were computed')
    const rows = await sequence.save()
    this.#rows.put(
      { start: 0, end: tokens },
      rows.map((data) => data.subarray(0, (data.length / held) * tokens)),
    )
  }

  /** Makes the engine hold the first `tokens` positions and no others. */
  async #fillEngine(tokens: number): Promise<void> {
    const { sequence, form } = this.#options
    if (this.#engineTokens < tokens) {
      if (this.#rows.heldUntil(0) < tokens) await this.#copyFromEngine()
      const rows = form.rowShapes.map((_, index) => this.#rows.view(index, { start: 0, end: tokens }))
      this.#engineTokens = 0
      await sequence.load(tokens, rows)
      this.#engineTokens = tokens
    }
    if (sequence.tokens > tokens) await sequence.truncate(tokens)
    assert(sequence.tokens === tokens, 'the engine has the positions before the prefill, and no others')
  }

  async #evaluate(tokenIds: Uint32Array, { signal }: CallOptions): Promise<Float32Array> {
    let logits: Float32Array | null = null
    for (let from = 0; from < tokenIds.length; from += STEP_TOKENS) {
      throwIfAborted(signal)
      const end = from + STEP_TOKENS
      const wanted = end >= tokenIds.length ? 'logits' : 'kv'
      logits = await this.#options.sequence.evaluate(tokenIds.subarray(from, end), wanted)
    }
    throwIfAborted(signal)
    assert(logits !== null, 'the engine gives the logits of the last token')
    return logits
  }

  async #exclusively<T>({ signal }: CallOptions, call: () => Promise<T>): Promise<T> {
    throwIfAborted(signal)
    if (this.#isClosed) throw new MembraneError('INVALID_REQUEST', 'The context has been closed.')
    assert(this.#running === null, 'calls on a context come one at a time')
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#running = promise
    try {
      return await call()
    } finally {
      this.#running = null
      resolve()
    }
  }
}
