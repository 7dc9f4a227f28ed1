/**
 * Who is in the cluster: one port, two engines (gossip between the nodes, or leases in a Redis), one contract
 * (`test/contracts/membership.ts`).
 */
import type { Member, MemberFacts, MemberState } from './member.ts'

/** What became different about a node; `before` is null for one that was not known. */
export interface MemberChange {
  readonly before: MemberState | null
  readonly member: Member
}

/** What a node may say anew of itself. */
export type SelfReport = Partial<Pick<MemberFacts, 'roles' | 'isDraining' | 'telemetry' | 'capacityBytes'>>

/** What was counted since the start. */
export interface MembershipStats {
  /** Messages sent, and their bytes. */
  readonly messages: number
  readonly bytes: number
  /** Nodes that were suspected, and those of them that turned out to live. */
  readonly suspected: number
  readonly refuted: number
  readonly removed: number
}

/** See the top of this file. */
export interface Membership {
  /** This node: always `alive`, until it leaves. */
  readonly self: Member
  /** All that are known, this node among them: also, for a while, those that are gone or have left. In order of their names. */
  members(): readonly Member[]
  member(node: string): Member | null
  /** Told after each change of a state, and of facts that decide placement (address, roles, draining, incarnation). What it gives ends it. */
  watch(watcher: (change: MemberChange) => void): () => void
  /** Others learn it within a second or two. */
  report(report: SelfReport): void
  /** Says goodbye: others need not find out. Then closes. */
  leave(): Promise<void>
  /** Falls silent, as a crash would; leaves nothing running. A second call changes nothing. */
  close(): Promise<void>
  stats(): MembershipStats
}
