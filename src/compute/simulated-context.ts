/** The KV of one token sequence in a simulated engine. */
import { setImmediate } from 'node:timers/promises'
import { throwIfAborted } from '../core/cancel.ts'
import {
  type CallOptions,
  contextBytes,
  type ContextPart,
  type ContextPartShape,
  type KvContext,
  type PrefillOptions,
  type ReadOptions,
} from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import { absorb, mixWord } from './simulated-mix.ts'
import type { SimulatedModel } from './simulated-model.ts'
import { checkParts } from './simulated-parts.ts'
import { isOfLayers, LayerProgress } from './ready-layers.ts'
import { SimulatedRows } from './simulated-rows.ts'
import { SimulatedState } from './simulated-state.ts'
import { FIRST_WORD } from './simulated-tokenizer.ts'

/** Bytes that are made before others get a turn: some milliseconds. */
const BYTES_A_TURN = 4 * 1024 * 1024

/** In how many equal shares the time passes, and who is told when one has. */
export interface SpendOptions extends CallOptions {
  readonly shares: number
  readonly onShare: (share: number) => void
}

/** How the engine's time passes while the KV of a span is computed. */
export type SpendPrefill = (span: TokenSpan, options: SpendOptions) => Promise<void>

export interface SimulatedContextParts {
  readonly model: SimulatedModel
  readonly capacityTokens: number
  readonly spendPrefill: SpendPrefill
  readonly onClose: (context: SimulatedContext) => void
}

export class SimulatedContext implements KvContext {
  readonly residentBytes: number
  readonly #parts: SimulatedContextParts
  readonly #isFilled: Uint8Array
  #filledTokens = 0
  #memory: { readonly rows: SimulatedRows; readonly state: SimulatedState } | null
  /** After how many tokens the state stands; null when it was replaced or forgotten. */
  #stateTokens: number | null = 0
  readonly #logits: Float32Array
  #hasLogits = false
  /** Of the prefill under way. */
  #progress: LayerProgress | null = null

  constructor(parts: SimulatedContextParts) {
    const { model, capacityTokens } = parts
    this.#parts = parts
    this.residentBytes = contextBytes(model.model, capacityTokens)
    this.#isFilled = new Uint8Array(capacityTokens)
    this.#memory = { rows: new SimulatedRows(model, capacityTokens), state: new SimulatedState(model) }
    this.#logits = new Float32Array(model.model.tokenizer.vocabularyTokens)
  }

  get filledTokens(): number {
    return this.#filledTokens
  }

