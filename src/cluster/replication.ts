/** What keeps copies where they should be, and what it needs of the node that it runs in. */
import type { CallOptions } from '../core/compute.ts'
import type { ContentHash, TenantId } from '../core/ids.ts'

/** What keeps replicas where they should be. */
export interface Replication {
  stats(): ReplicationStats
  /** Gives others what only this node has, for `deadlineSeconds` at most; how many fragments only this node has then. */
  drain(deadlineSeconds: number): Promise<number>
  /** A read found that the node lacks the fragment, or has other bytes. */
  noticeMissing(tenant: TenantId, key: string, node: string): void
  /** A removal came while the fragment may be on its way here: it must not come back. */
  forget(tenant: TenantId, key: string | null): void
  close(): Promise<void>
}

export interface ReplicationStats {
  /** Copies that this node asked others to keep, and what became of them. */
  readonly sent: number
  readonly sentBytes: number
  readonly refused: number
  readonly failed: number
  /** Copies that this node took over for others. */
  readonly received: number
  readonly receivedBytes: number
  /** Fragments that this node has as a replica: taken over from another one, which is their origin or has it from there. */
  readonly replicas: number
  /** Fragments that wait to be looked at. */
  readonly waiting: number
  /** Fragments of this node that have fewer copies than they should, as far as it knows, and nowhere to go. */
  readonly short: number
  /** Times that all fragments were looked at. */
  readonly sweeps: number
}

/** A fragment of this node, as replication sees it. */
export interface OwnFragment {
  readonly tenant: TenantId
  readonly key: string
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  /** Fragments of one prompt have one: they are placed together. */
  readonly group: string
}

/** What another node offers. */
export type OfferedFragment = Pick<OwnFragment, 'key' | 'contentHash' | 'payloadBytes'>

/** What became of one that was pulled. `gone`: the sender has it no more. */
export type ReplicaOutcome = 'stored' | 'refused' | 'gone' | 'failed'

/** The fragments of this node. */
export interface ReplicaStore {
  /** All that are here; what changes meanwhile may be in it or not. */
  list(): Iterable<OwnFragment>
  get(tenant: TenantId, key: string): OwnFragment | null
  /** From now on; what it gives ends it. */
  watch(watcher: {
    readonly joined: (fragment: OwnFragment) => void
    readonly left: (tenant: TenantId, key: string) => void
  }): () => void
  /** Takes fragments over, verified; one outcome each, in order. `isRepair`: within the rate that is set for repairs. */
  pull(
    tenant: TenantId,
    from: { readonly node: string; readonly address: string },
    wanted: readonly OfferedFragment[],
    options: CallOptions & { readonly isRepair: boolean },
  ): Promise<readonly ReplicaOutcome[]>
  remove(tenant: TenantId, keys: readonly string[]): Promise<void>
}
