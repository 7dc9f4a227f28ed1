/**
 * The memory of a node, put together: a store of bytes, wrapped to verify, keep once, stay within bounds and separate
 * tenants, and the indices over it. What joins and leaves the bounded store joins and leaves the indices in the same
 * step, so no index names what the store lacks.
 */
import { DEFAULT_TENANT, type ContentHashAlgorithm, parseTenantId, type TenantId } from '../core/ids.ts'
import type {
  Clock,
  ContentHasher,
  ContentHashers,
  FragmentStore,
  Quarantine,
  SnapshotStorage,
  StoredEntry,
} from '../core/ports.ts'
import { LIMITS } from '../core/limits.ts'
import type { SemanticPorts } from '../indices/fragment-indices-options.ts'
import type { FragmentIndices } from '../indices/fragment-indices.ts'
import type { CacheStatistics } from '../indices/statistics.ts'
import type { WorkloadAnalysis } from '../indices/workload.ts'
import type { Tier } from '../indices/tiers.ts'
import { DEFAULT_EVICTION_POLICY, type EvictionPolicyName } from '../policy/evict-policies.ts'
import type { Quota } from '../store/bounded-owner.ts'
import { type BoundedOptions, type BoundedStats, type BoundedStore, openBoundedStore } from '../store/bounded.ts'
import { type CanonicalRecovery, type CanonicalStore, openCanonicalStore } from '../store/canonical.ts'
import { type HotStats, HotStore } from '../store/hot.ts'
import { Tenants } from '../store/tenants.ts'
import { VerifiedStore } from '../store/verified.ts'
import { FabricIndex } from './fabric-index.ts'
import { type PrefillDensity, traitsOfHead } from './fragment-head.ts'
import { TenantFabric } from './tenant-fabric.ts'

/** What a fabric is made of, its bounds and its policies. */
export interface FabricOptions {
  /** Where bytes rest; the fabric closes it. */
  readonly store: FragmentStore
  readonly tier: Tier
  readonly hashers: ContentHashers
  /** Names the bytes of what is put. */
  readonly contentHash: ContentHashAlgorithm
  readonly clock: Clock
  /** Null drops damaged bytes. */
  readonly quarantine: Quarantine | null
  /** Bytes and entries of all tenants; equal bytes count once. Infinity is no bound. */
  readonly bound: Quota
  readonly policy: EvictionPolicyName
  /** Milliseconds after which what names no time of its own is gone; null keeps it. */
  readonly ttlMs: number | null
  readonly quotaOf: (tenant: TenantId) => Quota | null
  readonly densityOf: PrefillDensity
  /** How texts are compared; null for no search by meaning. */
  readonly semantic: SemanticPorts | null
  /** How this node is called among others. */
  readonly node: string
  /** Against keys and hashes chosen to slow the indices down: a random whole number of 32 bits. */
  readonly seed: number
  /**
   * Bytes of memory in which what was put or read lately is kept over a slower store, verified when it came in; 0 keeps
   * none. A store that is itself in this process's memory needs none and gets none.
   */
  readonly hotBytesMax: number
  /**
   * Whether bytes that a store keeps in this process's memory (`FragmentStore.isProcessMemory`) are taken as they were
   * verified when they were put. False hashes them on every read, for who does not trust the memory itself. Bytes that
   * come from anywhere else are verified on every read, whatever this says; those of the memory tier when they enter it.
   */
  readonly isMemoryTrusted: boolean
  /** Keeps what the indices have learnt (what is accessed together) over a restart; null forgets it. */
  readonly snapshot: SnapshotStorage | null
}

/** What is not given is so: no bound but that of the indices, nothing expires, one node. */
export const DEFAULT_FABRIC_OPTIONS = {
  tier: 'disk',
  contentHash: 'b3',
  quarantine: null,
  bound: { payloadBytesMax: Infinity, entriesMax: LIMITS.indexFragmentsMax },
  policy: DEFAULT_EVICTION_POLICY,
  ttlMs: null,
  quotaOf: () => null,
  densityOf: () => 1,
  semantic: null,
  hotBytesMax: 0,
  isMemoryTrusted: true,
  snapshot: null,
  node: 'local',
} as const satisfies Partial<FabricOptions>

/** What the fabric holds, who holds how much, what was evicted, expired, refused or damaged. */
export interface FabricStats extends BoundedStats {
  readonly fragments: number
  /** Each fragment in full. */
  readonly payloadBytes: number
  /** Bytes that are kept: equal ones once. */
  readonly contentBytes: number
  readonly corruptEntries: number
  /** Fragments that are found by their key only, because their head is damaged or an index is full. */
  readonly unindexed: number
  readonly recovery: CanonicalRecovery
  /** The memory tier; null without one. */
  readonly hot: HotStats | null
  /** Look-ups that found something or nothing, and tokens saved: by index, tier and tenant. */
  readonly cache: CacheStatistics
}

/** Is told what joins and leaves a fabric, whose heads can be read, by keys with their tenants before the first slash. */
export interface FabricWatcher {
  readonly joined: (entry: Pick<StoredEntry, 'key' | 'contentHash' | 'payloadBytes'>) => void
  readonly left: (key: string) => void
}

