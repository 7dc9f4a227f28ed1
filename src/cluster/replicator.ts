/**
 * Keeps as many copies of each fragment as are wanted. Whoever has a fragment offers it to those who should have it, too,
 * and they fetch it; an offer of what they have already costs a line of a message, so that it also serves to ask. A node
 * that comes, goes or begins anew makes the others look at all that they have; an offer that failed is made again.
 */
import { MembraneError } from '../core/errors.ts'
import { type ContentHash, parseContentHash, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, Clock } from '../core/ports.ts'
import { type PlaceCandidate, placeCopies } from '../policy/place.ts'
import { choiceField, countField, type Fields, fieldsOf, flagField, listField, textField } from './fields.ts'
import { HashRing, ringPlace } from './hash-ring.ts'
import type { Member } from './member.ts'
import type { Membership } from './membership.ts'
import { type PeerCalls, type PeerHandlers, type PeerMessage, peerMessage } from './peer-calls.ts'
import { holderName, nodeOf, ReplicaRecords } from './replica-records.ts'
import { Arrivals, KeptOutcomes } from './replica-arrivals.ts'
import type {
  OfferedFragment,
  OwnFragment,
  ReplicaOutcome,
  ReplicaStore,
  Replication,
  ReplicationStats,
} from './replication.ts'

export interface ReplicatorOptions {
  readonly membership: Membership
  readonly calls: PeerCalls
  readonly handlers: PeerHandlers
  readonly own: ReplicaStore
  readonly alarm: Alarm
  readonly clock: Clock
  /** Of each fragment, over all nodes. */
  readonly copies: number
}

const OFFER = 'replicate'
const ARRIVED = 'replicated'
/** What is put at once goes together. */
const OFFER_SOON_SECONDS = 0.02
/** After a node has gone: its copies are missing. */
const SWEEP_NOW_SECONDS = 0.1
/** After nodes came, or an offer failed: not at once, because more of it follows as a rule. */
const SWEEP_SOON_SECONDS = 1
/** Offers that failed are made again, and refusals end. */
const SWEEP_SECONDS = 30
/** Holders say nothing when they evict: after so long they are asked anew. */
const ANEW_SECONDS = 600
/** A copy that was refused, or that left a node, is not offered to it or taken back before. */
const REFUSED_SECONDS = 600
/** Of one message. */
const CALL_SECONDS = 2
/** Unless the other node says before that all has arrived. */
const ASK_AGAIN_SECONDS = 1
/** Of one offer: what is fetched takes its time. */
const OFFER_SECONDS = 30
const OFFER_BYTES_PER_SECOND = 1e6
const OFFER_FRAGMENTS = 256
const OFFER_BYTES = 64 * 1024 * 1024
/** Fragments that are looked at before others get their turn. */
const LOOKED_AT_ONCE = 500
const DRAIN_ROUND_SECONDS = 0.1
const DRAIN_IDLE_ROUNDS = 5
const ANSWERS = ['stored', 'refused', 'gone', 'failed', 'coming'] as const
type OfferAnswer = ReplicaOutcome | 'coming'

interface Offer {
  readonly fragment: OwnFragment
  /** It was there before: within the rate that is set for repairs. */
  readonly isRepair: boolean
}

interface Lane {
  readonly waiting: Offer[]
  /** Ends the offer that is under way; null when none is. */
  abort: AbortController | null
}

