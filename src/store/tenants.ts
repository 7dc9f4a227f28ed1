/**
 * One store, many tenants: each sees its own keys and nothing else. A tenant comes from a credential, never from what a
 * caller sends; equal bytes of two tenants are kept once below, and neither can tell.
 */
import { MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'
import type {
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  StoredEntry,
  StoredFragment,
  StoredStream,
  StreamOptions,
  StoreStats,
} from '../core/ports.ts'
import { checkKey } from './arguments.ts'
import type { BoundedStore } from './bounded.ts'

export interface TenantUsage {
  readonly entries: number
  /** Each entry in full, whether its bytes are shared or not: what others have must not show. */
  readonly payloadBytes: number
}

/** Someone else's entry, made one's own. */
export interface SharedEntry {
  /** Its key with the tenant that shares it. */
  readonly key: string
  /** Its key with the tenant that receives it: chains with a salt give the same prompt other hashes. */
  readonly as: string
  /** The head that it gets there. */
  readonly head: Uint8Array
}

/** Views of one bounded store, a tenant each. */
export class Tenants {
  readonly #store: BoundedStore

  constructor(store: BoundedStore) {
    this.#store = store
  }

  /** The tenant's own store. Closing it closes this view only. */
  of(tenant: TenantId): FragmentStore {
    return new TenantView(this.#store, tenant, () => this.usage(tenant))
  }

  usage(tenant: TenantId): TenantUsage {
    return this.#store.usageOf(tenant)
  }

  /**
   * Gives `to` references of its own to entries of `from`, which count as its own from then on: they stay when `from`
   * removes its. The only way in which anything passes between tenants. Returns how many were there to give; the first
   * that is missing ends it, because what follows in a chain is of no use without. What `to` has under a key stays as it is:
   * a gift that nobody asked for must not replace it.
   */
  async share(from: TenantId, to: TenantId, entries: readonly SharedEntry[]): Promise<number> {
    const source = this.of(from)
    const target = this.of(to)
    let shared = 0
    for (const { key, as, head } of entries) {
      const found = await source.get(key)
      if (found === null) return shared
      if ((await target.has([as]))[0] === true) {
        shared += 1
        continue
      }
      const { contentHash, payloadBytes, payload, expiresAtMs } = found
      const outcome = await target.put({ key: as, head, contentHash, payloadBytes, payload, expiresAtMs })
      if (outcome === 'refused') return shared
      shared += 1
    }
    return shared
  }

  /** Removes all that the tenant has. Afterwards no byte that only it had is left in the store's files; how many entries there were. */
  async erase(tenant: TenantId): Promise<number> {
    const keys: string[] = []
    for await (const { key } of this.#store.list(`${tenant}/`)) keys.push(key)
    const removed = await this.#store.remove(keys)
    await this.#store.purge()
    return removed
  }
}

class TenantView implements FragmentStore {
  readonly #store: FragmentStore
  readonly #prefix: string
  readonly #usage: () => TenantUsage
  #isClosed = false

  constructor(store: FragmentStore, tenant: TenantId, usage: () => TenantUsage) {
    this.#store = store
    this.#prefix = `${tenant}/`
    this.#usage = usage
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    return this.#open().put({ ...fragment, key: this.#keyOf(fragment.key) })
  }

  async get(key: string, options?: GetOptions): Promise<StoredFragment | null> {
    return this.#own(await this.#open().get(this.#keyOf(key), options))
  }

  async stream(key: string, options?: StreamOptions): Promise<StoredStream | null> {
    return this.#own(await this.#open().stream(this.#keyOf(key), options))
  }

  async head(key: string): Promise<StoredEntry | null> {
    return this.#own(await this.#open().head(this.#keyOf(key)))
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#open().has(keys.map(this.#keyOf))
  }

  async remove(keys: readonly string[]): Promise<number> {
    return this.#open().remove(keys.map(this.#keyOf))
  }

  async *list(prefix = ''): AsyncIterable<StoredEntry> {
    for await (const entry of this.#open().list(this.#prefix + prefix))
      yield { ...entry, key: entry.key.slice(this.#prefix.length) }
  }

  /** Damaged entries are counted for the whole store only. */
  stats(): StoreStats {
    return { ...this.#usage(), corruptEntries: 0 }
  }

  async sync(): Promise<void> {
    await this.#open().sync()
  }

  /** Of all tenants: bytes that nobody has any more belong to nobody. */
  async purge(): Promise<void> {
    await this.#open().purge()
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  readonly #keyOf = (key: string): string => {
    checkKey(key)
    return this.#prefix + key
  }

  #open(): FragmentStore {
    if (this.#isClosed) throw new MembraneError('STORE_CLOSED', `The store of ${this.#prefix} has been closed.`)
    return this.#store
  }

  #own<T extends StoredEntry>(entry: T | null): T | null {
    return entry === null ? null : { ...entry, key: entry.key.slice(this.#prefix.length) }
  }
}
