/** What a node says of itself, once for all doors: who may observe sees all of it, anybody else its own tenant's part. */
import type { TenantId } from '../core/ids.ts'
import type { CacheBreakdown } from '../indices/statistics.ts'
import type { Quota } from '../store/bounded-owner.ts'
import { type Caller, isAllowed } from './caller.ts'
import type { ClusterNode, ClusterStatus } from './cluster-node.ts'
import type { Engine } from './compute-operations.ts'
import type { Fabric, FabricStats } from './fabric.ts'
import type { Gate } from './gate.ts'
import type { NodeStats } from './node-options.ts'
import { NodeLoad, type ProcessLoad } from './node-load.ts'
import type { RequestMeters } from './request-meters.ts'
import type { TenantQuotas } from './tenant-quotas.ts'

/** Numbers of one tenant. */
export interface TenantNumbers {
  readonly tenant: string
  readonly fragments: number
  readonly payloadBytes: number
  readonly quota: Quota | null
  /** Null where nothing was looked up yet. */
  readonly cache: CacheBreakdown | null
}

/** Numbers of the whole node. */
export interface NodeNumbers {
  readonly fabric: FabricStats
  /** Null without an engine. */
  readonly node: NodeStats | null
  readonly load: ProcessLoad
  readonly meters: RequestMeters
  /** Null for a node that is alone by its configuration. */
  readonly cluster: ClusterStatus | null
}

/** One look at the node. */
export interface Observation {
  readonly tenants: readonly TenantNumbers[]
  /** Null for those who may not observe. */
  readonly whole: NodeNumbers | null
}

/** What others ask to know whether a node is well. */
export interface Heartbeat {
  readonly node: string
  /** Its memory is what the payloads of the caller's tenant take; that of the process for those who may observe. */
  readonly load: ProcessLoad
  /** Of the caller's tenant; of all tenants for those who may observe. */
  readonly fragments: number
  /** Those of them that this node has as replicas; 0 for those who may not observe. */
  readonly replicas: number
  readonly isTakingRequests: boolean
}

interface ObserveOperationsParts {
  readonly fabric: Fabric
  readonly engine: Engine
  readonly gate: Gate
  readonly quotas: TenantQuotas
  readonly meters: RequestMeters
  readonly node: string
  /** Null or missing for a node that is alone by its configuration. */
  readonly cluster?: ClusterNode | null
}

/** See the top of this file. */
export class ObserveOperations {
  readonly #parts: ObserveOperationsParts
  readonly #load = new NodeLoad()

  constructor(parts: ObserveOperationsParts) {
    this.#parts = parts
  }

  /** How this node is called among others. */
  get node(): string {
    return this.#parts.node
  }

  heartbeat(caller: Caller): Heartbeat {
    const { fabric, gate, node } = this.#parts
    const observes = this.#enter(caller)
    const { entries, payloadBytes } = fabric.of(caller.tenant).usage
    const load = this.#load.load()
    const state = { node, isTakingRequests: !gate.isDraining }
    const replicas = this.#parts.cluster?.replicas ?? 0
    if (observes) return { ...state, load, fragments: fabric.stats().fragments, replicas }
    // What the process takes would tell what other tenants do.
    return { ...state, load: { ...load, memoryBytes: payloadBytes }, fragments: entries, replicas: 0 }
  }

  numbers(caller: Caller): Observation {
    return this.numbersOf(this.viewOf(caller))
  }

  /** What a caller may see: its tenant's numbers, or, as null, those of all. Throws FORBIDDEN and RATE_LIMITED. */
  viewOf(caller: Caller): TenantId | null {
    return this.#enter(caller) ? null : caller.tenant
  }

  /** For those whom `viewOf` has let in. */
  numbersOf(view: TenantId | null): Observation {
    const { fabric, engine, meters, cluster = null } = this.#parts
    const stats = fabric.stats()
    const names = view === null ? [...new Set([...Object.keys(stats.owners), ...stats.cache.byTenant.keys()])] : [view]
    const tenants = names.map((tenant) => this.#numbersOf(tenant, stats))
    if (view !== null) return { tenants, whole: null }
    const node = engine.kind === 'node' ? engine.node.stats() : null
    return {
      tenants,
      whole: { fabric: stats, node, load: this.#load.load(), meters, cluster: cluster?.status() ?? null },
    }
  }

  /** Whether the caller sees everything. Throws FORBIDDEN for one that sees nothing. */
  #enter(caller: Caller): boolean {
    const observes = isAllowed(caller, 'observe')
    this.#parts.gate.enter(caller, observes ? 'observe' : 'read')
    return observes
  }

  #numbersOf(tenant: string, { owners, cache }: FabricStats): TenantNumbers {
    const { entries, payloadBytes } = owners[tenant] ?? { entries: 0, payloadBytes: 0 }
    const quota = [...this.#parts.quotas.all].find(([name]) => name === tenant)?.[1] ?? null
    return { tenant, fragments: entries, payloadBytes, quota, cache: cache.byTenant.get(tenant) ?? null }
  }
}
