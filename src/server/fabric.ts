/**
 * The memory of a node, put together: a store of bytes, wrapped to verify, keep once, stay within bounds and separate
 * tenants, and the indices over it. What joins and leaves the bounded store joins and leaves the indices in the same
 * step, so no index names what the store lacks.
 */
import { DEFAULT_TENANT, type ContentHashAlgorithm, parseTenantId, type TenantId } from '../core/ids.ts'
import type { Clock, ContentHashers, FragmentStore, Quarantine, StoredEntry } from '../core/ports.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { FragmentIndices, type SemanticPorts } from '../indices/fragment-indices.ts'
import type { Tier } from '../indices/tiers.ts'
import { DEFAULT_EVICTION_POLICY, type EvictionPolicyName } from '../policy/evict-policies.ts'
import type { Quota } from '../store/bounded-owner.ts'
import {
  type BoundedOptions,
  type BoundedStats,
  type BoundedStore,
  type LeaveReason,
  openBoundedStore,
} from '../store/bounded.ts'
import { type CanonicalRecovery, type CanonicalStore, openCanonicalStore } from '../store/canonical.ts'
import { Tenants } from '../store/tenants.ts'
import { VerifiedStore } from '../store/verified.ts'
import { decodeHead, type FragmentHead, type PrefillDensity, traitsOfHead } from './fragment-head.ts'
import { TenantFabric } from './tenant-fabric.ts'

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
}

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
  node: 'local',
} as const satisfies Partial<FabricOptions>

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
}

/** Reads what the store holds. Throws what opening its wrappers throws. */
export async function openFabric(options: FabricOptions): Promise<Fabric> {
  const { hashers, store, quarantine, contentHash } = options
  const emptyContentHash = hashers[contentHash].hash(new Uint8Array(0))
  const verified = new VerifiedStore({ store, hashers, quarantine })
  const canonical = await openCanonicalStore(verified, { emptyContentHash })
  const index = new FabricIndex(options)
  const { bound, policy, clock, ttlMs, quotaOf, densityOf } = options
  const boundedOptions: BoundedOptions = {
    ...bound,
    policy,
    clock,
    ttlMs,
    traitsOf: ({ head }) => traitsOfHead(index.headOf(head), densityOf),
    quotaOf: (owner) => quotaOf(parseTenantId(owner)),
    heldBytes: () => canonical.contentBytes,
    joined: (entry) => index.joined(entry),
    left: (key, reason) => index.left(key, reason),
  }
  const bounded = await openBoundedStore(canonical, boundedOptions, canonical.takeRecovered())
  return new Fabric({ options, canonical, bounded, index })
}

interface FabricParts {
  readonly options: FabricOptions
  readonly canonical: CanonicalStore
  readonly bounded: BoundedStore
  readonly index: FabricIndex
}

export class Fabric {
  readonly #options: FabricOptions
  readonly #canonical: CanonicalStore
  readonly #bounded: BoundedStore
  readonly #index: FabricIndex
  readonly #tenants: Tenants

  /** Use `openFabric`. */
  constructor({ options, canonical, bounded, index }: FabricParts) {
    this.#options = options
    this.#canonical = canonical
    this.#bounded = bounded
    this.#index = index
    this.#tenants = new Tenants(bounded)
  }

  get indices(): FragmentIndices {
    return this.#index.indices
  }

  /** What one tenant sees. The tenant comes from a credential. */
  of(tenant: TenantId = DEFAULT_TENANT): TenantFabric {
    return new TenantFabric({
      tenant,
      tenants: this.#tenants,
      bounded: this.#bounded,
      indices: this.#index.indices,
      hasher: this.#options.hashers[this.#options.contentHash],
      clock: this.#options.clock,
    })
  }

  /** Removes all of a tenant, so that no byte that only it had is left; how many fragments there were. */
  async erase(tenant: TenantId): Promise<number> {
    const erased = await this.#tenants.erase(tenant)
    // Whose damaged bytes these were is not known.
    await this.#options.quarantine?.clear()
    return erased
  }

  /** Ends when no byte of what was removed before is left in the store's own files, nor in the quarantine. */
  async purge(): Promise<void> {
    await this.#bounded.purge()
    await this.#options.quarantine?.clear()
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
    }
  }

  async close(): Promise<void> {
    await this.#bounded.close()
  }
}

/** Keeps the indices in step with the store. */
class FabricIndex {
  readonly indices: FragmentIndices
  readonly #tier: Tier
  readonly #unindexed = new Set<string>()
  /** The store asks for traits, then says that the entry has joined: its head is read once for both. */
  readonly #heads = new WeakMap<Uint8Array, FragmentHead>()

  constructor({ node, seed, tier, clock, semantic }: FabricOptions) {
    this.indices = new FragmentIndices({ node, seed, clock, semantic })
    this.#tier = tier
  }

  /** Null for bytes that are no head. */
  headOf(bytes: Uint8Array): FragmentHead | null {
    const known = this.#heads.get(bytes)
    if (known !== undefined) return known
    try {
      const head = decodeHead(bytes)
      this.#heads.set(bytes, head)
      return head
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      return null
    }
  }

  get unindexed(): number {
    return this.#unindexed.size
  }

  joined({ key, head, contentHash, payloadBytes }: StoredEntry): void {
    const slash = key.indexOf('/')
    try {
      const { description } = this.headOf(head) ?? decodeHead(head)
      const tenant = parseTenantId(key.slice(0, slash))
      this.indices.insert({ key, tenant, description, contentHash, payloadBytes, tier: this.#tier })
      this.#unindexed.delete(key)
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      // Stored and found by its key; only look-ups by blocks, position or text do without it, and `unindexed` says so.
      this.#unindexed.add(key)
    }
  }

  left(key: string, _reason: LeaveReason): void {
    this.indices.remove(key)
    this.#unindexed.delete(key)
  }
}
