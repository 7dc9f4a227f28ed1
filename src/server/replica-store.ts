/** The fragments of a fabric, as replication sees them. */
import type { CallOptions } from '../core/compute.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { TokenBucket } from '../policy/token-bucket.ts'
import type { OfferedFragment, OwnFragment, ReplicaOutcome, ReplicaStore } from '../cluster/replication.ts'
import type { IndexedFragment } from '../indices/indexed-fragment.ts'
import type { FragmentOutcome } from '../transfer/receive-ports.ts'
import type { ClusterPull } from './cluster-pull.ts'
import type { Fabric } from './fabric.ts'
import { systemStopwatch } from './system-time.ts'

export interface FabricReplicasParts {
  readonly fabric: Fabric
  readonly pull: ClusterPull
  /** What repairs may fetch; null for no bound. */
  readonly repairBytesPerSecond: number | null
}

/** Of repairs: a chunk on each connection. */
const BURST_SECONDS = 0.25
const BURST_BYTES_MIN = 4 * 1024 * 1024

/** See the top of this file. */
export class FabricReplicas implements ReplicaStore {
  readonly #parts: FabricReplicasParts
  readonly #repairs: TokenBucket | null
  /** Of the last blocks of fragments: what continues a fragment goes where that one went. */
  readonly #groups = new Map<string, string>()

  constructor(parts: FabricReplicasParts) {
    this.#parts = parts
    const { repairBytesPerSecond: perSecond } = parts
    const burst = Math.max(BURST_BYTES_MIN, (perSecond ?? 0) * BURST_SECONDS)
    this.#repairs = perSecond === null ? null : new TokenBucket({ perSecond, burst }, systemStopwatch.seconds())
  }

  *list(): Generator<OwnFragment, void> {
    for (const fragment of this.#parts.fabric.indices.fragments()) yield this.#ownOf(fragment)
  }

  get(tenant: TenantId, key: string): OwnFragment | null {
    const fragment = this.#parts.fabric.indices.get(`${tenant}/${key}`)
    return fragment === null ? null : this.#ownOf(fragment)
  }

  watch(watcher: Parameters<ReplicaStore['watch']>[0]): () => void {
    return this.#parts.fabric.watch({
      joined: ({ key }) => {
        const fragment = this.#parts.fabric.indices.get(key)
        if (fragment !== null) watcher.joined(this.#ownOf(fragment))
      },
      left: (key) => {
        const { tenant, own } = splitKey(key)
        watcher.left(tenant, own)
      },
    })
  }

  async pull(
    tenant: TenantId,
    from: { readonly node: string; readonly address: string },
    wanted: readonly OfferedFragment[],
    { isRepair, signal }: CallOptions & { readonly isRepair: boolean },
  ): Promise<readonly ReplicaOutcome[]> {
    const outcomes = await this.#parts.pull.pull(tenant, from, wanted, {
      bucket: isRepair ? this.#repairs : null,
      flow: 'replication',
      ...(signal === undefined ? {} : { signal }),
    })
    return outcomes.map(replicaOutcome)
  }

  async remove(tenant: TenantId, keys: readonly string[]): Promise<void> {
    await this.#parts.fabric.of(tenant).remove(keys)
  }

  #ownOf(fragment: IndexedFragment): OwnFragment {
    const { tenant, contentHash, payloadBytes } = fragment
    const key = fragment.key.slice(tenant.length + 1)
    return { tenant, key, contentHash, payloadBytes, group: this.#groupOf(fragment, key) }
  }

  /** Of a prompt, its first block, as far back as this node has seen it stored; of anything else, its key. */
  #groupOf({ tenant, description: { parent, blocks } }: IndexedFragment, key: string): string {
    const last = blocks.at(-1)
    if (last === undefined) return key
    const known = this.#groups.get(`${tenant}/${last}`)
    if (known !== undefined) return known
    const group = parent === null ? (blocks[0] ?? last) : (this.#groups.get(`${tenant}/${parent}`) ?? parent)
    if (this.#groups.size >= LIMITS.replicaGroupsMax) this.#groups.clear()
    this.#groups.set(`${tenant}/${last}`, group)
    return group
  }
}

function replicaOutcome({ kind }: FragmentOutcome): ReplicaOutcome {
  return kind === 'stored' || kind === 'refused' || kind === 'gone' ? kind : 'failed'
}

function splitKey(key: string): { readonly tenant: TenantId; readonly own: string } {
  const slash = key.indexOf('/')
  return { tenant: parseTenantId(key.slice(0, slash)), own: key.slice(slash + 1) }
}
