/**
 * KV of a simulated model in memory. The row of a token is made from the digest of all rows before it and the token, so
 * its bytes depend on every token before, and one wrong byte anywhere makes all that is computed behind it wrong, as in
 * a real model. Digests are those of the bytes that lie in memory, whoever put them there.
 */
import { assert } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { layerTensorName } from '../core/fragment-tensors.ts'
import type { Tensor } from '../core/safetensors.ts'
import { absorb, digestWords, fillWords, type Pair } from './simulated-mix.ts'
import type { SimulatedModel } from './simulated-model.ts'

/** The keys, or the values, of one layer: [heads, capacity, words of a row]. */
interface Plane {
  readonly name: string
  readonly words: Uint32Array
}

export class SimulatedRows {
  readonly #model: SimulatedModel
  readonly #capacity: number
  readonly #rowWords: number
  readonly #planes: readonly Plane[]
  /** A pair for each token: of its own row. */
  readonly #rows: Uint32Array
  /** A pair for each token: of all rows before it. As far as #chained. */
  readonly #chain: Uint32Array
  #chained = 0
  readonly #seed = new Uint32Array(2)

  constructor(model: SimulatedModel, capacity: number) {
    this.#model = model
    this.#capacity = capacity
    this.#rowWords = rowWordsOf(model)
    const length = model.kvHeads * capacity * this.#rowWords
    this.#planes = model.attentionLayers.flatMap((layer) =>
      (['k', 'v'] as const).map((part) => ({ name: layerTensorName(layer, part), words: new Uint32Array(length) })),
    )
    this.#rows = new Uint32Array(2 * capacity)
    this.#chain = new Uint32Array(2 * (capacity + 1))
    // The beginning of every chain is the model's own.
    const { fingerprint } = model.model
    this.#chain[0] = Number.parseInt(fingerprint.slice(0, 8), 16)
    this.#chain[1] = Number.parseInt(fingerprint.slice(8, 16), 16)
  }

  /** The digest of all rows before a token; those rows are filled. */
  digestBefore(token: number): Pair {
    for (; this.#chained < token; this.#chained += 1) {
      const at = 2 * this.#chained
      this.#chain[at + 2] = this.#chain[at] ?? 0
      this.#chain[at + 3] = this.#chain[at + 1] ?? 0
      absorb(this.#chain, at + 2, this.#rows[at] ?? 0)
      absorb(this.#chain, at + 2, this.#rows[at + 1] ?? 0)
    }
    return { pairs: this.#chain, at: 2 * token }
  }

  /** Makes the row of one token from a seed. */
  fill(token: number, seed: Pair): void {
    const digest = this.#startRow(token)
    const own = { pairs: this.#seed, at: 0 }
    for (const [plane, { words }] of this.#planes.entries()) {
      for (let head = 0; head < this.#model.kvHeads; head++) {
        own.pairs[0] = seed.pairs[seed.at] ?? 0
        own.pairs[1] = seed.pairs[seed.at + 1] ?? 0
        absorb(own.pairs, 0, plane * this.#model.kvHeads + head)
        const start = (head * this.#capacity + token) * this.#rowWords
        fillWords({ words, start, count: this.#rowWords }, own, this.#model.form, digest)
      }
    }
  }

  /** The tensors are those of the model, for this span. Done when it ends; yields the bytes of one step after the other. */
  *write(span: TokenSpan, tensors: readonly Tensor[]): Generator<number> {
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor.data]))
    const runBytes = (span.end - span.start) * this.#rowWords * 4
    for (let token = span.start; token < span.end; token++) this.#startRow(token)
    for (const { name, words } of this.#planes) {
      const data = byName.get(name)
      assert(data !== undefined, 'every plane has its tensor')
      const bytes = new Uint8Array(words.buffer)
      for (let head = 0; head < this.#model.kvHeads; head++) {
        const start = (head * this.#capacity + span.start) * this.#rowWords
        bytes.set(data.subarray(head * runBytes, (head + 1) * runBytes), 4 * start)
        this.#digest(span, words, start)
        yield runBytes
      }
    }
  }

  /** Copies, of all planes or those that are named so. */
  read(span: TokenSpan, isWanted: (name: string) => boolean = () => true): readonly Tensor[] {
    const { kvHeads, headDim, dtype } = this.#model
    const tokens = span.end - span.start
    const runWords = tokens * this.#rowWords
    const planes = this.#planes.filter(({ name }) => isWanted(name))
    return planes.map(({ name, words }) => {
      const copy = new Uint32Array(kvHeads * runWords)
      for (let head = 0; head < kvHeads; head++) {
        const start = (head * this.#capacity + span.start) * this.#rowWords
        copy.set(words.subarray(start, start + runWords), head * runWords)
      }
      return { name, dtype, shape: [kvHeads, tokens, headDim], data: new Uint8Array(copy.buffer) }
    })
  }

  /** Takes one head's numbers into the digests of their rows, in the order in which `fill` makes them. */
  #digest(span: TokenSpan, words: Uint32Array, start: number): void {
    const count = this.#rowWords
    for (let token = span.start; token < span.end; token++)
      digestWords({ words, start: start + (token - span.start) * count, count }, { pairs: this.#rows, at: 2 * token })
  }

  #startRow(token: number): Pair {
    this.#chained = Math.min(this.#chained, token)
    this.#rows[2 * token] = 0
    this.#rows[2 * token + 1] = 0
    return { pairs: this.#rows, at: 2 * token }
  }
}

function rowWordsOf({ model, attentionLayers, kvHeads }: SimulatedModel): number {
  const [kv] = model.parts
  return (kv?.bytes ?? 0) / (4 * 2 * attentionLayers.length * kvHeads)
}
