/**
 * A directory without a service: each node keeps some of its 256 buckets for all, two nodes each (`shardOwners`). What a
 * node holds it tells the keepers of its names in batches; comparing digests finds what was lost on the way, and what a
 * keeper does not know because it has only just become one. Each datacentre keeps what its own nodes hold; for names that
 * nobody here holds, one node of each other datacentre is asked, which answers for all of it: a supernode where there is one.
 */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, Clock } from '../core/ports.ts'
import {
  BLOCK_NAME_BYTES,
  type BlockDirectory,
  type BlockNames,
  type DirectoryRepair,
  type DirectoryStats,
  type Holding,
  type HoldingTier,
} from './block-directory.ts'
import { type DirectoryChange, DirectoryChanges, joinPieces } from './directory-changes.ts'
import { DirectoryShard } from './directory-shard.ts'
import { type HeldNames, pickNames, tierValue } from './held-names.ts'
import type { Member } from './member.ts'
import type { Membership } from './membership.ts'
import { NameTable } from './name-table.ts'
import { type PeerCalls, type PeerHandlers, type PeerMessage, peerMessage } from './peer-calls.ts'
import { shardOwners } from './shard-owners.ts'
import {
  answerForShard,
  ASK,
  CHANGE,
  decodeDigest,
  decodeHoldings,
  DIGEST,
  encodeHoldings,
  LOCATE,
  REPLACE,
} from './shard-service.ts'

export interface ShardedDirectoryOptions {
  readonly membership: Membership
  readonly calls: PeerCalls
  readonly handlers: PeerHandlers
  /** What this node holds: the truth that repairs go by. */
  readonly own: HeldNames
  readonly alarm: Alarm
  readonly clock: Clock
}

/** Others learn of a change that much later, and one message carries all of that time. */
const FLUSH_SECONDS = 0.02
const REPAIR_SECONDS = 30
/** After nodes came or went, or a message was lost: not at once, because more of it follows as a rule. */
const REPAIR_SOON_SECONDS = 1
/** Of a node that has just come: the other keeper of its buckets is asked too, until it has been told. */
const YOUNG_SECONDS = 10
/** A node that is gone may be back: what it said is kept for so long. */
const GONE_SECONDS = 60
const CALL_SECONDS = 2
/** Names of one message. */
const MESSAGE_NAMES = LIMITS.directoryNamesMax / 2

const EMPTY = new NameTable()

/** What was begun for one keeper. */
interface Lane {
  tail: Promise<void>
  waiting: number
}

/** Of one keeper: some seconds of changes. */
const LANE_WAITING_MAX = 256

/** Nodes of one other datacentre that are asked, one after the other. */
const SPEAKERS_TRIED = 2

/** Who keeps what, as this node sees the cluster now. */
interface Keepers {
  readonly byBucket: readonly (readonly string[])[]
  readonly members: ReadonlyMap<string, Member>
  /** Of each other datacentre those to ask, in order. */
  readonly speakers: readonly (readonly string[])[]
}

/** See the top of this file. */
export class ShardedDirectory implements BlockDirectory {
  readonly #options: ShardedDirectoryOptions
  readonly #shard = new DirectoryShard()
  readonly #changes = new DirectoryChanges()
  /** Tenants of whom anything was said: what is held no more has to be found, too. */
  readonly #told = new Set<TenantId>()
  /** When nodes came, by this node's clock. */
  readonly #cameMs = new Map<string, number>()
  readonly #off: (() => void)[]
  readonly #abort = new AbortController()
  #keepers: Keepers | null = null
  #flushAlarm: (() => void) | null = null
  #repairAlarm: { readonly cancel: () => void; readonly atMs: number } | null = null
  /** To each keeper one message after the other, so that what is said last holds; one that hangs holds up nobody else. */
  readonly #lanes = new Map<string, Lane>()
  #isClosed = false
  readonly #stats = { lookups: 0, failures: 0, refused: 0 }

