/**
 * The recurrent state of a simulated hybrid model: two numbers of 24 bits that depend on every token before, spread over
 * as many bytes as the model declares. Bytes from outside give those numbers back; when one byte of them is wrong, others.
 */
import { layerTensorName } from '../core/fragment-tensors.ts'
import type { Tensor } from '../core/safetensors.ts'
import { absorb, digestWords, fillWords, type Pair } from './simulated-mix.ts'
import { type SimulatedModel, STATE_FORM } from './simulated-model.ts'

export class SimulatedState {
  readonly #model: SimulatedModel
  /** The state's two numbers, each as the sign and fraction of a float. */
  readonly #core = new Uint32Array(2)
  readonly #words: readonly Uint32Array[]
  /** Whether #words are of #core: they are made when somebody reads them. */
  #isSpread = false

  constructor(model: SimulatedModel) {
    this.#model = model
    this.#words = model.stateLayers.map(() => new Uint32Array(model.stateWords))
    this.reset()
  }

  /** Before the first token. */
  reset(): void {
    this.set({ pairs: new Uint32Array(2), at: 0 })
  }

  /** Takes what a pair of words has of a state. */
  set({ pairs, at }: Pair): void {
    this.#core[0] = ((pairs[at] ?? 0) & STATE_FORM.keep) | STATE_FORM.set
    this.#core[1] = ((pairs[at + 1] ?? 0) & STATE_FORM.keep) | STATE_FORM.set
    this.#isSpread = false
  }

  /** A view. */
  get core(): Uint32Array {
    return this.#core
  }

  /** The tensors are those of the model. */
  write(tensors: readonly Tensor[]): void {
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor.data]))
    for (const [index, layer] of this.#model.stateLayers.entries()) {
      const words = this.#words[index]
      const data = byName.get(layerTensorName(layer, 'state'))
      if (words !== undefined && data !== undefined) new Uint8Array(words.buffer).set(data)
    }
    const found = digestOf(this.#words)
    const written = this.#words.map((words) => words.slice())
    this.set({ pairs: written[0] ?? this.#core, at: 0 })
    this.#spread()
    const expected = digestOf(this.#words)
    // Zero for bytes that this model made; anything else changes what is computed from here on.
    this.#core[0] = (this.#core[0] ?? 0) ^ ((found[0] ?? 0) ^ (expected[0] ?? 0))
    this.#core[1] = (this.#core[1] ?? 0) ^ ((found[1] ?? 0) ^ (expected[1] ?? 0))
    for (const [index, words] of written.entries()) this.#words[index]?.set(words)
  }

  /** Copies. */
  read(): readonly Tensor[] {
    if (!this.#isSpread) this.#spread()
    return this.#model.stateLayers.flatMap((layer, index) => {
      const words = this.#words[index]
      if (words === undefined) return []
      const data = new Uint8Array(words.slice().buffer)
      return [{ name: layerTensorName(layer, 'state'), dtype: 'F32' as const, shape: [words.length], data }]
    })
  }

  #spread(): void {
    const seed = new Uint32Array(2)
    for (const [layer, words] of this.#words.entries()) {
      seed.set(this.#core)
      absorb(seed, 0, layer)
      const digest = { pairs: new Uint32Array(2), at: 0 }
      fillWords({ words, start: 0, count: words.length }, { pairs: seed, at: 0 }, STATE_FORM, digest)
      if (layer === 0) words.set(this.#core)
    }
    this.#isSpread = true
  }
}

function digestOf(layers: readonly Uint32Array[]): Uint32Array {
  const pairs = new Uint32Array(2)
  for (const words of layers) digestWords({ words, start: 0, count: words.length }, { pairs, at: 0 })
  return pairs
}
