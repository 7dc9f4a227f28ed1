/** What administrators do with tenants and the store, once for all doors. Every action is written to the audit log, also one that failed. */
import { MembraneError } from '../core/errors.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import type { Quota } from '../store/bounded-owner.ts'
import type { TenantUsage } from '../store/tenants.ts'
import type { AuditAction, AuditLog } from './audit.ts'
import type { Caller, Permission } from './caller.ts'
import type { Elsewhere } from './cluster-elsewhere.ts'
import type { Engine } from './compute-operations.ts'
import type { Fabric } from './fabric.ts'
import type { Gate } from './gate.ts'
import type { TenantFabric } from './tenant-fabric.ts'
import type { TenantQuotas } from './tenant-quotas.ts'

/** Writes down what administrators do: the beginning before it is done, and how it ended. */
export type AdminAudit = Pick<AuditLog, 'around'>

/** What a tenant holds, and may hold. */
export interface TenantReport {
  readonly tenant: TenantId
  readonly usage: TenantUsage
  /** Null for none of its own: the bound of the node counts. */
  readonly quota: Quota | null
}

/** What reading everything has found. */
export interface NodeScrubReport {
  readonly entries: number
  readonly payloadBytes: number
  /** Fragments that were damaged, or had lost their bytes: they are gone. */
  readonly damaged: number
  readonly isComplete: boolean
}

export interface AdminOperationsParts {
  readonly fabric: Fabric
  /** Whose memory a tenant that is erased leaves, too. */
  readonly engine: Engine
  readonly gate: Gate
  readonly audit: AdminAudit
  readonly quotas: TenantQuotas
  /** Reads everything that the store holds and compares it with its hashes; null where the store cannot. */
  readonly scrub: ((signal: AbortSignal) => Promise<NodeScrubReport>) | null
  /** Other nodes of a cluster; null or missing where this node is alone. */
  readonly elsewhere?: Pick<Elsewhere, 'erase'> | null
}

/** Who asked for it, and with which request. */
export interface AdminCall {
  readonly caller: Caller
  readonly requestId: string
}

/** See the top of this file. */
export class AdminOperations {
  readonly #parts: AdminOperationsParts

  constructor(parts: AdminOperationsParts) {
    this.#parts = parts
  }

  /** Every tenant that holds something or has a quota, by name. */
  tenants(caller: Caller): readonly TenantReport[] {
    const { fabric, gate, quotas } = this.#parts
    gate.enter(caller, 'observe')
    const names = new Set([...Object.keys(fabric.stats().owners), ...quotas.all.keys()])
    return [...names].toSorted().map((name) => this.#reportOf(parseTenantId(name)))
  }

  /** Of one tenant: its own, or any for those who may observe. */
  usage(caller: Caller, tenant: TenantId = caller.tenant): TenantReport {
    this.#parts.gate.enter(caller, tenant === caller.tenant && caller.role !== 'monitor' ? 'read' : 'observe')
    return this.#reportOf(tenant)
  }

  setQuota(call: AdminCall, tenant: TenantId, quota: Quota): Promise<TenantReport> {
    return this.#audited(call, 'tenant.quota.set', tenant, async () => {
      await this.#parts.quotas.set(tenant, quota)
      return this.#reportOf(tenant)
    })
  }

  /** Throws NOT_FOUND for a tenant without one. */
  removeQuota(call: AdminCall, tenant: TenantId): Promise<void> {
    return this.#audited(call, 'tenant.quota.remove', tenant, async () => {
      if (await this.#parts.quotas.remove(tenant)) return
      throw new MembraneError('NOT_FOUND', `${tenant} has no quota of its own.`)
    })
  }

  /**
   * Removes all fragments of a tenant, and its contexts from the engine, so that no byte that only it had is left in the
   * store, here and at all nodes of the cluster; how many fragments there were. Throws PEER_UNAVAILABLE, when all else is
   * done, for nodes that did not answer.
   */
  erase(call: AdminCall, tenant: TenantId): Promise<number> {
    return this.#audited(call, 'tenant.erase', tenant, () => this.#everywhere(tenant, null))
  }

  /** What another node of the cluster asks for, which has asked who wants it. */
  async eraseHere(tenant: TenantId, prefix: string | null): Promise<number> {
    const { engine, fabric } = this.#parts
    if (prefix !== null) return removeAll(fabric.of(tenant), prefix)
    // First: what leaves the engine's memory would be stored.
    if (engine.kind === 'node') await engine.node.forget(tenant)
    return fabric.erase(tenant)
  }

  /** Ends when no byte of what was removed before is left in the store's own files. */
  purge(call: AdminCall): Promise<void> {
    return this.#audited(call, 'store.purge', '*', () => this.#parts.fabric.purge())
  }

  /** Reads all and compares it with its hashes. Throws NOT_SUPPORTED where the store cannot. */
  scrub(call: AdminCall, signal: AbortSignal): Promise<NodeScrubReport> {
    return this.#audited(call, 'store.scrub', '*', async () => {
      const { scrub } = this.#parts
      if (scrub !== null) return scrub(signal)
      throw new MembraneError('NOT_SUPPORTED', 'The store of this node has no files to look through.')
    })
  }

  /** Removes the caller's own fragments whose keys begin so, which a writer may; how many there were. */
  flush(call: AdminCall, prefix: string): Promise<number> {
    const { tenant } = call.caller
    return this.#audited(call, 'tenant.flush', tenant, () => this.#everywhere(tenant, prefix), 'write')
  }

  /** Here first: what is left here would be copied again. */
  async #everywhere(tenant: TenantId, prefix: string | null): Promise<number> {
    const erased = await this.eraseHere(tenant, prefix)
    return erased + ((await this.#parts.elsewhere?.erase(tenant, prefix)) ?? 0)
  }

  /** One who may not is written down too. */
  #audited<T>(
    call: AdminCall,
    action: AuditAction,
    target: string,
    act: () => Promise<T>,
    permission: Permission = 'administer',
  ): Promise<T> {
    const { gate, audit } = this.#parts
    return audit.around({ ...call, action, target }, async () => {
      gate.enter(call.caller, permission)
      return act()
    })
  }

  #reportOf(tenant: TenantId): TenantReport {
    const { fabric, quotas } = this.#parts
    return { tenant, usage: fabric.of(tenant).usage, quota: quotas.quotaOf(tenant) }
  }
}

/** Removed together: a listing goes on while they are. */
const REMOVED_AT_ONCE = 1000

async function removeAll(own: TenantFabric, prefix: string): Promise<number> {
  let removed = 0
  let some: string[] = []
  for await (const key of own.keys(prefix)) {
    some.push(key)
    if (some.length < REMOVED_AT_ONCE) continue
    removed += await own.remove(some)
    some = []
  }
  return some.length === 0 ? removed : removed + (await own.remove(some))
}
