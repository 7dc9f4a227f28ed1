/**
 * What a node has heard of others, in the order of SWIM: of two statements about a node the one with the greater
 * incarnation holds; of equal ones `suspect` holds against `alive`, and `gone` or `left` against both. Only the node itself
 * raises its incarnation, so only it can deny what is said of it.
 */
import type { Clock } from '../core/ports.ts'
import { LIMITS } from '../core/limits.ts'
import type { Member, MemberFacts, MemberState, SeenMember } from './member.ts'
import type { MemberChange } from './membership.ts'

const RANK: Readonly<Record<MemberState, number>> = { alive: 0, suspect: 1, gone: 2, left: 2 }

export interface MemberTableOptions {
  readonly clock: Clock
  readonly keptSeconds: number
  /** After each change that others should hear of. */
  readonly changed: (node: string) => void
}

/** All but this node. See the top of this file. */
export class MemberTable {
  readonly #members = new Map<string, Member>()
  readonly #options: MemberTableOptions
  readonly #watchers = new Set<(change: MemberChange) => void>()

  constructor(options: MemberTableOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#members.size
  }

  get(node: string): Member | null {
    return this.#members.get(node) ?? null
  }

  all(): readonly Member[] {
    return [...this.#members.values()]
  }

  /** Those that may answer. */
  living(): readonly Member[] {
    return this.all().filter(({ state }) => state === 'alive' || state === 'suspect')
  }

  watch(watcher: (change: MemberChange) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /** Takes what was said, if it is news; a node that is not known and is gone is none. */
  merge(seen: SeenMember): void {
    const known = this.#members.get(seen.node)
    if (known === undefined) {
      if (RANK[seen.state] < 2 && this.#hasRoom()) this.#set(undefined, seen, seen.state)
      return
    }
    const isNewer = seen.incarnation > known.incarnation
    const isLater = seen.incarnation === known.incarnation && seen.sequence > known.sequence
    const holds = isNewer || (seen.incarnation === known.incarnation && RANK[seen.state] > RANK[known.state])
    if (!holds && !isLater) return
    this.#set(known, isNewer || isLater ? seen : known, holds ? seen.state : known.state)
  }

  /** What this node itself found: of the incarnation that it knows. */
  mark(node: string, state: Exclude<MemberState, 'alive'>): void {
    const known = this.#members.get(node)
    if (known !== undefined) this.merge({ ...known, state })
  }

  /** Those that have been gone for long are not spoken of any more. */
  forgetOld(): void {
    const beforeMs = this.#options.clock.nowMs() - 1000 * this.#options.keptSeconds
    for (const { node, state, sinceMs } of this.all())
      if (RANK[state] === 2 && sinceMs < beforeMs) this.#members.delete(node)
  }

  #set(known: Member | undefined, facts: MemberFacts, state: MemberState): void {
    const before = known?.state ?? null
    const sinceMs = known !== undefined && known.state === state ? known.sinceMs : this.#options.clock.nowMs()
    const member: Member = { ...facts, state, sinceMs }
    this.#members.set(facts.node, member)
    this.#options.changed(facts.node)
    if (before === state && known !== undefined && isPlacedAlike(known, member)) return
    for (const watcher of this.#watchers) watcher({ before, member })
  }

  /** One that is gone makes room for one that lives. */
  #hasRoom(): boolean {
    if (this.#members.size + 1 < LIMITS.clusterMembersMax) return true
    const gone = this.all().find(({ state }) => RANK[state] === 2)
    if (gone !== undefined) this.#members.delete(gone.node)
    return gone !== undefined
  }
}

function isPlacedAlike(a: MemberFacts, b: MemberFacts): boolean {
  return (
    a.incarnation === b.incarnation &&
    a.address === b.address &&
    a.datacentre === b.datacentre &&
    a.isDraining === b.isDraining &&
    a.capacityBytes === b.capacityBytes &&
    a.roles.join(' ') === b.roles.join(' ')
  )
}
