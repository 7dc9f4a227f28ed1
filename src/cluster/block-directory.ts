/**
 * Which nodes say that they hold which blocks: one port, two engines (a Redis, or shards at the nodes themselves), one
 * contract (`test/contracts/block-directory.ts`). Soft state: an answer is a proposal, and a node that is asked then
 * may have lost what it was said to hold; nothing that is answered here is ever taken for bytes.
 */
import type { TenantId } from '../core/ids.ts'
import type { CallOptions } from '../core/compute.ts'

/**
 * Names of blocks, 16 bytes each, end to end: the first 16 bytes of a block hash; of a fragment without blocks, the
 * first 16 bytes of BLAKE3 over its key. Chance makes two of 10^12 names equal once in 10^14 clusters, and then costs
 * a retry.
 */
export type BlockNames = Uint8Array
export const BLOCK_NAME_BYTES = 16

/** Where a node keeps what it says that it holds: the fastest of its tiers. */
export const HOLDING_TIERS = ['memory', 'disk', 'remote'] as const
/** One of HOLDING_TIERS. */
export type HoldingTier = (typeof HOLDING_TIERS)[number]

/** What one node says that it holds of the names that were asked for. */
export interface Holding {
  readonly node: string
  /** For each name, in order: 0 not held, otherwise 1 + index in HOLDING_TIERS. */
  readonly tiers: Uint8Array
}

/** What an anti-entropy run found and mended. */
export interface DirectoryRepair {
  /** Names that this node holds. */
  readonly held: number
  /** Entries of this node that were missing, and those that were too many. */
  readonly added: number
  readonly removed: number
}

export interface DirectoryStats {
  /** Entries of this node, as it believes them to be in the directory. */
  readonly own: number
  /** Changes that wait to be sent. */
  readonly waiting: number
  readonly lookups: number
  readonly failures: number
  /** Entries that the directory had no room for. */
  readonly refused: number
}

/** What this node itself holds, for a directory that compares or has to begin anew. */
export interface OwnHoldings {
  /** Every tenant that has anything here. */
  tenants(): Iterable<TenantId>
  /** All names of a tenant, in pieces; what changes meanwhile may be in it or not. */
  names(tenant: TenantId): Iterable<{ readonly names: BlockNames; readonly tier: HoldingTier }>
}

/** See the top of this file. Calls throw PEER_UNAVAILABLE or STORE_UNAVAILABLE (retryable) and ABORTED. */
export interface BlockDirectory {
  /**
   * Who holds any of the names, at most LIMITS.directoryNamesMax of them: this node too, when it said so. Nodes that are
   * not members, or are gone, are not among the answers.
   */
  locate(tenant: TenantId, names: BlockNames, options?: CallOptions): Promise<readonly Holding[]>
  /**
   * This node holds these names from now on, or no more. Sent soon, in batches, in order; beyond
   * LIMITS.directoryChangesWaitingMax changes are dropped and the next repair finds them.
   */
  joined(tenant: TenantId, names: BlockNames, tier: HoldingTier): void
  left(tenant: TenantId, names: BlockNames): void
  /** Ends when all that was said before has been sent. */
  flush(): Promise<void>
  /** Compares digests of what this node holds with what the directory has of it, and mends the differences. */
  repair(options?: CallOptions): Promise<DirectoryRepair>
  stats(): DirectoryStats
  /** Takes this node's entries out, when it leaves for good. */
  withdraw(): Promise<void>
  close(): Promise<void>
}
