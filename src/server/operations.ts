/**
 * Everything that a node does for others, once: the doors (HTTP, gRPC, RESP, lm://) only translate. Each call takes the
 * `Caller` that a door has found by its credential, checks what it may do, and answers with values or throws
 * `MembraneError`.
 */
import type { ComputeOperations } from './compute-operations.ts'
import type { FragmentOperations } from './fragment-operations.ts'
import type { Gate } from './gate.ts'

/** See the top of this file. */
export interface Operations {
  readonly gate: Gate
  readonly fragments: FragmentOperations
  readonly compute: ComputeOperations
}
