/**
 * An engine whose KV is a mixture of the tokens and of every byte of KV before them: one wrong bit anywhere shows in all
 * that is computed after it. What it gives are views that the next call spoils.
 */
import type {
  CallOptions,
  ContextPart,
  ContextPartShape,
  KvBackend,
  KvContext,
  KvModel,
} from '../../src/core/compute.ts'
import { MembraneError } from '../../src/core/errors.ts'
import type { TokenSpan } from '../../src/core/fragment.ts'
import { parseModelFingerprint } from '../../src/core/ids.ts'
import type { Tensor } from '../../src/core/safetensors.ts'

const LAYERS = 2
const HEADS = 2
/** Of k and v, all layers and heads. */
const ROW_WORDS = LAYERS * 2 * HEADS
const STATE_WORDS = 2

export interface MixingOptions {
  /** Waits while it computes; at once where null. */
  readonly wait: ((seconds: number, signal: AbortSignal | undefined) => Promise<void>) | null
  readonly secondsAToken: number
  readonly hasState: boolean
  /** Whether computing a span forgets what was written after it. */
  readonly isForgetful: boolean
  /** Hexadecimal digit that its fingerprint is made of. */
  readonly digit?: string
  readonly dtype?: string
}

function mixingModel({ hasState, digit = 'a', dtype = 'U32' }: Partial<MixingOptions>): KvModel {
  const form = {
    layers: { start: 0, end: LAYERS },
    dtype,
    layout: 'heads,tokens,headDim',
    positionEncoding: 'rope:10000',
  }
  const kv: ContextPartShape = { ...form, kind: 'kv', pool: 'kv', bytes: 4 * ROW_WORDS }
  const state: ContextPartShape = {
    ...form,
    kind: 'state',
    pool: 'state',
    layout: 'words',
    positionEncoding: 'none',
    bytes: 4 * STATE_WORDS * LAYERS,
  }
  return {
    name: `mixing-${digit}`,
    fingerprint: parseModelFingerprint(digit.repeat(64)),
    tokenizer: {
      vocabularyTokens: 2 ** 32,
      startTokens: [],
      endTokens: [],
      encode: () => new Uint32Array(0),
      decode: () => '',
      decoder: () => ({ push: () => '', end: () => '' }),
    },
    contextTokensMax: 4096,
    parts: hasState === true ? [kv, state] : [kv],
    isCanonical: true,
    chat: null,
  }
}

export class MixingBackend implements KvBackend {
  readonly kind = 'kv'
  readonly name = 'simulated'
  readonly description = 'mixing'
  readonly isSimulated = true
  readonly model: KvModel
  readonly #options: MixingOptions

  constructor(options: MixingOptions) {
    this.#options = options
    this.model = mixingModel(options)
  }

  async openContext(tokens: number): Promise<MixingContext> {
    return new MixingContext(this.model, this.#options, tokens)
  }

  async close(): Promise<void> {}
}

export class MixingContext implements KvContext {
  readonly #model: KvModel
  readonly #options: MixingOptions
  readonly #rows: Uint32Array
  readonly #isFilled: Uint8Array
  #state = { at: 0, words: new Uint32Array(LAYERS * STATE_WORDS) }
  #logits = new Float32Array(4)
  #given: Uint32Array[] = []
  #isBusy = false
  /** Spans in the order in which they were written and computed. */
  readonly events: string[] = []

  constructor(model: KvModel, options: MixingOptions, tokens: number) {
    this.#model = model
    this.#options = options
    this.#rows = new Uint32Array(tokens * ROW_WORDS)
    this.#isFilled = new Uint8Array(tokens)
  }

  get residentBytes(): number {
    return this.#rows.byteLength
  }

  get filledTokens(): number {
    const first = this.#isFilled.indexOf(0)
    return first < 0 ? this.#isFilled.length : first
  }

