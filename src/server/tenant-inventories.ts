/**
 * What each tenant holds, summed up for comparisons with other nodes: made when it is first asked for, from a listing, and
 * kept in step from then on. Few tenants sync at a time, so those that asked longest ago are let go.
 */
import type { ContentHash, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { Inventory, type InventoryEntry, type InventoryOptions } from '../transfer/inventory.ts'
import type { Fabric } from './fabric.ts'

/** See the top of this file. */
export class TenantInventories {
  readonly #fabric: Pick<Fabric, 'of' | 'watch'>
  readonly #optionsOf: (tenant: TenantId) => InventoryOptions
  /** The last to be asked for comes last. */
  readonly #kept = new Map<string, KeptInventory>()
  readonly #unwatch: () => void

  constructor(fabric: Pick<Fabric, 'of' | 'watch'>, optionsOf: (tenant: TenantId) => InventoryOptions) {
    this.#fabric = fabric
    this.#optionsOf = optionsOf
    this.#unwatch = fabric.watch({
      joined: ({ key, contentHash, payloadBytes }) => {
        const { tenant, own } = splitKey(key)
        this.#kept.get(tenant)?.set({ key: own, contentHash, payloadBytes })
      },
      left: (key) => {
        const { tenant, own } = splitKey(key)
        this.#kept.get(tenant)?.drop(own)
      },
    })
  }

  /** How many are kept. */
  get count(): number {
    return this.#kept.size
  }

  /** In step with the fabric until the caller waits for something. Throws LIMIT_REACHED for more than an inventory takes. */
  async of(tenant: TenantId): Promise<Inventory> {
    const kept = this.#kept.get(tenant) ?? new KeptInventory(this.#optionsOf(tenant))
    this.#kept.delete(tenant)
    this.#kept.set(tenant, kept)
    try {
      await kept.fill(() => this.#fabric.of(tenant).list())
    } catch (error) {
      if (this.#kept.get(tenant) === kept) this.#kept.delete(tenant)
      throw error
    }
    this.#makeRoom()
    return kept.inventory
  }

  close(): void {
    this.#unwatch()
    this.#kept.clear()
  }

  #makeRoom(): void {
    let entries = 0
    for (const { inventory } of this.#kept.values()) entries += inventory.count
    for (const [tenant, { inventory }] of this.#kept) {
      const isWithin = this.#kept.size <= LIMITS.transferInventoriesMax && entries <= LIMITS.transferInventoryEntriesMax
      if (isWithin || this.#kept.size === 1) return
      this.#kept.delete(tenant)
      entries -= inventory.count
    }
  }
}

/** An inventory, and what is under each key: whatever leaves is named by its key alone. */
class KeptInventory {
  readonly inventory: Inventory
  readonly #contents = new Map<string, ContentHash>()
  /** Keys that changed while the listing ran: it may say what was before. Null when it has ended. */
  #changed: Set<string> | null = new Set()
  #filling: Promise<void> | null = null
  /** What an inventory does not take: it would say that the tenant lacks it. */
  #failure: { readonly error: unknown } | null = null

  constructor(options: InventoryOptions) {
    this.inventory = new Inventory(options)
  }

  async fill(list: () => AsyncIterable<InventoryEntry>): Promise<void> {
    this.#filling ??= this.#fill(list)
    await this.#filling
    if (this.#failure !== null) throw this.#failure.error
  }

  set(entry: InventoryEntry): void {
    this.#changed?.add(entry.key)
    try {
      this.#put(entry)
    } catch (error) {
      // A put must not fail because somebody once compared inventories; the next comparison says so.
      this.#failure ??= { error }
    }
  }

  drop(key: string): void {
    this.#changed?.add(key)
    const contentHash = this.#contents.get(key)
    if (contentHash === undefined) return
    this.inventory.remove({ key, contentHash })
    this.#contents.delete(key)
  }

  async #fill(list: () => AsyncIterable<InventoryEntry>): Promise<void> {
    for await (const { key, contentHash, payloadBytes } of list())
      if (this.#changed?.has(key) !== true) this.#put({ key, contentHash, payloadBytes })
    this.#changed = null
  }

  #put({ key, contentHash, payloadBytes }: InventoryEntry): void {
    const before = this.#contents.get(key)
    if (before === contentHash) return
    if (before !== undefined) this.inventory.remove({ key, contentHash: before })
    this.inventory.add({ key, contentHash, payloadBytes })
    this.#contents.set(key, contentHash)
  }
}

function splitKey(key: string): { readonly tenant: string; readonly own: string } {
  const slash = key.indexOf('/')
  return { tenant: key.slice(0, slash), own: key.slice(slash + 1) }
}