/** See the top of this file. */
export class Replicator implements Replication {
  readonly #options: ReplicatorOptions
  readonly #records = new ReplicaRecords()
  /** To be looked at, in order of their coming; of each whether it was there before. */
  readonly #looked = new Map<string, Offer>()
  /** What waits in a lane or is under way. */
  readonly #offered = new Set<string>()
  /** Offers, by node. */
  readonly #lanes = new Map<string, Lane>()
  readonly #arrivals = new Arrivals()
  /** Of what was fetched in vain, until the one that offered it asks. */
  readonly #outcomes = new KeptOutcomes()
  /** What this node has because another one offered it; all else it is the origin of, or has read. */
  readonly #replicas = new Set<string>()
  /** About to leave because somebody removed them. */
  readonly #removed = new Set<string>()
  /** On their way here; true when they were removed meanwhile. */
  readonly #arriving = new Map<string, { tenant: TenantId; isForgotten: boolean }>()
  readonly #off: (() => void)[]
  readonly #abort = new AbortController()
  readonly #stats = {
    sent: 0,
    sentBytes: 0,
    refused: 0,
    failed: 0,
    received: 0,
    receivedBytes: 0,
    sweeps: 0,
  }
  #ring: HashRing | null = null
  #lookAlarm: (() => void) | null = null
  #sweepAlarm: { readonly cancel: () => void; readonly atMs: number } | null = null
  #sweep: Iterator<OwnFragment> | null = null
  #short = 0
  #lastShort = 0
  #askedAnewMs: number
  #hasFailed = false
  #isClosed = false

  constructor(options: ReplicatorOptions) {
    this.#options = options
    this.#askedAnewMs = options.clock.nowMs()
    const { membership, handlers, own } = options
    this.#off = [
      handlers.on(OFFER, (message, { tenant }) => this.#answerOffer(message, tenant)),
      handlers.on(ARRIVED, async ({ fields }) => {
        this.#arrivals.tell(textField(fields, 'from', 64))
        return peerMessage(ARRIVED)
      }),
      membership.watch(({ member }) => {
        this.#ring = null
        // An answer may never come, and would be waited for in vain.
        if (member.state !== 'alive') this.#lanes.get(member.node)?.abort?.abort()
        // One that is under way has looked at some of it already.
        const isLost = member.state === 'gone' || member.state === 'left'
        if (this.#sweep === null) this.#sweepIn(isLost ? SWEEP_NOW_SECONDS : SWEEP_SOON_SECONDS)
        else this.#hasFailed = true
      }),
      own.watch({ joined: (fragment) => this.#joined(fragment), left: (tenant, key) => this.#leftHere(tenant, key) }),
    ]
    this.#sweepIn(SWEEP_SECONDS)
  }

  stats(): ReplicationStats {
    return {
      ...this.#stats,
      replicas: this.#replicas.size,
      waiting: this.#looked.size + this.#offered.size,
      short: Math.max(this.#short, this.#lastShort),
    }
  }

  async drain(deadlineSeconds: number): Promise<number> {
    const untilMs = this.#nowMs() + 1000 * deadlineSeconds
    const alone = (): readonly OwnFragment[] =>
      [...this.#options.own.list()].filter((fragment) => this.#livingHolders(fragment).length === 0)
    let left = alone()
    for (let idle = 0; left.length > 0 && idle < DRAIN_IDLE_ROUNDS && this.#nowMs() < untilMs; ) {
      if (this.#isClosed || !this.#others().some(({ isDraining }) => !isDraining)) break
      for (const fragment of left) this.#look({ fragment, isRepair: false })
      await this.#pause(DRAIN_ROUND_SECONDS)
      const before = left.length
      left = alone()
      // Whoever could take the rest has refused it.
      idle = left.length < before || this.#looked.size + this.#offered.size > 0 ? 0 : idle + 1
    }
    return left.length
  }

  #pause(seconds: number): Promise<void> {
    return new Promise((resolve) => void this.#options.alarm.after(seconds, resolve))
  }

  noticeMissing(tenant: TenantId, key: string, node: string): void {
    const fragment = this.#options.own.get(tenant, key)
    if (fragment === null) return
    this.#records.deny(tenant, key, node)
    this.#look({ fragment, isRepair: true })
  }

  forget(tenant: TenantId, key: string | null): void {
    if (key !== null) {
      // It was not evicted: who stores it again may have it copied here.
      if (this.#options.own.get(tenant, key) !== null) this.#removed.add(`${tenant}/${key}`)
      const arriving = this.#arriving.get(`${tenant}/${key}`)
      if (arriving !== undefined) arriving.isForgotten = true
      return
    }
    for (const arriving of this.#arriving.values()) if (arriving.tenant === tenant) arriving.isForgotten = true
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const off of this.#off.splice(0)) off()
    this.#lookAlarm?.()
    this.#sweepAlarm?.cancel()
    this.#abort.abort()
    this.#looked.clear()
    this.#lanes.clear()
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }

  #others(): readonly Member[] {
    const { membership } = this.#options
    return membership.members().filter(({ node, state }) => node !== membership.self.node && isThere(state))
  }

  #joined(fragment: OwnFragment): void {
    const { tenant, key } = fragment
    this.#records.joined(tenant, key)
    // What is taken over for another node is known to be there already.
    if (this.#arriving.has(`${tenant}/${key}`)) return
    this.#replicas.delete(`${tenant}/${key}`)
    this.#look({ fragment, isRepair: false })
  }

  #leftHere(tenant: TenantId, key: string): void {
    this.#looked.delete(`${tenant}/${key}`)
    const name = `${tenant}/${key}`
    this.#replicas.delete(name)
    const evicted = this.#removed.delete(name) ? null : (this.#options.own.get(tenant, key)?.contentHash ?? null)
    this.#records.left(tenant, key, evicted === null ? null : { contentHash: evicted, atMs: this.#nowMs() })
  }

  #look(offer: Offer): void {
    const { tenant, key } = offer.fragment
    if (this.#isClosed) return
    // Beyond the bound it is left to the next sweep.
    if (this.#looked.size >= LIMITS.replicasWaitingMax) {
      this.#failed()
      return
    }
    this.#looked.set(`${tenant}/${key}`, offer)
    this.#lookAlarm ??= this.#options.alarm.after(OFFER_SOON_SECONDS, () => this.#lookAtSome())
  }

  #lookAtSome(): void {
    this.#lookAlarm = null
    let count = 0
    for (const [name, offer] of this.#looked) {
      if (count === LOOKED_AT_ONCE) break
      this.#looked.delete(name)
      count += 1
      this.#offer(offer)
    }
    if (this.#looked.size > 0) this.#lookAlarm = this.#options.alarm.after(0, () => this.#lookAtSome())
  }

  /** Where it lacks copies, it is offered to those who should have them. */
  #offer(offer: Offer): boolean {
    const { fragment } = offer
    const { tenant, key, group, payloadBytes } = fragment
    const { membership } = this.#options
    const { self } = membership
    // A node that leaves sees to it that one other has it: the rest is theirs.
    const copies = self.isDraining ? 1 : this.#options.copies
    const holders = [...(self.isDraining ? [] : [self.node]), ...this.#livingHolders(fragment)]
    if (holders.length >= copies) return true
    const nowMs = this.#nowMs()
    const candidates = [...this.#ringNow().walk(ringPlace(group))].flatMap((node) => {
      const member = membership.member(node)
      if (member === null || !isThere(member.state)) return []
      const isClosed = node === self.node || this.#records.isRefused(tenant, key, node, nowMs)
      return [candidateOf(member, { nowMs, isClosed })]
    })
    const chosen = placeCopies({
      candidates,
      holders,
      datacentre: self.datacentre,
      copies,
      payloadBytes,
    })
    for (const node of chosen) this.#wait(node, offer)
    return chosen.length > 0 || this.#others().length === 0
  }

  /** An offer that waits already, or is under way, is not made twice. */
  #wait(node: string, offer: Offer): void {
    const { waiting } = this.#laneOf(node)
    const name = offerName(node, offer)
    if (this.#offered.has(name)) return
    if (this.#offered.size >= LIMITS.replicasWaitingMax) {
      this.#failed()
      return
    }
    this.#offered.add(name)
    waiting.push(offer)
    this.#sendFrom(node)
  }

  #livingHolders({ tenant, key }: OwnFragment): readonly string[] {
    const { membership } = this.#options
    return this.#records.holders(tenant, key).flatMap((holder) => {
      const member = membership.member(nodeOf(holder))
      const isSame = member !== null && holderName(member) === holder
      return isSame && isThere(member.state) && !member.isDraining ? [member.node] : []
    })
  }

  #ringNow(): HashRing {
    const { self } = this.#options.membership
    this.#ring ??= new HashRing(
      [self, ...this.#others()].filter(({ roles }) => roles.includes('store')).map(({ node }) => ({ node })),
    )
    return this.#ring
  }

  #laneOf(node: string): Lane {
    const lane = this.#lanes.get(node) ?? { waiting: [], abort: null }
    this.#lanes.set(node, lane)
    return lane
  }

  /** One offer at a time to each node: its answer says that the bytes are there. */
  #sendFrom(node: string): void {
    const lane = this.#laneOf(node)
    if (lane.abort !== null) return
    if (lane.waiting.length === 0 || this.#isClosed) {
      this.#lanes.delete(node)
      return
    }
    const some = takeSome(lane.waiting)
    lane.abort = new AbortController()
    const signal = AbortSignal.any([lane.abort.signal, this.#abort.signal])
    void this.#send(node, some, signal).finally(() => {
      lane.abort = null
      for (const offer of some) this.#offered.delete(offerName(node, offer))
      this.#sendFrom(node)
    })
  }

  /** Asks again and again until nothing of it is on its way any more: no call takes longer than a message does. */
  async #send(node: string, offers: readonly Offer[], signal: AbortSignal): Promise<void> {
    const { alarm } = this.#options
    const bytes = offers.reduce((sum, { fragment }) => sum + fragment.payloadBytes, 0)
    const untilMs = this.#nowMs() + 1000 * (OFFER_SECONDS + bytes / OFFER_BYTES_PER_SECOND)
    let left = offers
    try {
      while (left.length > 0) {
        if (this.#nowMs() > untilMs) throw new MembraneError('PEER_UNAVAILABLE', `${node} does not come to an end.`)
        left = await this.#ask(node, left, signal)
        if (left.length > 0) await this.#arrivals.wait(node, { alarm, seconds: ASK_AGAIN_SECONDS, signal })
      }
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      if (this.#isClosed) return
      this.#stats.failed += left.length
      this.#failed()
    }
  }

  /** Those that are on their way there. */
  async #ask(node: string, offers: readonly Offer[], signal: AbortSignal): Promise<readonly Offer[]> {
    const { membership, calls } = this.#options
    const member = membership.member(node)
    const [first] = offers
    if (member === null || first === undefined || !isThere(member.state))
      throw new MembraneError('PEER_UNAVAILABLE', `${node} is gone.`)
    const fragments = offers.map(({ fragment: { key, contentHash, payloadBytes } }) => ({
      key,
      contentHash,
      payloadBytes,
    }))
    const fields = { from: membership.self.node, isRepair: first.isRepair, fragments }
    const { tenant } = first.fragment
    const { fields: answer } = await calls.call(member.address, peerMessage(OFFER, fields), {
      tenant,
      signal,
      timeoutSeconds: CALL_SECONDS,
    })
    const outcomes = listField(answer, 'outcomes', { itemsMax: OFFER_FRAGMENTS, read: answerOf })
    return offers.filter(({ fragment }, index) => {
      const outcome = outcomes[index] ?? 'failed'
      if (outcome !== 'coming') this.#note(member, fragment, outcome)
      return outcome === 'coming'
    })
  }

  #failed(): void {
    this.#hasFailed = true
    if (this.#sweep === null) this.#sweepIn(SWEEP_SOON_SECONDS)
  }

  #note(member: Member, { tenant, key, payloadBytes }: OwnFragment, outcome: ReplicaOutcome): void {
    if (outcome === 'stored') {
      this.#stats.sent += 1
      this.#stats.sentBytes += payloadBytes
      if (this.#options.own.get(tenant, key) !== null) this.#records.confirm(tenant, key, holderName(member))
    } else if (outcome === 'refused') {
      this.#stats.refused += 1
      this.#records.refused(tenant, key, { by: member.node, untilMs: this.#nowMs() + 1000 * REFUSED_SECONDS })
      const fragment = this.#options.own.get(tenant, key)
      if (fragment !== null) this.#look({ fragment, isRepair: true })
    } else if (outcome === 'failed') {
      this.#stats.failed += 1
      this.#failed()
    }
  }

  /** What is here and what is not taken is said at once; the rest is fetched from now on. */
  async #answerOffer({ fields }: PeerMessage, tenant: TenantId): Promise<PeerMessage> {
    const from = this.#options.membership.member(textField(fields, 'from', 64))
    if (from === null) throw new MembraneError('PEER_UNAVAILABLE', 'This node does not know who offers.')
    const isRepair = flagField(fields, 'isRepair')
    const offered = listField(fields, 'fragments', { itemsMax: OFFER_FRAGMENTS, read: offeredOf })
    const wanted: ReturnType<typeof offeredOf>[] = []
    const outcomes = offered.map((fragment): OfferAnswer => {
      const { key, contentHash } = fragment
      const arriving = this.#arriving.get(`${tenant}/${key}`)
      if (arriving !== undefined) return 'coming'
      if (this.#options.own.get(tenant, key)?.contentHash === contentHash) {
        this.#records.confirm(tenant, key, holderName(from))
        return 'stored'
      }
      if (this.#isUnwanted(tenant, key, contentHash)) return 'refused'
      const outcome = this.#outcomes.take(`${from.node} ${tenant}/${key}`)
      if (outcome !== null) return outcome
      wanted.push(fragment)
      return 'coming'
    })
    if (wanted.length > 0) void this.#take(tenant, from, { offered: wanted, isRepair })
    return peerMessage(OFFER, { outcomes })
  }

  #isUnwanted(tenant: TenantId, key: string, contentHash: ContentHash): boolean {
    const evicted = this.#records.evicted(tenant, key)
    const isEvicted = evicted?.contentHash === contentHash && this.#nowMs() - evicted.atMs < 1000 * REFUSED_SECONDS
    return this.#options.membership.self.isDraining || isEvicted
  }

  async #take(
    tenant: TenantId,
    from: Member,
    { offered, isRepair }: { readonly offered: readonly OfferedFragment[]; readonly isRepair: boolean },
  ): Promise<void> {
    const { own, calls, membership } = this.#options
    for (const { key } of offered) this.#arriving.set(`${tenant}/${key}`, { tenant, isForgotten: false })
    const { signal } = this.#abort
    const outcomes = await own.pull(tenant, from, offered, { isRepair, signal }).catch(failedAll(offered))
    const forgotten: string[] = []
    for (const [index, { key, payloadBytes }] of offered.entries()) {
      if (this.#arriving.get(`${tenant}/${key}`)?.isForgotten === true) forgotten.push(key)
      this.#arriving.delete(`${tenant}/${key}`)
      const outcome = outcomes[index] ?? 'failed'
      if (outcome === 'stored') {
        this.#stats.received += 1
        this.#replicas.add(`${tenant}/${key}`)
        this.#stats.receivedBytes += payloadBytes
      } else this.#outcomes.keep(`${from.node} ${tenant}/${key}`, outcome)
    }
    if (forgotten.length > 0) await own.remove(tenant, forgotten)
    if (this.#isClosed) return
    const arrived = peerMessage(ARRIVED, { from: membership.self.node })
    // Whoever does not hear it asks again soon.
    await calls.call(from.address, arrived, { tenant: null, signal, timeoutSeconds: CALL_SECONDS }).catch(ignoreFailure)
  }

  #sweepIn(seconds: number): void {
    if (this.#isClosed) return
    const atMs = this.#nowMs() + 1000 * seconds
    if (this.#sweepAlarm !== null && this.#sweepAlarm.atMs <= atMs) return
    this.#sweepAlarm?.cancel()
    const cancel = this.#options.alarm.after(seconds, () => {
      this.#sweepAlarm = null
      this.#beginSweep()
    })
    this.#sweepAlarm = { cancel, atMs }
  }

  #beginSweep(): void {
    const nowMs = this.#nowMs()
    if (nowMs - this.#askedAnewMs >= 1000 * ANEW_SECONDS) {
      this.#askedAnewMs = nowMs
      this.#records.forgetHolders()
    }
    this.#sweep = this.#options.own.list()[Symbol.iterator]()
    this.#short = 0
    this.#hasFailed = false
    this.#stats.sweeps += 1
    this.#sweepOn()
  }

  #sweepOn(): void {
    for (let count = 0; count < LOOKED_AT_ONCE; count++) {
      const next = this.#sweep?.next()
      if (next === undefined || next.done === true) {
        this.#sweep = null
        this.#lastShort = this.#short
        this.#sweepIn(this.#hasFailed ? SWEEP_SOON_SECONDS : SWEEP_SECONDS)
        return
      }
      const name = `${next.value.tenant}/${next.value.key}`
      if (!this.#looked.has(name) && !this.#offer({ fragment: next.value, isRepair: true })) this.#short += 1
    }
    const cancel = this.#options.alarm.after(0, () => this.#sweepOn())
    this.#sweepAlarm = { cancel, atMs: this.#nowMs() }
  }
}

