/** Room for what is computed in between: the rows of one call, and the keys and values that they look at. */
import { MembraneError } from '../core/errors.ts'
import { SCRATCH_BYTES, writeScratch } from './kernel-layout.ts'
import type { KernelMemory } from './kernel-memory.ts'
import type { LlamaConfig } from './llama-config.ts'
import { roundUp } from './panels.ts'

/** Rows of one call: a multiple of the kernel's 6 and 24. More would leave the second cache; an abort waits for so many. */
export const ROWS_MAX = 96
/** As in `kernel/assembly/attention.ts`. */
const ATTENTION_ROWS = 24

export class LlamaScratch {
  /** Where the description for the kernel lies, and the tokens. */
  readonly address: number
  readonly tokens: number
  readonly #config: LlamaConfig
  readonly #memory: KernelMemory
  readonly #threads: number
  readonly #rows: Readonly<
    Record<'residual' | 'normed' | 'qkv' | 'attended' | 'gateUp' | 'hidden' | 'rotations', number>
  >
  /** Of the positions that calls look at; grows with the largest context. */
  #capacity = 0
  #keyPanels = 0
  #valuePanels = 0
  #scores = 0

  constructor(config: LlamaConfig, memory: KernelMemory, threads: number) {
    const { dim, ffnDim, heads, kvHeads, headDim } = config
    this.#config = config
    this.#memory = memory
    this.#threads = threads
    this.address = this.#allocate(SCRATCH_BYTES / 4)
    this.tokens = this.#allocate(ROWS_MAX)
    this.#rows = {
      residual: this.#allocate(ROWS_MAX * roundUp(dim)),
      normed: this.#allocate(ROWS_MAX * roundUp(dim)),
      qkv: this.#allocate(ROWS_MAX * (heads + 2 * kvHeads) * headDim),
      attended: this.#allocate(ROWS_MAX * heads * headDim),
      gateUp: this.#allocate(ROWS_MAX * 2 * roundUp(ffnDim)),
      hidden: this.#allocate(ROWS_MAX * roundUp(ffnDim)),
      rotations: this.#allocate(ROWS_MAX * 2 * headDim),
    }
  }

  setTokens(tokenIds: Uint32Array): void {
    this.#memory.words(this.tokens, tokenIds.length).set(tokenIds)
  }

  /** Room for contexts of so many positions. No call is under way. Throws COMPUTE_FULL, and changes nothing. */
  reserve(capacity: number): void {
    if (capacity <= this.#capacity) return
    const { kvHeads, headDim } = this.#config
    const panels = kvHeads * headDim * roundUp(capacity)
    const scores = (ATTENTION_ROWS + 1) * (roundUp(capacity) + 16)
    const all = this.#allocate(2 * panels + this.#threads * scores)
    if (this.#capacity > 0) this.#memory.release(this.#keyPanels)
    this.#keyPanels = all
    this.#valuePanels = all + panels * 4
    this.#scores = this.#valuePanels + panels * 4
    this.#capacity = capacity
    writeScratch(this.#memory, this.address, {
      ...this.#rows,
      keyPanels: this.#keyPanels,
      valuePanels: this.#valuePanels,
      scores: this.#scores,
      scoresBytes: scores * 4,
    })
  }

  #allocate(numbers: number): number {
    const at = this.#memory.allocate(numbers * 4)
    if (at !== null) return at
    throw new MembraneError('COMPUTE_FULL', `The engine has no ${numbers * 4} bytes left to work with.`, {
      remedy: 'Open shorter contexts, or allow the engine more memory.',
    })
  }
}