  constructor(options: ShardedDirectoryOptions) {
    this.#options = options
    const { membership, handlers } = options
    this.#off = [
      answerForShard(handlers, this.#shard),
      handlers.on(ASK, async ({ bytes }, { tenant }) => {
        const found = await this.#locateHere(tenant, checkedNames(bytes), {})
        return encodeHoldings(Array.from(found, ([node, tiers]) => ({ node, tiers })))
      }),
      membership.watch(({ before, member }) => {
        this.#keepers = null
        this.#shard.restarted(member)
        if (member.state === 'alive' && before !== 'suspect') this.#cameMs.set(member.node, this.#nowMs())
        this.#repairIn(REPAIR_SOON_SECONDS)
      }),
    ]
    this.#repairIn(REPAIR_SECONDS)
  }

  async locate(tenant: TenantId, names: BlockNames, options: CallOptions = {}): Promise<readonly Holding[]> {
    checkedNames(names)
    this.#stats.lookups += 1
    const found = await this.#locateHere(tenant, names, options)
    await this.#askElsewhere(tenant, { names, found }, options)
    const { members } = this.#current()
    return [...found].flatMap(([node, tiers]) => (isThere(members.get(node)) ? [{ node, tiers }] : []))
  }

  /** Of this datacentre, by node. */
  async #locateHere(tenant: TenantId, names: BlockNames, options: CallOptions): Promise<Map<string, Uint8Array>> {
    const count = names.length / BLOCK_NAME_BYTES
    const found = new Map<string, Uint8Array>()
    // The first keeper of each name; then, for what failed and for what a young one may not know, the second.
    const { unsure, failures } = await this.#ask(tenant, { names, places: everyPlace(count), rank: 0, found }, options)
    const second = unsure.length === 0 ? null : { names, places: unsure, rank: 1, found }
    const last = second === null ? null : await this.#ask(tenant, second, options)
    this.#stats.failures += failures.length + (last?.failures.length ?? 0)
    const error = failures[0]
    if (error !== undefined && found.size === 0 && last !== null && last.answered === 0) throw error
    return found
  }

  /** Asks each other datacentre for the names that nobody here holds. One that does not answer has nothing. */
  async #askElsewhere(
    tenant: TenantId,
    { names, found }: Pick<Question, 'names' | 'found'>,
    options: CallOptions,
  ): Promise<void> {
    const { speakers } = this.#current()
    const count = names.length / BLOCK_NAME_BYTES
    const here = [...found.values()]
    const places = everyPlace(speakers.length === 0 ? 0 : count).filter((at) => here.every((tiers) => tiers[at] === 0))
    if (places.length === 0) return
    const message = peerMessage(ASK, {}, pickNames(names, places))
    const asked = speakers.map(async (nodes) => {
      for (const node of nodes.slice(0, SPEAKERS_TRIED)) {
        try {
          const answer = await this.#call(node, tenant, message, options)
          for (const holding of decodeHoldings(answer, places.length)) merge(found, holding, { chosen: places, count })
          return
        } catch (error) {
          if (!(error instanceof MembraneError) || options.signal?.aborted === true) throw error
          this.#stats.failures += 1
        }
      }
    })
    await Promise.all(asked)
  }

  joined(tenant: TenantId, names: BlockNames, tier: HoldingTier): void {
    this.#tell(tenant, { value: tierValue(tier), names })
  }

  left(tenant: TenantId, names: BlockNames): void {
    this.#tell(tenant, { value: 0, names })
  }

  flush(): Promise<void> {
    this.#flushAlarm?.()
    this.#flushAlarm = null
    const sent = [...this.#changes.take()].flatMap(([tenant, changes]) => this.#send(tenant, changes))
    return Promise.all(sent).then(() => undefined)
  }

  async repair({ signal }: CallOptions = {}): Promise<DirectoryRepair> {
    await this.flush()
    this.#forget()
    const sum = { held: this.#options.own.size, added: 0, removed: 0 }
    for (const tenant of new Set([...this.#told, ...this.#options.own.tenants()])) {
      if (signal?.aborted === true) throw new MembraneError('ABORTED', 'The repair of the directory was cancelled.')
      const { added, removed } = await this.#repairTenant(tenant)
      sum.added += added
      sum.removed += removed
      if (this.#options.own.table(tenant) === null) this.#told.delete(tenant)
      else this.#told.add(tenant)
    }
    return sum
  }

  stats(): DirectoryStats & { readonly shardEntries: number } {
    return {
      own: this.#options.own.size,
      waiting: this.#changes.waiting,
      lookups: this.#stats.lookups,
      failures: this.#stats.failures,
      refused: this.#stats.refused + this.#shard.refused + this.#changes.dropped,
      shardEntries: this.#shard.entries,
    }
  }

  async withdraw(): Promise<void> {
    for (const tenant of this.#options.own.tenants())
      for (const { names } of this.#options.own.names(tenant)) this.left(tenant, names)
    await this.flush()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#flushAlarm?.()
    this.#repairAlarm?.cancel()
    for (const off of this.#off.splice(0)) off()
    this.#abort.abort()
    await Promise.all(Array.from(this.#lanes.values(), ({ tail }) => tail))
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }

  #current(): Keepers {
    if (this.#keepers === null) {
      const members = new Map(this.#options.membership.members().map((member) => [member.node, member]))
      const there = [...members.values()].filter(isThere)
      const { datacentre } = this.#options.membership.self
      const here = there.filter((member) => member.datacentre === datacentre).map(({ node }) => node)
      this.#keepers = { members, byBucket: shardOwners(here), speakers: speakersOf(there, datacentre) }
    }
    return this.#keepers
  }

  /** Runs after all that was begun for this keeper before; one that has too much waiting is left to the next repair. */
  #inLane(keeper: string, work: () => Promise<void>): Promise<void> {
    const lane = this.#lanes.get(keeper) ?? { tail: Promise.resolve(), waiting: 0 }
    this.#lanes.set(keeper, lane)
    if (lane.waiting >= LANE_WAITING_MAX) {
      this.#failed(new MembraneError('LIMIT_REACHED', `${keeper} does not keep up.`))
      return Promise.resolve()
    }
    lane.waiting += 1
    const done = lane.tail
      .then(work)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        lane.waiting -= 1
        if (lane.waiting === 0) this.#lanes.delete(keeper)
      })
    lane.tail = done
    return done
  }

  #tell(tenant: TenantId, change: DirectoryChange): void {
    if (this.#isClosed || change.names.length === 0) return
    this.#told.add(tenant)
    if (!this.#changes.add(tenant, change)) this.#repairIn(REPAIR_SOON_SECONDS)
    this.#flushAlarm ??= this.#options.alarm.after(FLUSH_SECONDS, () => void this.flush())
  }

  /** To the keepers of each name, some messages each; one that does not come through is left to the next repair. */
  #send(tenant: TenantId, changes: readonly DirectoryChange[]): readonly Promise<void>[] {
    const byKeeper = new Map<string, DirectoryChange[]>()
    const { byBucket } = this.#current()
    for (const { value, names } of changes) {
      const places = new Map<string, number[]>()
      for (let at = 0; at < names.length / BLOCK_NAME_BYTES; at++)
        for (const keeper of byBucket[names[at * BLOCK_NAME_BYTES] ?? 0] ?? []) {
          const known = places.get(keeper)
          if (known === undefined) places.set(keeper, [at])
          else known.push(at)
        }
      for (const [keeper, chosen] of places) {
        const known = byKeeper.get(keeper) ?? []
        byKeeper.set(keeper, known)
        for (let from = 0; from < chosen.length; from += MESSAGE_NAMES)
          known.push({ value, names: pickNames(names, chosen.slice(from, from + MESSAGE_NAMES)) })
      }
    }
    return Array.from(byKeeper, ([keeper, told]) => this.#inLane(keeper, () => this.#sendTo(keeper, tenant, told)))
  }

  async #sendTo(keeper: string, tenant: TenantId, changes: readonly DirectoryChange[]): Promise<void> {
    for (const piece of messagesOf(changes)) {
      const counts = piece.map(({ value, names }) => ({ value, count: names.length / BLOCK_NAME_BYTES }))
      const bytes = joinPieces(piece.map(({ names }) => names))
      await this.#call(keeper, tenant, peerMessage(CHANGE, { ...this.#teller(), changes: counts }, bytes))
    }
  }

  #teller() {
    const { node, startedMs } = this.#options.membership.self
    return { node, startedMs }
  }

  /** What this node keeps itself is answered by the same code, without the network. */
  #call(keeper: string, tenant: TenantId, message: PeerMessage, { signal }: CallOptions = {}): Promise<PeerMessage> {
    const { membership, handlers, calls } = this.#options
    if (keeper === membership.self.node) return handlers.answer(message, { tenant })
    const member = membership.member(keeper)
    if (member === null) throw new MembraneError('PEER_UNAVAILABLE', `${keeper} is not in the cluster any more.`)
    const signals = signal === undefined ? this.#abort.signal : AbortSignal.any([signal, this.#abort.signal])
    return calls.call(member.address, message, { tenant, signal: signals, timeoutSeconds: CALL_SECONDS })
  }

  #failed(error: unknown): void {
    if (!(error instanceof MembraneError)) throw error
    if (this.#isClosed) return
    this.#stats.failures += 1
    this.#repairIn(REPAIR_SOON_SECONDS)
  }

  /** Asks the keepers of this rank; `unsure` are the places for which another keeper should be asked, too. */
  async #ask(tenant: TenantId, { names, places, rank, found }: Question, options: CallOptions): Promise<Answered> {
    const { byBucket } = this.#current()
    const self = this.#options.membership.self.node
    const byKeeper = new Map<string, number[]>()
    for (const at of places) {
      const keepers = byBucket[names[at * BLOCK_NAME_BYTES] ?? 0] ?? []
      // Of two, this node itself is asked first: that costs nothing.
      const order = keepers[1] === self ? keepers.toReversed() : keepers
      const keeper = order[rank]
      if (keeper === undefined) continue
      const known = byKeeper.get(keeper)
      if (known === undefined) byKeeper.set(keeper, [at])
      else known.push(at)
    }
    const answered: Answered = { unsure: [], failures: [], answered: 0 }
    const asked = [...byKeeper].map(async ([keeper, chosen]) => {
      try {
        const message = peerMessage(LOCATE, {}, pickNames(names, chosen))
        const holdings = decodeHoldings(await this.#call(keeper, tenant, message, options), chosen.length)
        for (const holding of holdings) merge(found, holding, { chosen, count: names.length / BLOCK_NAME_BYTES })
        answered.answered += 1
        if (this.#isYoung(keeper)) answered.unsure.push(...chosen)
      } catch (error) {
        if (!(error instanceof MembraneError)) throw error
        if (options.signal?.aborted === true) throw error
        answered.failures.push(error)
        answered.unsure.push(...chosen)
      }
    })
    await Promise.all(asked)
    return answered
  }

  #isYoung(node: string): boolean {
    // This node's own shard is as old as the news of the first other one.
    const cameMs = this.#cameMs.get(node) ?? this.#cameFirstMs(node)
    return cameMs !== null && this.#nowMs() - cameMs < 1000 * YOUNG_SECONDS
  }

  #cameFirstMs(node: string): number | null {
    if (node !== this.#options.membership.self.node || this.#cameMs.size === 0) return null
    return Math.min(...this.#cameMs.values())
  }

  async #repairTenant(tenant: TenantId): Promise<{ readonly added: number; readonly removed: number }> {
    const { byBucket } = this.#current()
    const bucketsOf = new Map<string, number[]>()
    for (const [bucket, keepers] of byBucket.entries())
      for (const keeper of keepers) {
        const known = bucketsOf.get(keeper)
        if (known === undefined) bucketsOf.set(keeper, [bucket])
        else known.push(bucket)
      }
    /** Both keepers may lack the same entries: they count once. */
    const changed = new Map<number, { readonly added: number; readonly removed: number }>()
    const repaired = Array.from(bucketsOf, ([keeper, buckets]) =>
      this.#inLane(keeper, async () => {
        const digest = decodeDigest(await this.#call(keeper, tenant, peerMessage(DIGEST, this.#teller())))
        const table = this.#options.own.table(tenant)
        const others = buckets.filter((bucket) => !(table ?? EMPTY).isBucketAlike(bucket, digest))
        for (const bucket of others) {
          const { added, removed } = await this.#replace(keeper, tenant, bucket)
          const before = changed.get(bucket) ?? { added: 0, removed: 0 }
          changed.set(bucket, { added: Math.max(added, before.added), removed: Math.max(removed, before.removed) })
        }
      }),
    )
    await Promise.all(repaired)
    const sum = { added: 0, removed: 0 }
    for (const { added, removed } of changed.values()) {
      sum.added += added
      sum.removed += removed
    }
    return sum
  }

  async #replace(keeper: string, tenant: TenantId, bucket: number) {
    const { own } = this.#options
    const names = own.table(tenant)?.bucket(bucket) ?? new Uint8Array(0)
    const count = names.length / BLOCK_NAME_BYTES
    const buckets = [{ bucket, count, value: tierValue(own.tier) }]
    const { fields } = await this.#call(keeper, tenant, peerMessage(REPLACE, { ...this.#teller(), buckets }, names))
    const [added = 0, removed = 0] = Array.isArray(fields['changed'])
      ? ((fields['changed'] as number[][])[0] ?? [])
      : []
    return { added, removed }
  }

  /** What is not this node's to keep, and what was said by nodes that have been gone for long. */
  #forget(): void {
    const { byBucket, members } = this.#current()
    const { node: self } = this.#options.membership.self
    const longAgoMs = this.#nowMs() - 1000 * GONE_SECONDS
    for (const node of this.#shard.nodes()) {
      const member = members.get(node)
      if (member === undefined || member.state === 'left' || (member.state === 'gone' && member.sinceMs < longAgoMs))
        this.#shard.drop(node)
    }
    this.#shard.keep((bucket) => byBucket[bucket]?.includes(self) === true)
  }

  #repairIn(seconds: number): void {
    if (this.#isClosed) return
    const atMs = this.#nowMs() + 1000 * seconds
    if (this.#repairAlarm !== null && this.#repairAlarm.atMs <= atMs) return
    this.#repairAlarm?.cancel()
    const cancel = this.#options.alarm.after(seconds, () => {
      this.#repairAlarm = null
      this.#repairIn(REPAIR_SECONDS)
      this.repair({ signal: this.#abort.signal }).catch((error: unknown) => this.#failed(error))
    })
    this.#repairAlarm = { cancel, atMs }
  }
}

interface Question {
  readonly names: BlockNames
  readonly places: readonly number[]
  /** 0 the first keeper, 1 the second. */
  readonly rank: number
  /** What was found, for each node, of all names. */
  readonly found: Map<string, Uint8Array>
}

interface Answered {
  readonly unsure: number[]
  readonly failures: MembraneError[]
  answered: number
}

function everyPlace(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => at)
}

/** Supernodes first, then the others, in order of their names: all nodes here ask the same one. */
function speakersOf(there: readonly Member[], datacentre: string): readonly (readonly string[])[] {
  const others = Map.groupBy(
    there.filter((member) => member.datacentre !== datacentre),
    (member) => member.datacentre,
  )
  const rank = ({ roles, state }: Member): number => (state === 'alive' ? 0 : 2) + (roles.includes('supernode') ? 0 : 1)
  return Array.from(others.values(), (members) =>
    members.toSorted((a, b) => rank(a) - rank(b) || (a.node < b.node ? -1 : 1)).map(({ node }) => node),
  )
}

function checkedNames(names: BlockNames): BlockNames {
  const count = names.length / BLOCK_NAME_BYTES
  if (Number.isInteger(count) && count <= LIMITS.directoryNamesMax) return names
  throw new MembraneError(
    'INVALID_REQUEST',
    `A look-up takes at most ${LIMITS.directoryNamesMax} names of ${BLOCK_NAME_BYTES} bytes; found ${names.length} bytes.`,
  )
}

function isThere(member: Member | undefined): boolean {
  return member !== undefined && (member.state === 'alive' || member.state === 'suspect')
}

function merge(
  found: Map<string, Uint8Array>,
  { node, tiers }: Holding,
  { chosen, count }: { readonly chosen: readonly number[]; readonly count: number },
): void {
  const all = found.get(node) ?? new Uint8Array(count)
  found.set(node, all)
  for (const [index, at] of chosen.entries()) if (tiers[index] !== 0) all[at] = tiers[index] ?? 0
}

/** Changes in order, cut so that no message has more than MESSAGE_NAMES. */
function* messagesOf(changes: readonly DirectoryChange[]): Generator<readonly DirectoryChange[]> {
  let piece: DirectoryChange[] = []
  let names = 0
  for (const change of changes) {
    const count = change.names.length / BLOCK_NAME_BYTES
    if (names + count > MESSAGE_NAMES && piece.length > 0) {
      yield piece
      piece = []
      names = 0
    }
    piece.push(change)
    names += count
  }
  if (piece.length > 0) yield piece
}
