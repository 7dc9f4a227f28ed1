/** How, and with what, KV at other positions is reused. */
import type { KvBackend } from '../core/compute.ts'
import type { MovedIndex } from '../indices/moved.ts'
import type { DivergenceSampling } from './moved-divergence.ts'
import { DEFAULT_MOVED_RECOMPUTE, type MovedRecompute } from './moved-span.ts'

/** Which runs are worth moving. */
export interface MovedOptions {
  /** No run is shorter, before it is cut to whole blocks; at least a block. */
  readonly minTokens: number
  readonly recompute: MovedRecompute
}

/** Four blocks: of less, most would be computed anyway. */
export const DEFAULT_MOVED: MovedOptions = { minTokens: 64, recompute: DEFAULT_MOVED_RECOMPUTE }

/** What a node needs to reuse KV at other positions. */
export interface MovedReuse {
  /** Filled by rebuilds. Knows nothing of a start before: whoever keeps the tokens of prompts adds them. */
  readonly index: MovedIndex
  readonly options: MovedOptions
  /** Null: nothing is measured. */
  readonly measure: (DivergenceSampling & { readonly backend: KvBackend }) | null
}
