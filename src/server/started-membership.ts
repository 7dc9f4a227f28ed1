/**
 * A membership that begins when the node's doors are open: whoever is told where a node is must find it there. Until then
 * the node is alone.
 */
import type { Member, MemberFacts } from '../cluster/member.ts'
import type { MemberChange, Membership, MembershipStats, SelfReport } from '../cluster/membership.ts'

const NOTHING_YET: MembershipStats = { messages: 0, bytes: 0, suspected: 0, refuted: 0, removed: 0 }

/** See the top of this file. */
export class StartedMembership implements Membership {
  readonly #alone: Member
  readonly #watchers = new Set<(change: MemberChange) => void>()
  #engine: Membership | null = null
  #isClosed = false

  constructor(facts: MemberFacts, nowMs: number) {
    this.#alone = { ...facts, state: 'alive', sinceMs: nowMs }
  }

  /** From now on it is what `engine` says. */
  begin(engine: Membership): void {
    this.#engine = engine
    engine.watch((change) => {
      for (const watcher of this.#watchers) watcher(change)
    })
    for (const member of engine.members())
      if (member.node !== engine.self.node) for (const watcher of this.#watchers) watcher({ before: null, member })
  }

  get self(): Member {
    return this.#engine?.self ?? this.#alone
  }

  members(): readonly Member[] {
    return this.#engine?.members() ?? [this.#alone]
  }

  member(node: string): Member | null {
    if (this.#engine !== null) return this.#engine.member(node)
    return node === this.#alone.node ? this.#alone : null
  }

  watch(watcher: (change: MemberChange) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  report(report: SelfReport): void {
    this.#engine?.report(report)
  }

  async leave(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#engine?.leave()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#engine?.close()
  }

  stats(): MembershipStats {
    return this.#engine?.stats() ?? NOTHING_YET
  }
}