/** Reads what the store holds. Throws what opening its wrappers throws. */
export async function openFabric(options: FabricOptions): Promise<Fabric> {
  const { hashers, store, quarantine, contentHash } = options
  const emptyContentHash = hashers[contentHash].hash(new Uint8Array(0))
  const isProcessMemory = store.isProcessMemory === true
  const areReadsVerified = !(isProcessMemory && options.isMemoryTrusted)
  const verified = new VerifiedStore({ store, hashers, quarantine, areReadsVerified })
  const canonical = await openCanonicalStore(verified, { emptyContentHash })
  const { hotBytesMax } = options
  const hot =
    hotBytesMax > 0 && !isProcessMemory
      ? new HotStore(canonical, { bytesMax: hotBytesMax, clock: options.clock })
      : null
  const index = new FabricIndex(options)
  await index.restore()
  const watchers = new Set<FabricWatcher>()
  const { bound, policy, clock, ttlMs, quotaOf, densityOf } = options
  const boundedOptions: BoundedOptions = {
    ...bound,
    policy,
    clock,
    ttlMs,
    traitsOf: ({ key, head }) => {
      const traits = traitsOfHead(index.headOf(head), densityOf)
      // What is used together with others that are here is worth up to twice as much: it comes back when they do.
      return { ...traits, density: traits.density * (1 + Math.min(1, index.indices.coAccessValue(key))) }
    },
    quotaOf: (owner) => quotaOf(parseTenantId(owner)),
    isInnerCertain: isProcessMemory,
    heldBytes: () => canonical.contentBytes,
    joined: (entry) => {
      index.joined(entry)
      if (watchers.size === 0) return
      const isReadable = index.headOf(entry.head) !== null
      for (const { joined, left } of watchers)
        if (isReadable) joined(entry)
        else left(entry.key)
    },
    left: (key) => {
      // Watchers first: the indices still know what it is.
      for (const { left } of watchers) left(key)
      index.left(key)
    },
  }
  const bounded = await openBoundedStore(hot ?? canonical, boundedOptions, canonical.takeRecovered())
  index.dropUnseen()
  return new Fabric({ options, canonical, hot, bounded, index, watchers })
}

interface FabricParts {
  readonly options: FabricOptions
  readonly canonical: CanonicalStore
  readonly hot: HotStore | null
  readonly bounded: BoundedStore
  readonly index: FabricIndex
  readonly watchers: Set<FabricWatcher>
}

/** The memory of a node: see `openFabric`. Closing it closes its store. */
export class Fabric {
  readonly #options: FabricOptions
  readonly #canonical: CanonicalStore
  readonly #hot: HotStore | null
  readonly #bounded: BoundedStore
  readonly #index: FabricIndex
  readonly #tenants: Tenants
  readonly #watchers: Set<FabricWatcher>

  /** Use `openFabric`. */
  constructor({ options, canonical, hot, bounded, index, watchers }: FabricParts) {
    this.#options = options
    this.#canonical = canonical
    this.#hot = hot
    this.#bounded = bounded
    this.#index = index
    this.#tenants = new Tenants(bounded)
    this.#watchers = watchers
  }

  /** From now on; what it gives ends it. */
  watch(watcher: FabricWatcher): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  get indices(): FragmentIndices {
    return this.#index.indices
  }

  get hashers(): ContentHashers {
    return this.#options.hashers
  }

  /** Names the bytes of what is put. */
  get hasher(): ContentHasher {
    return this.#options.hashers[this.#options.contentHash]
  }

  /** What one tenant sees. The tenant comes from a credential. */
  of(tenant: TenantId = DEFAULT_TENANT): TenantFabric {
    return new TenantFabric({
      tenant,
      tenants: this.#tenants,
      bounded: this.#bounded,
      index: this.#index,
      hasher: this.hasher,
      clock: this.#options.clock,
    })
  }

  /** Removes all of a tenant, so that no byte that only it had is left; how many fragments there were. */
  async erase(tenant: TenantId): Promise<number> {
    const erased = await this.#tenants.erase(tenant)
    // Whose the bytes in quarantine were is not known, and the snapshot names keys.
    await this.#options.quarantine?.clear()
    await this.#options.snapshot?.remove()
    return erased
  }

  /** Ends when no byte of what was removed before is left in the store's own files, nor in the quarantine. */
  async purge(): Promise<void> {
    await this.#bounded.purge()
    await this.#options.quarantine?.clear()
    await this.#options.snapshot?.remove()
  }

  /**
   * After the store below has been looked through: forgets every fragment that turned out to lack its bytes, and gives
   * their keys, each with its tenant before the first slash.
   */
  async dropLost(): Promise<readonly string[]> {
    const lost = await this.#canonical.dropDangling()
    await this.#bounded.noticeLost(lost)
    return lost
  }

  /** Rate, reuse, popular fragments and time to the next use over the latest accesses that sessions reported. */
  workload(): WorkloadAnalysis {
    return this.#index.workload.analyze(this.#options.clock.nowMs())
  }

  stats(): FabricStats {
    const { entries, payloadBytes, corruptEntries } = this.#bounded.stats()
    return {
      ...this.#bounded.boundedStats(),
      fragments: entries,
      payloadBytes,
      contentBytes: this.#canonical.contentBytes,
      corruptEntries,
      unindexed: this.#index.unindexed,
      recovery: this.#canonical.recovery,
      hot: this.#hot?.hotStats() ?? null,
      cache: this.#index.indices.statistics.snapshot(),
    }
  }

  async close(): Promise<void> {
    await this.#index.save()
    await this.#bounded.close()
  }
}