  write(parts: readonly ContextPart[], options: CallOptions = {}): Promise<void> {
    return this.#call(options, async () => {
      for (const part of parts) this.#check(part)
      for (const { signature, tensors } of parts) {
        const { tokens, kind } = signature
        this.events.push(`write ${kind} ${tokens.start}-${tokens.end}`)
        if (kind === 'state') this.#state = { at: tokens.end, words: wordsOf(tensors) }
        else {
          for (const tensor of tensors) this.#copyRows(tensor, tokens, false)
          this.#isFilled.fill(1, tokens.start, tokens.end)
        }
      }
    })
  }

  prefill(start: number, tokenIds: Uint32Array, options: CallOptions = {}): Promise<void> {
    return this.#call(options, async () => {
      const { hasState, isForgetful, wait, secondsAToken } = this.#options
      if (start > this.filledTokens || tokenIds.length === 0)
        throw new MembraneError('INVALID_REQUEST', `There are ${this.filledTokens} tokens, not ${start}.`)
      if (hasState && start > 0 && this.#state.at !== start)
        throw new MembraneError('INVALID_REQUEST', `The state stands at ${this.#state.at}, not ${start}.`)
      await wait?.(tokenIds.length * secondsAToken, options.signal)
      if (options.signal?.aborted === true) throw new MembraneError('ABORTED', 'The call was cancelled.')
      this.events.push(`prefill ${start}-${start + tokenIds.length}`)
      let digest = 17
      for (const word of this.#rows.subarray(0, start * ROW_WORDS)) digest = mix(digest, word)
      const state = start === 0 ? new Uint32Array(LAYERS * STATE_WORDS) : this.#state.words
      for (const [index, token] of tokenIds.entries()) {
        const position = start + index
        let seed = mix(mix(digest, token), position)
        if (hasState) for (const word of state) seed = mix(seed, word)
        for (let word = 0; word < ROW_WORDS; word++) {
          const value = mix(seed, word)
          this.#rows[position * ROW_WORDS + word] = value
          digest = mix(digest, value)
        }
        if (hasState) for (const [word, before] of state.entries()) state[word] = mix(mix(before, seed), word)
      }
      const end = start + tokenIds.length
      this.#state = { at: end, words: state }
      this.#isFilled.fill(1, start, end)
      if (isForgetful) this.#isFilled.fill(0, end)
      this.#logits = this.#logits.map((_, index) => mix(digest, index + state.reduce(mix, 0)) / 2 ** 32)
    })
  }

  logits(): Float32Array {
    return this.#logits
  }

  read(span: TokenSpan, options: CallOptions = {}): Promise<readonly ContextPart[]> {
    return this.#call(options, async () => {
      if (this.#isFilled.subarray(span.start, span.end).includes(0))
        throw new MembraneError('INVALID_REQUEST', `Not all of ${span.start} to ${span.end} is there.`)
      return this.#model.parts
        .filter(({ kind }) => kind === 'kv' || this.#state.at === span.end)
        .map((shape): ContextPart => {
          const { kind, pool, layers, dtype, layout, positionEncoding } = shape
          const model = this.#model.fingerprint
          const signature = { model, kind, tokens: span, layers, heads: null, dtype, layout, positionEncoding }
          return { pool, signature, tensors: kind === 'state' ? this.#readState() : this.#readRows(span) }
        })
    })
  }

  truncate(tokens: number): void {
    this.#spoil()
    this.#isFilled.fill(0, tokens)
    if (this.#state.at > tokens) this.#state = { at: 0, words: new Uint32Array(LAYERS * STATE_WORDS) }
  }

  async close(): Promise<void> {}

  /** Everything in it, for comparing. */
  async dump(tokens: number): Promise<string> {
    const parts = await this.read({ start: 0, end: tokens })
    const bytes = parts.flatMap(({ pool, tensors }) => [pool, ...tensors.map(({ data }) => hex(data))])
    return [...bytes, this.filledTokens, this.#logits.join()].join(' ')
  }

  async #call<T>({ signal }: CallOptions, work: () => Promise<T>): Promise<T> {
    if (this.#isBusy) throw new Error('Bug: two calls at once.')
    if (signal?.aborted === true) throw new MembraneError('ABORTED', 'The call was cancelled.')
    this.#spoil()
    this.#isBusy = true
    try {
      return await work()
    } finally {
      this.#isBusy = false
    }
  }

  /** Whoever kept a view sees that it was one. */
  #spoil(): void {
    for (const words of this.#given) words.fill(0xdeadbeef)
    this.#given = []
  }

  #give(words: number): Uint32Array {
    const given = new Uint32Array(words)
    this.#given.push(given)
    return given
  }

  #readState(): readonly Tensor[] {
    return Array.from({ length: LAYERS }, (_, layer): Tensor => {
      const words = this.#give(STATE_WORDS)
      words.set(this.#state.words.subarray(layer * STATE_WORDS, (layer + 1) * STATE_WORDS))
      return { name: `layers.${layer}.state`, dtype: 'U32', shape: [STATE_WORDS], data: bytesOf(words) }
    })
  }

  #readRows(span: TokenSpan): readonly Tensor[] {
    const tokens = span.end - span.start
    return Array.from({ length: LAYERS }, (_, layer) =>
      ['k', 'v'].map((part): Tensor => {
        const data = bytesOf(this.#give(HEADS * tokens))
        const tensor: Tensor = { name: `layers.${layer}.${part}`, dtype: 'U32', shape: [HEADS, tokens, 1], data }
        this.#copyRows(tensor, span, true)
        return tensor
      }),
    ).flat()
  }

  #copyRows({ name, data }: Tensor, { start, end }: TokenSpan, isOut: boolean): void {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    const layer = Number(name.split('.')[1])
    const base = 2 * HEADS * layer + (name.endsWith('v') ? HEADS : 0)
    for (let head = 0; head < HEADS; head++)
      for (let token = start; token < end; token++) {
        const offset = 4 * (head * (end - start) + token - start)
        const index = token * ROW_WORDS + base + head
        if (isOut) view.setUint32(offset, this.#rows[index] ?? 0, true)
        else this.#rows[index] = view.getUint32(offset, true)
      }
  }

  #check({ pool, signature, tensors }: ContextPart): void {
    const shape = this.#model.parts.find((part) => part.pool === pool)
    const tokens = signature.tokens.end - signature.tokens.start
    const expected = shape?.kind === 'state' ? [STATE_WORDS] : [HEADS, tokens, 1]
    const count = shape?.kind === 'state' ? LAYERS : 2 * LAYERS
    const isRight =
      shape !== undefined &&
      signature.model === this.#model.fingerprint &&
      signature.positionEncoding === shape.positionEncoding &&
      signature.tokens.end <= this.#isFilled.length &&
      new Set(tensors.map(({ name }) => name)).size === count &&
      tensors.every((tensor) => tensor.dtype === 'U32' && tensor.shape.join() === expected.join())
    if (!isRight) throw new MembraneError('INVALID_FRAGMENT', `Not a part of this model: ${pool}.`)
  }
}

function mix(a: number, b: number): number {
  let word = Math.imul(a ^ b, 0x9e3779b1) + 0x7f4a7c15
  word = Math.imul(word ^ (word >>> 15), 0x85ebca6b)
  return (word ^ (word >>> 13)) >>> 0
}

function wordsOf(tensors: readonly Tensor[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(LAYERS * STATE_WORDS)
  for (const { name, data } of tensors) {
    const layer = Number(name.split('.')[1])
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    for (let word = 0; word < STATE_WORDS; word++) words[layer * STATE_WORDS + word] = view.getUint32(4 * word, true)
  }
  return words
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
