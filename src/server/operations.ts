/**
 * Everything that a node does for others, once: the doors (HTTP, gRPC, RESP, lm://) only translate. Each call takes the
 * `Caller` that a door has found by its credential, checks what it may do, and answers with values or throws
 * `MembraneError`.
 */
import type { Logger } from 'pino'
import type { Clock, Stopwatch } from '../core/ports.ts'
import { AdminOperations, type AdminOperationsParts } from './admin-operations.ts'
import { ComputeOperations, type Engine } from './compute-operations.ts'
import type { ClusterNode } from './cluster-node.ts'
import { ClusterOperations } from './cluster-operations.ts'
import type { PayloadMemory } from '../store/payload-memory.ts'
import type { Fabric } from './fabric.ts'
import { FragmentOperations } from './fragment-operations.ts'
import type { Gate } from './gate.ts'
import { ObserveOperations } from './observe-operations.ts'
import { PullOperations } from './pull-operations.ts'
import { PrefillService } from './prefill-service.ts'
import { RequestMeters } from './request-meters.ts'
import { TransferOperations } from './transfer-operations.ts'

/** See the top of this file. */
export interface Operations {
  readonly gate: Gate
  readonly fragments: FragmentOperations
  readonly compute: ComputeOperations
  readonly admin: AdminOperations
  readonly observe: ObserveOperations
  readonly transfer: TransferOperations
  readonly pulls: PullOperations
  readonly cluster: ClusterOperations
  /** Computes for other nodes. */
  readonly prefill: PrefillService
  /** Doors count here what they answer. */
  readonly meters: RequestMeters
}

/** What a node's operations are put together from. */
export interface OperationsParts extends Pick<AdminOperationsParts, 'audit' | 'quotas' | 'scrub'> {
  readonly fabric: Fabric
  readonly engine: Engine
  readonly gate: Gate
  readonly clock: Clock
  readonly stopwatch: Stopwatch
  /** Milliseconds that look-ups lease what they find when they do not say. */
  readonly leaseMs: number
  /** Of a memory store; null or missing where bytes rest elsewhere. */
  readonly payloadMemory?: PayloadMemory | null
  /** For what goes wrong beside a request, and what callers are not told. */
  readonly log: Pick<Logger, 'warn' | 'error'>
  /** How this node is called among others. */
  readonly node: string
  /** Nodes, as `host:port`, that a request may make this one copy from; none unless given. */
  readonly allowedPeers?: readonly string[]
  /** See `FragmentOperationsParts`. */
  readonly answersBytesMax?: number
  /** For what has come when a copy is cut; null or missing keeps nothing. */
  readonly transfersDirectory?: string | null
  /** Null or missing for a node that is alone. */
  readonly cluster?: ClusterNode | null
}

export function createOperations(parts: OperationsParts): Operations {
  const {
    fabric,
    engine,
    gate,
    clock,
    stopwatch,
    leaseMs,
    audit,
    quotas,
    scrub,
    node,
    log,
    payloadMemory = null,
  } = parts
  const { allowedPeers = [], transfersDirectory: directory = null, cluster = null } = parts
  const elsewhere = cluster?.elsewhere ?? null
  const answers = parts.answersBytesMax === undefined ? {} : { answersBytesMax: parts.answersBytesMax }
  const meters = new RequestMeters()
  const admin = new AdminOperations({ fabric, engine, gate, audit, quotas, scrub, elsewhere })
  cluster?.eraseWith((tenant, prefix) => admin.eraseHere(tenant, prefix))
  return {
    gate,
    fragments: new FragmentOperations({ fabric, gate, clock, leaseMs, payloadMemory, elsewhere, ...answers }),
    compute: new ComputeOperations({ engine, gate, stopwatch }),
    admin,
    observe: new ObserveOperations({ fabric, engine, gate, quotas, meters, node, cluster }),
    transfer: new TransferOperations({ fabric, gate }),
    pulls: new PullOperations({ fabric, gate, audit, clock, allowedPeers, directory, log }),
    cluster: new ClusterOperations({ gate, audit, cluster }),
    prefill: new PrefillService({ engine, gate, blake3: fabric.hashers.b3, stopwatch }),
    meters,
  }
}
