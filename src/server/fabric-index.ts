/** Keeps the indices in step with the store: told of all that joins and leaves it, and of what was there at the start. */
import { MembraneError } from '../core/errors.ts'
import { parseTenantId } from '../core/ids.ts'
import type { Clock, ContentHasher, ContentHashers, SnapshotStorage, StoredEntry } from '../core/ports.ts'
import type { SemanticPorts } from '../indices/fragment-indices-options.ts'
import { FragmentIndices } from '../indices/fragment-indices.ts'
import type { IndexedFragment } from '../indices/indexed-fragment.ts'
import type { SessionName } from '../indices/sessions.ts'
import { encodeSnapshot, restoreSnapshot } from '../indices/snapshot.ts'
import { ReusePredictor } from '../indices/reuse-predictor.ts'
import { WorkloadAnalyser } from '../indices/workload.ts'
import type { Tier } from '../indices/tiers.ts'
import { decodeHead, type FragmentHead } from './fragment-head.ts'

export interface FabricIndexOptions {
  readonly node: string
  readonly seed: number
  readonly tier: Tier
  readonly clock: Clock
  readonly semantic: SemanticPorts | null
  readonly hashers: ContentHashers
  readonly snapshot: SnapshotStorage | null
}

export class FabricIndex {
  #indices: FragmentIndices
  readonly #newIndices: () => FragmentIndices
  #hasChanged = false
  readonly tier: Tier
  /** What traffic looks like, and how likely a fragment is wanted again. */
  readonly workload = new WorkloadAnalyser()
  readonly #predictor = new ReusePredictor()
  readonly #clock: Clock
  readonly #hasher: ContentHasher
  readonly #snapshot: SnapshotStorage | null
  readonly #unindexed = new Set<string>()
  /** The store asks for traits, then says that the entry has joined: its head is read once for both. */
  readonly #heads = new WeakMap<Uint8Array, FragmentHead>()
  /** Values of one kind that come one after another, as through a cache's door, have equal heads: read once, kept once. */
  #lastDecoded: { readonly bytes: Uint8Array; readonly head: FragmentHead } | null = null
  /** From the snapshot, and not yet seen in the store. */
  #unseen = new Set<string>()

  constructor({ node, seed, tier, clock, semantic, hashers, snapshot }: FabricIndexOptions) {
    this.#newIndices = () => new FragmentIndices({ node, seed, clock, semantic })
    this.#indices = this.#newIndices()
    this.tier = tier
    this.#clock = clock
    this.#hasher = hashers.b3
    this.#snapshot = snapshot
  }

  get indices(): FragmentIndices {
    return this.#indices
  }

  /** Fragments that are in no index, because their head is damaged or an index is full. */
  get unindexed(): number {
    return this.#unindexed.size
  }

  /** Before the store is read: any state of it is taken, and `joined` and `dropUnseen` bring the indices into step. */
  async restore(): Promise<void> {
    const bytes = (await this.#snapshot?.read()) ?? null
    if (bytes === null) return
    try {
      const outcome = restoreSnapshot(this.indices, bytes, { hasher: this.#hasher, stamp: null })
      this.#hasChanged = outcome.kind === 'refused'
    } catch {
      // Whole, and yet not what this version writes. Nothing of it is needed, least of all half of it.
      this.#indices = this.#newIndices()
      this.#hasChanged = true
    }
    this.#unseen = new Set(Array.from(this.indices.fragments(), ({ key }) => key))
  }

  /** After the store was read: what it turned out to lack leaves the indices. */
  dropUnseen(): void {
    for (const key of this.#unseen) this.left(key)
    this.#unseen.clear()
  }

  /** When anything is other than in the snapshot. Best effort: without it, the next start knows less and loses nothing. */
  async save(): Promise<void> {
    if (!this.#hasChanged) return
    await this.#snapshot?.write(encodeSnapshot(this.indices, { hasher: this.#hasher, stamp: '' })).catch(() => {})
  }

  /** See `FragmentIndices.accessed`. */
  accessed(session: SessionName, keys: readonly string[]): void {
    const atMs = this.#clock.nowMs()
    this.#hasChanged = true
    this.indices.accessed(session, keys)
    this.workload.record(keys, atMs)
    for (const key of keys.filter((key) => this.indices.get(key) !== null))
      this.#predictor.used(key, this.indices.sessions.prospect(key), atMs)
  }

  /** Null for bytes that are no head. */
  headOf(bytes: Uint8Array): FragmentHead | null {
    const known = this.#heads.get(bytes) ?? this.#sameAsLast(bytes)
    if (known !== null) return known
    try {
      const head = decodeHead(bytes)
      this.#heads.set(bytes, head)
      this.#lastDecoded = { bytes: bytes.slice(), head }
      return head
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      return null
    }
  }

  #sameAsLast(bytes: Uint8Array): FragmentHead | null {
    const { bytes: lastBytes, head } = this.#lastDecoded ?? { bytes: null, head: null }
    return lastBytes !== null && Buffer.compare(bytes, lastBytes) === 0 ? head : null
  }

  joined({ key, head, contentHash, payloadBytes }: StoredEntry): void {
    const isKnown = this.#unseen.delete(key)
    const described = this.headOf(head)
    if (described === null) {
      this.#leaveOut(key)
      return
    }
    const tenant = parseTenantId(key.slice(0, key.indexOf('/')))
    const { description } = described
    const fragment = { key, tenant, description, contentHash, payloadBytes, tier: this.tier }
    if (isKnown && isSame(this.indices.get(key), fragment)) return
    this.#hasChanged = true
    try {
      this.indices.insert(fragment)
      this.#unindexed.delete(key)
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      this.#leaveOut(key)
    }
  }

  /** After its sessions have changed in what they say of its future. */
  prospectChanged(key: string): void {
    this.#predictor.changed(key, this.indices.sessions.prospect(key), this.#clock.nowMs())
  }

  /** The chance, 0 to 1, that a fragment is used within `horizonMs`; null when nothing is known of it. */
  reuseProbability(key: string, horizonMs: number): number | null {
    return this.#predictor.probability(key, { atMs: this.#clock.nowMs(), horizonMs })
  }

  left(key: string): void {
    this.#predictor.remove(key, this.#clock.nowMs())
    this.#hasChanged = true
    this.indices.remove(key)
    this.#unindexed.delete(key)
  }

  /** Stored and found by its key; only look-ups by blocks, position or text do without it, and `unindexed` says so. */
  #leaveOut(key: string): void {
    this.indices.remove(key)
    this.#unindexed.add(key)
  }
}

function isSame(known: IndexedFragment | null, fragment: IndexedFragment): boolean {
  return known !== null && JSON.stringify(known) === JSON.stringify(fragment)
}
