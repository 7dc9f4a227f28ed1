/** What the indices of a node are made from. */
import type { Clock, Embedder, VectorIndexFactory } from '../core/ports.ts'
import type { LayersOf } from './exact-fragments.ts'
import type { GraphOptions } from './graph-options.ts'
import type { SessionsOptions } from './sessions.ts'
import type { StatisticsRecorder } from './statistics.ts'

/** How the indices of a node are made. */
export interface FragmentIndicesOptions {
  /** How this node is called in `longestPrefix`. */
  readonly node: string
  /** For the decay of co-access. */
  readonly clock: Clock
  /** Against hashes that were chosen to slow look-ups down: any whole number of 32 bits, best a random one. */
  readonly seed: number
  /** Number of layers of a model, or null. By default no model's is known: a fragment from layer 0 on has them all. */
  readonly layersOf?: LayersOf
  /** How texts are compared; null, the default, for no semantic index. */
  readonly semantic?: SemanticPorts | null
  readonly graph?: Partial<Omit<GraphOptions, 'keysMax'>>
  readonly sessions?: SessionsOptions
  /** Counts the look-ups; by default one of its own. */
  readonly statistics?: StatisticsRecorder
}

/** What the semantic index stands on. */
export interface SemanticPorts {
  readonly embedder: Embedder
  readonly vectors: VectorIndexFactory
}