  async write(parts: readonly ContextPart[], { signal }: CallOptions = {}): Promise<void> {
    const { rows, state } = this.#open()
    throwIfAborted(signal)
    const checked = checkParts(this.#parts.model, this.#parts.capacityTokens, parts)
    if (checked.kv !== null) {
      const { span, tensors } = checked.kv
      await inTurns(rows.write(span, tensors))
      this.#isFilled.fill(1, span.start, span.end)
      this.#countFilled()
    }
    if (checked.state !== null) {
      state.write(checked.state)
      this.#stateTokens = checked.end
    }
  }

  async prefill(start: number, tokenIds: Uint32Array, { signal, onLayers }: PrefillOptions = {}): Promise<void> {
    this.#open()
    throwIfAborted(signal)
    this.#checkPrefill(start, tokenIds)
    const span = { start, end: start + tokenIds.length }
    // Rows that replace others must not be there before it is certain that the call is not cancelled.
    const isReplacing = this.#isFilled.includes(1, start) || this.#parts.model.stateLayers.length > 0
    if (onLayers !== undefined && !isReplacing) {
      await inTurns(this.#compute(start, tokenIds))
      try {
        await this.#spendByLayer(span, { signal, onLayers })
        throwIfAborted(signal)
        // In one step: between what is under way and what is there, nobody may read and find neither.
        this.#finish(span)
      } finally {
        this.#progress = null
      }
    } else {
      await this.#parts.spendPrefill(span, { signal, shares: 1, onShare: () => undefined })
      throwIfAborted(signal)
      // From here on nothing is cancelled: rows are replaced, and what was there could not be put back.
      this.truncate(start)
      if (start === 0) this.#open().state.reset()
      await inTurns(this.#compute(start, tokenIds))
      this.#finish(span)
    }
    if (isReplacing) onLayers?.({ layers: this.#layers, span })
  }

  #finish(span: TokenSpan): void {
    this.#isFilled.fill(1, span.start, span.end)
    this.#countFilled()
    this.#stateTokens = span.end
    this.#score()
  }

  /** A layer's rows, which are all there, may be read when its share of the time has passed. */
  async #spendByLayer(span: TokenSpan, { signal, onLayers }: PrefillOptions): Promise<void> {
    const { start, end } = this.#layers
    const progress = new LayerProgress(span.start, this.#layers)
    this.#progress = progress
    const tell = (share: number): void => {
      const ready = { layers: { start: start + share, end: start + share + 1 }, span }
      progress.add(ready)
      onLayers?.(ready)
    }
    await this.#parts.spendPrefill(span, { signal, shares: end - start, onShare: tell })
  }

  get #layers(): Span {
    return this.#parts.model.model.parts[0]?.layers ?? { start: 0, end: 0 }
  }

  logits(): Float32Array {
    this.#open()
    if (!this.#hasLogits) throw new MembraneError('INVALID_REQUEST', 'There are no logits before the first prefill.')
    return this.#logits
  }

  async read(span: TokenSpan, { signal, layers }: ReadOptions = {}): Promise<readonly ContextPart[]> {
    const { rows, state } = this.#open()
    throwIfAborted(signal)
    this.#checkRead(span, layers)
    const [kv, ofState] = this.#parts.model.model.parts
    const parts: ContextPart[] = []
    if (kv !== undefined && layers === undefined) parts.push(this.#part(kv, span, rows.read(span)))
    if (kv !== undefined && layers !== undefined)
      parts.push(
        this.#part(
          { ...kv, layers },
          span,
          rows.read(span, (name) => isOfLayers(name, layers)),
        ),
      )
    if (ofState !== undefined && layers === undefined && span.end === this.#stateTokens)
      parts.push(this.#part(ofState, span, state.read()))
    return parts
  }

  truncate(tokens: number): void {
    this.#open()
    if (!Number.isSafeInteger(tokens) || tokens < 0)
      throw new MembraneError('INVALID_REQUEST', `A context is cut at 0 tokens or more; found ${tokens}.`)
    this.#isFilled.fill(0, tokens)
    this.#filledTokens = Math.min(this.#filledTokens, tokens)
    if (this.#stateTokens !== null && this.#stateTokens > tokens) this.#stateTokens = null
  }

  async close(): Promise<void> {
    if (this.#memory === null) return
    this.#memory = null
    this.#parts.onClose(this)
  }

  *#compute(start: number, tokenIds: Uint32Array): Generator<number> {
    const { rows, state } = this.#open()
    const bytes = contextBytes(this.#parts.model.model, 1)
    const seed = { pairs: new Uint32Array(2), at: 0 }
    for (const [index, tokenId] of tokenIds.entries()) {
      const token = start + index
      this.#summarize(token, seed.pairs)
      absorb(seed.pairs, 0, tokenId)
      absorb(seed.pairs, 0, token)
      rows.fill(token, seed)
      if (this.#parts.model.stateLayers.length > 0) state.set(seed)
      yield bytes
    }
  }

  /** What stands for all rows before a token, and for the state there. */
  #summarize(token: number, summary: Uint32Array): void {
    const { rows, state } = this.#open()
    const before = rows.digestBefore(token)
    summary[0] = before.pairs[before.at] ?? 0
    summary[1] = before.pairs[before.at + 1] ?? 0
    absorb(summary, 0, state.core[0] ?? 0)
    absorb(summary, 0, state.core[1] ?? 0)
  }

  #open(): { readonly rows: SimulatedRows; readonly state: SimulatedState } {
    if (this.#memory === null) throw new MembraneError('INVALID_REQUEST', 'The context has been closed.')
    return this.#memory
  }

  #checkPrefill(start: number, tokenIds: Uint32Array): void {
    const { model, capacityTokens } = this.#parts
    const { vocabularyTokens } = model.model.tokenizer
    if (!Number.isSafeInteger(start) || start < 0 || tokenIds.length === 0)
      throw new MembraneError(
        'INVALID_REQUEST',
        `One token or more are computed, from 0 or later on; found ${tokenIds.length} from ${start}.`,
      )
    if (start + tokenIds.length > capacityTokens)
      throw new MembraneError(
        'OUT_OF_DOMAIN',
        `The context has room for ${capacityTokens} tokens; computing was to end at ${start + tokenIds.length}.`,
      )
    if (start > this.#filledTokens)
      throw new MembraneError(
        'INVALID_REQUEST',
        `To compute from token ${start} on, all before it must be there; there are ${this.#filledTokens}.`,
      )
    if (model.stateLayers.length > 0 && start > 0 && this.#stateTokens !== start)
      throw new MembraneError(
        'INVALID_REQUEST',
        `To compute from token ${start} on, the state must stand there; it stands ${
          this.#stateTokens === null ? 'nowhere' : `at token ${this.#stateTokens}`
        }.`,
        { remedy: 'Write the state that belongs to the KV, or compute from the beginning.' },
      )
    const unknown = tokenIds.findIndex((tokenId) => tokenId >= vocabularyTokens)
    if (unknown >= 0)
      throw new MembraneError(
        'INVALID_REQUEST',
        `A token id is below ${vocabularyTokens}; found ${tokenIds[unknown]} at token ${start + unknown}.`,
      )
  }

  #checkRead({ start, end }: TokenSpan, layers: Span | undefined): void {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end <= start)
      throw new MembraneError('INVALID_REQUEST', `One token or more are read; found tokens ${start} to ${end}.`)
    const { capacityTokens } = this.#parts
    if (end > capacityTokens)
      throw new MembraneError('OUT_OF_DOMAIN', `The context has room for ${capacityTokens} tokens; ${end} were asked.`)
    if (this.#progress?.covers({ start, end }, layers) === true) return
    const missing = this.#isFilled.subarray(start, end).indexOf(0)
    if (missing >= 0)
      throw new MembraneError('INVALID_REQUEST', `Only what is there can be read; token ${start + missing} is not.`)
  }

  #part(shape: ContextPartShape, tokens: TokenSpan, tensors: ContextPart['tensors']): ContextPart {
    const { kind, pool, layers, dtype, layout, positionEncoding } = shape
    const model = this.#parts.model.model.fingerprint
    return { pool, signature: { model, kind, tokens, layers, heads: null, dtype, layout, positionEncoding }, tensors }
  }

  #countFilled(): void {
    while (this.#isFilled[this.#filledTokens] === 1) this.#filledTokens += 1
  }

  /** Words first, all of them likelier than any byte: an answer says in every word that it is simulated. */
  #score(): void {
    const seed = new Uint32Array(2)
    this.#summarize(this.#filledTokens, seed)
    const [first = 0, second = 0] = seed
    for (let tokenId = 0; tokenId < this.#logits.length; tokenId++) {
      const uniform = (mixWord(mixWord(first ^ tokenId) + second) >>> 0) / 2 ** 32
      this.#logits[tokenId] = 8 * uniform - (tokenId < FIRST_WORD ? 40 : 0)
    }
    this.#hasLogits = true
  }
}

/** Does work that yields the bytes of its steps. */
async function inTurns(work: Iterable<number>): Promise<void> {
  let bytesOfTurn = 0
  for (const bytes of work) {
    bytesOfTurn += bytes
    if (bytesOfTurn < BYTES_A_TURN) continue
    bytesOfTurn = 0
    await setImmediate()
  }
}