function isThere(state: Member['state']): boolean {
  return state === 'alive' || state === 'suspect'
}

function candidateOf(
  { node, datacentre, telemetry, capacityBytes, startedMs, isDraining, state }: Member,
  { nowMs, isClosed }: { readonly nowMs: number; readonly isClosed: boolean },
): PlaceCandidate {
  return {
    node,
    datacentre,
    storedBytes: telemetry.storedBytes,
    capacityBytes,
    // By clocks of two machines: one that is wrong makes a node young or old for a minute, no more.
    ageSeconds: Math.max(0, (nowMs - startedMs) / 1000),
    isClosed: isClosed || isDraining || state !== 'alive',
  }
}

function offerName(node: string, { fragment: { tenant, key } }: Offer): string {
  return `${node} ${tenant}/${key}`
}

/** The first offers of one tenant and kind, as many as one message takes. */
function takeSome(waiting: Offer[]): readonly Offer[] {
  const [first] = waiting
  let bytes = 0
  let count = 0
  for (const { fragment, isRepair } of waiting) {
    bytes += fragment.payloadBytes
    const isAlike = fragment.tenant === first?.fragment.tenant && isRepair === first.isRepair
    if (!isAlike || count === OFFER_FRAGMENTS || (bytes > OFFER_BYTES && count > 0)) break
    count += 1
  }
  return waiting.splice(0, count)
}

function offeredOf(item: unknown, what: string) {
  const fields: Fields = fieldsOf(item, what)
  return {
    key: textField(fields, 'key', LIMITS.storeKeyBytesMax),
    contentHash: parseContentHash(textField(fields, 'contentHash', 80)),
    payloadBytes: countField(fields, 'payloadBytes', LIMITS.payloadBytesMax),
  }
}

function answerOf(item: unknown): OfferAnswer {
  return choiceField({ outcome: item }, 'outcome', ANSWERS)
}

function failedAll(offered: readonly OfferedFragment[]): (error: unknown) => readonly ReplicaOutcome[] {
  return (error) => {
    ignoreFailure(error)
    return offered.map(() => 'failed')
  }
}

function ignoreFailure(error: unknown): void {
  if (!(error instanceof MembraneError)) throw error
}
