/** A node among others: what it knows of them, what it does for them, and how it comes and goes. */
import { MembraneError } from '../core/errors.ts'
import type { FragmentDirectory, PeerFetch, RemotePrefill } from '../core/ports.ts'
import type { BlockDirectory } from '../cluster/block-directory.ts'
import type { Member, Telemetry } from '../cluster/member.ts'
import type { PeerHandlers } from '../cluster/peer-calls.ts'
import type { Replication } from '../cluster/replication.ts'
import type { MeasuredRates } from '../policy/measured-rates.ts'
import type { Engine } from './compute-operations.ts'
import type { EraseHere } from './cluster-forget.ts'
import type { Elsewhere, ElsewhereStats } from './cluster-elsewhere.ts'
import type { PromptObserver } from './node-options.ts'
import type { ClusterPrefillStats } from './remote-prefill.ts'
import type { StartedMembership } from './started-membership.ts'

/** How the cluster is, in plain values. */
export interface ClusterStatus {
  readonly cluster: string
  readonly engine: ClusterEngine
  readonly self: string
  readonly members: readonly MemberStatus[]
  readonly membership: Readonly<Record<string, number>>
  readonly directory: Readonly<Record<string, number>>
  readonly replication: Readonly<Record<string, number | null>>
  readonly reads: Readonly<Record<string, number>>
  /** What other nodes were asked to compute. */
  readonly prefill: Readonly<Record<string, number>>
  readonly routing: unknown
  readonly notes: readonly string[]
}

/** A member, flat. */
export type MemberStatus = Omit<Member, 'telemetry' | 'format' | 'sequence'> & Telemetry

/** How nodes find each other. */
export type ClusterEngine = 'gossip' | 'redis'

/** What routes prompts between datacentres; state is plain data. */
export interface Routing {
  state(): unknown
}

/** What a node computes with, once it is open. */
export interface Computing {
  readonly engine: Engine
  /** Null without an engine. */
  readonly rates: MeasuredRates | null
}

export interface ClusterNodeParts {
  readonly cluster: string
  readonly engine: ClusterEngine
  readonly membership: StartedMembership
  readonly handlers: PeerHandlers
  readonly directory: BlockDirectory
  readonly find: FragmentDirectory
  readonly fetch: PeerFetch
  readonly remotePrefill: RemotePrefill & { stats(): ClusterPrefillStats }
  readonly observer: PromptObserver
  readonly elsewhere: Elsewhere & { readonly stats: ElsewhereStats }
  readonly replication: Replication
  readonly routing: Routing
  /** What does not work as it should, in sentences. */
  readonly notes: () => readonly string[]
  readonly eraseWith: (erase: EraseHere) => void
  /** Begins: joins through the seeds, at this address. */
  readonly begin: (address: string, computing: Computing) => Promise<void>
  readonly join: (address: string) => Promise<void>
  /** Frees what the parts hold, the last opened first. */
  readonly close: () => Promise<void>
}

/** See the top of this file. */
export class ClusterNode {
  readonly #parts: ClusterNodeParts
  #state: 'new' | 'member' | 'left' | 'closed' = 'new'

  constructor(parts: ClusterNodeParts) {
    this.#parts = parts
  }

  get membership(): StartedMembership {
    return this.#parts.membership
  }

  get handlers(): PeerHandlers {
    return this.#parts.handlers
  }

  get elsewhere(): Elsewhere {
    return this.#parts.elsewhere
  }

  /** What an engine's node rebuilds with. */
  get ports(): {
    readonly directory: FragmentDirectory
    readonly peers: PeerFetch
    readonly remotePrefill: RemotePrefill
    readonly observer: PromptObserver
  } {
    const { find, fetch, remotePrefill, observer } = this.#parts
    return { directory: find, peers: fetch, remotePrefill, observer }
  }

  /** Fragments that this node has taken over from others. */
  get replicas(): number {
    return this.#parts.replication.stats().replicas
  }

  /** How this node erases what another one asks it to. */
  eraseWith(erase: EraseHere): void {
    this.#parts.eraseWith(erase)
  }

  /** Once, when the doors are open. */
  async begin(address: string, computing: Computing): Promise<void> {
    await this.#parts.begin(address, computing)
    this.#state = 'member'
  }

  join(address: string): Promise<void> {
    if (this.#state !== 'member') throw new MembraneError('DRAINING', 'This node is not in a cluster now.')
    return this.#parts.join(address)
  }

  /**
   * Moves what only this node has, as far as `drainSeconds` go, and says goodbye. How many fragments stayed behind. A
   * second call changes nothing.
   */
  async leave(drainSeconds = 0): Promise<number> {
    if (this.#state !== 'member') return 0
    this.#state = 'left'
    const { membership, replication, directory } = this.#parts
    membership.report({ isDraining: true })
    const left = drainSeconds > 0 ? await replication.drain(drainSeconds) : 0
    await directory.flush().catch(ignoreUnreachable)
    await membership.leave()
    return left
  }

  status(): ClusterStatus {
    const { cluster, engine, membership, directory, replication, elsewhere, routing, remotePrefill, notes } =
      this.#parts
    return {
      cluster,
      engine,
      self: membership.self.node,
      members: membership.members().map(statusOf),
      membership: { ...membership.stats() },
      directory: { ...directory.stats() },
      replication: { ...replication.stats() },
      reads: { ...elsewhere.stats },
      routing: routing.state(),
      prefill: { ...remotePrefill.stats() },
      notes: notes(),
    }
  }

  /** Leaves without moving anything, if it has not left, and frees everything. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    await this.#parts.close()
  }
}

function statusOf({ telemetry, format: _format, sequence: _sequence, ...facts }: Member): MemberStatus {
  return { ...facts, ...telemetry }
}

function ignoreUnreachable(error: unknown): void {
  if (!(error instanceof MembraneError)) throw error
}
