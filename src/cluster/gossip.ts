/**
 * Nodes that find each other without anybody else: SWIM's probes, direct and through others, suspicion that a node can
 * deny, and news that travels with the probes. Everything is exchanged only now and then, with one node, so that what
 * was lost, or two halves that had lost each other, come together again.
 */
import { MembraneError } from '../core/errors.ts'
import { type Fields, listField, textField } from './fields.ts'
import { type GossipOptions, NEWS_MAX } from './gossip-options.ts'
import { type Member, type SeenMember, seenMember } from './member.ts'
import { MemberTable } from './member-table.ts'
import type { MemberChange, Membership, MembershipStats, SelfReport } from './membership.ts'
import { encodePeerMessage, type PeerMessage, peerMessage } from './peer-calls.ts'
import { LIMITS } from '../core/limits.ts'

/** A node whose own rounds come late, or whose probes fail all around, waits so many times as long at most. */
const SLOWNESS_MAX = 3
/** Of every so many exchanges one is with somebody who is gone, or a seed that is not known: halves find each other. */
const LOST_EVERY = 3
const JOIN_SECONDS_FIRST = 0.5
const JOIN_SECONDS_MAX = 10
const LEAVE_SECONDS = 1

type CancelAlarm = () => void

/** See the top of this file. */
export class GossipMembership implements Membership {
  readonly #options: GossipOptions
  readonly #table: MemberTable
  readonly #watchers = new Set<(change: MemberChange) => void>()
  /** How often each change is still to be told. */
  readonly #news = new Map<string, number>()
  /** Alarms that end a suspicion. */
  readonly #suspicions = new Map<string, CancelAlarm>()
  readonly #off: (() => void)[] = []
  readonly #abort = new AbortController()
  readonly #stats = { messages: 0, bytes: 0, suspected: 0, refuted: 0, removed: 0 }
  #self: Member
  #round: CancelAlarm | null = null
  #order: string[] = []
  #roundDueMs = 0
  #nextExchangeMs = 0
  #exchanges = 0
  /** 0 to SLOWNESS_MAX. */
  #slowness = 0
  #isClosed = false

  constructor(options: GossipOptions) {
    const { facts, clock, times } = options
    this.#options = options
    this.#self = { ...facts, state: 'alive', sinceMs: clock.nowMs() }
    this.#table = new MemberTable({ clock, keptSeconds: times.keptSeconds, changed: (node) => this.#spread(node) })
    this.#table.watch((change) => this.#stateChanged(change))
  }

  /** Answers others from now on, and asks the seeds. Does nothing more until somebody is found. */
  start(): void {
    const { handlers, seeds } = this.#options
    this.#off.push(
      handlers.on('probe', (message) => this.#answerProbe(message)),
      handlers.on('probe-for', (message) => this.#answerProbeFor(message)),
      handlers.on('exchange', (message) => this.#answerExchange(message)),
      handlers.on('leave', async (message) => {
        this.#hear(message)
        return peerMessage('ack')
      }),
    )
    for (const seed of seeds) this.#tryToJoin(seed, JOIN_SECONDS_FIRST)
  }

  get self(): Member {
    return this.#self
  }

  members(): readonly Member[] {
    return [...this.#table.all(), this.#self].toSorted((a, b) => (a.node < b.node ? -1 : 1))
  }

  member(node: string): Member | null {
    return node === this.#self.node ? this.#self : this.#table.get(node)
  }

  watch(watcher: (change: MemberChange) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  stats(): MembershipStats {
    return { ...this.#stats }
  }

  report(report: SelfReport): void {
    if (this.#isClosed) return
    this.#self = { ...this.#self, ...report, sequence: this.#self.sequence + 1 }
    this.#spread(this.#self.node)
  }

  /** Asks a node for everybody it knows. Throws PEER_UNAVAILABLE and what it answers. */
  async join(address: string): Promise<void> {
    if (address === this.#self.address) return
    await this.#exchangeWith(address)
  }

  async leave(): Promise<void> {
    if (this.#isClosed) return
    this.#self = { ...this.#self, state: 'left', sequence: this.#self.sequence + 1, sinceMs: this.#nowMs() }
    const told = this.#table.living().map(({ address }) => this.#send(address, 'leave', {}, LEAVE_SECONDS))
    await Promise.allSettled(told)
    await this.close()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#round?.()
    this.#round = null
    for (const cancel of this.#suspicions.values()) cancel()
    this.#suspicions.clear()
    for (const off of this.#off.splice(0)) off()
    this.#abort.abort()
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }

  /** A round of probes, and what is due beside it. */
  #beat(): void {
    const { heartbeatSeconds, exchangeSeconds } = this.#options.times
    const nowMs = this.#nowMs()
    // Whoever is late itself must not blame others for being late.
    if (nowMs > this.#roundDueMs + 1000 * heartbeatSeconds) this.#becomeSlower()
    this.#table.forgetOld()
    for (const target of this.#targets()) void this.#probe(target)
    if (nowMs >= this.#nextExchangeMs) {
      this.#nextExchangeMs = nowMs + 1000 * exchangeSeconds
      this.#exchangeSomewhere()
    }
    this.#scheduleRound()
  }

  #scheduleRound(): void {
    this.#round = null
    if (this.#isClosed || this.#table.size === 0) return
    const { heartbeatSeconds } = this.#options.times
    this.#roundDueMs = this.#nowMs() + 1000 * heartbeatSeconds
    this.#round = this.#options.alarm.after(heartbeatSeconds, () => this.#beat())
  }

  /** Everybody in turn, in an order that is drawn anew after each turn. */
  #targets(): readonly Member[] {
    const living = this.#table.living()
    const { probesPerRound } = this.#options.times
    if (living.length <= probesPerRound) return living
    const names = new Set(living.map(({ node }) => node))
    this.#order = this.#order.filter((node) => names.has(node))
    if (this.#order.length < probesPerRound) {
      const waiting = new Set(this.#order)
      this.#order.push(
        ...shuffled(
          [...names].filter((node) => !waiting.has(node)),
          this.#options.random,
        ),
      )
    }
    return this.#order.splice(0, probesPerRound).flatMap((node) => this.#table.get(node) ?? [])
  }

  async #probe(target: Member): Promise<void> {
    const { node, address, incarnation } = target
    const seconds = this.#patienceSeconds()
    // One that has not answered the last probe yet is asked once more all the same: the answer may be what was lost.
    if (await this.#isAnswered(target, seconds)) {
      this.#slowness = Math.max(0, this.#slowness - 1)
      return
    }
    if (this.#isClosed) return
    const helpers = shuffled(
      this.#table.all().filter((member) => member.state === 'alive' && member.node !== node),
      this.#options.random,
    ).slice(0, this.#options.times.indirectProbes)
    const answers = await Promise.all(helpers.map((helper) => this.#probeThrough(helper, { node, address, seconds })))
    const known = this.#table.get(node)
    // Somebody reached it, or it has spoken meanwhile.
    if (this.#isClosed || answers.includes('reached') || known === null || known.incarnation > incarnation) return
    // Nobody answers at all: that may well be this node's own fault.
    if (helpers.length > 0 && answers.every((answer) => answer === 'silent')) this.#becomeSlower()
    if (known.state === 'alive') this.#table.mark(node, 'suspect')
  }

  /** Whoever is suspected is told so, and denies it with the answer. */
  async #isAnswered(target: Member, seconds: number): Promise<boolean> {
    const about = target.state === 'alive' ? {} : { about: [plain(target)] }
    return this.#send(target.address, 'probe', about, seconds).then(
      (answer) => {
        this.#hear(answer)
        return true
      },
      () => false,
    )
  }

  async #probeThrough(
    helper: Member,
    { node, address, seconds }: { readonly node: string; readonly address: string; readonly seconds: number },
  ): Promise<'reached' | 'unreached' | 'silent'> {
    try {
      const answer = await this.#send(helper.address, 'probe-for', { node, address, seconds }, 2 * seconds)
      this.#hear(answer)
      return answer.fields['isReached'] === true ? 'reached' : 'unreached'
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      return 'silent'
    }
  }

  async #answerProbe(message: PeerMessage): Promise<PeerMessage> {
    this.#hear(message)
    return this.#speak('ack', {})
  }

  async #answerProbeFor(message: PeerMessage): Promise<PeerMessage> {
    this.#hear(message)
    const node = textField(message.fields, 'node', 64)
    // Only nodes that are known here are probed for others: nobody is made to call whom he does not know.
    const target = this.#table.get(node)
    const isReached = target !== null && (await this.#isAnswered(target, this.#patienceSeconds()))
    return this.#speak('ack', {
      isReached,
      ...(target === null ? {} : { about: [plain(this.#table.get(node) ?? target)] }),
    })
  }

  async #answerExchange(message: PeerMessage): Promise<PeerMessage> {
    this.#hear(message)
    return this.#speak('exchanged', { all: this.members().map(plain) })
  }

  async #exchangeWith(address: string): Promise<void> {
    const seconds = Math.max(1, 2 * this.#patienceSeconds())
    this.#hear(await this.#send(address, 'exchange', { all: this.members().map(plain) }, seconds))
  }

  #exchangeSomewhere(): void {
    this.#exchanges += 1
    const { seeds, random } = this.#options
    const living = this.#table.living()
    const known = new Set(living.map(({ address }) => address))
    const gone = this.#table.all().filter(({ state }) => state === 'gone')
    const lost = [...seeds, ...gone.map(({ address }) => address)].filter(
      (address) => !known.has(address) && address !== this.#self.address,
    )
    const isForLost = lost.length > 0 && (living.length === 0 || this.#exchanges % LOST_EVERY === 0)
    const address = isForLost ? pick(lost, random) : pick([...known], random)
    if (address !== null) void this.#exchangeWith(address).catch(ignoreFailure)
  }

  /** A seed that does not answer may only be late: it is asked again for as long as nobody is known there. */
  #tryToJoin(seed: string, againSeconds: number): void {
    if (this.#isClosed || seed === this.#self.address || this.#table.living().some(({ address }) => address === seed))
      return
    this.#exchangeWith(seed).catch((error: unknown) => {
      ignoreFailure(error)
      if (this.#isClosed) return
      const next = Math.min(JOIN_SECONDS_MAX, 2 * againSeconds)
      this.#options.alarm.after(againSeconds, () => this.#tryToJoin(seed, next))
    })
  }

  /** A message with this node's own facts and the latest news, which gives the answer. */
  async #send(address: string, kind: string, fields: Fields, seconds: number): Promise<PeerMessage> {
    const message = this.#speak(kind, fields)
    this.#stats.messages += 1
    this.#stats.bytes += encodePeerMessage(message).length
    const { signal } = this.#abort
    // A goodbye is said while this node closes.
    return this.#options.calls.call(address, message, { tenant: null, timeoutSeconds: seconds, signal })
  }

  #speak(kind: string, fields: Fields): PeerMessage {
    return peerMessage(kind, { ...fields, from: plain(this.#self), news: this.#takeNews().map(plain) })
  }

  /** Everything that a message says of nodes; it is read as a whole before any of it counts. */
  #hear({ fields }: PeerMessage): void {
    if (this.#isClosed) return
    const from = seenMember(fields['from'], 'from')
    const lists = ['news', 'about', 'all'].flatMap((name) =>
      fields[name] === undefined
        ? []
        : listField(fields, name, { itemsMax: LIMITS.clusterMembersMax + 1, read: seenMember }),
    )
    for (const seen of [from, ...lists]) this.#take(seen)
    if (this.#round === null) this.#scheduleRound()
  }

  #take(seen: SeenMember): void {
    if (seen.node !== this.#self.node) {
      this.#table.merge(seen)
      return
    }
    const { incarnation, address } = this.#self
    if (seen.state === 'alive' && seen.address !== address && seen.incarnation > incarnation) {
      this.#options.replaced?.(seen)
      this.#self = { ...this.#self, state: 'left', sinceMs: this.#nowMs() }
      void this.close()
      return
    }
    // What an earlier start of this node said, or what others believe of it: it lives, and says so.
    const isDenied = seen.incarnation > incarnation || (seen.incarnation === incarnation && seen.state !== 'alive')
    if (!isDenied || this.#self.state === 'left') return
    this.#self = { ...this.#self, incarnation: seen.incarnation + 1, sequence: this.#self.sequence + 1 }
    this.#spread(this.#self.node)
  }

  /** Told often enough that all hear of it, whatever a few messages come to. */
  #spread(node: string): void {
    const times = 3 * Math.ceil(Math.log2(this.#table.size + 2))
    this.#news.delete(node)
    this.#news.set(node, times)
  }

  /** The latest changes first. */
  #takeNews(): readonly Member[] {
    const told: Member[] = []
    for (const [node, times] of [...this.#news].toReversed().slice(0, NEWS_MAX)) {
      const member = this.member(node)
      if (member !== null && node !== this.#self.node) told.push(member)
      if (times <= 1 || member === null) this.#news.delete(node)
      else this.#news.set(node, times - 1)
    }
    return told
  }

  #stateChanged(change: MemberChange): void {
    const { before, member } = change
    const { node, state } = member
    if (before !== state) {
      this.#suspicions.get(node)?.()
      this.#suspicions.delete(node)
      if (state === 'suspect') this.#suspect(member)
      if (state === 'alive' && before === 'suspect') this.#stats.refuted += 1
      if (state === 'gone') this.#stats.removed += 1
    }
    for (const watcher of this.#watchers) watcher(change)
  }

  #suspect({ node }: Member): void {
    this.#stats.suspected += 1
    const { heartbeatSeconds, failureThreshold } = this.#options.times
    const seconds = heartbeatSeconds * failureThreshold * (1 + this.#slowness)
    const cancel = this.#options.alarm.after(seconds, () => {
      this.#suspicions.delete(node)
      this.#table.mark(node, 'gone')
    })
    this.#suspicions.set(node, cancel)
  }

  #becomeSlower(): void {
    this.#slowness = Math.min(SLOWNESS_MAX, this.#slowness + 1)
  }

  #patienceSeconds(): number {
    return this.#options.times.heartbeatSeconds * (1 + this.#slowness)
  }
}

/** As it is sent. */
function plain({ sinceMs: _sinceMs, ...seen }: Member): SeenMember {
  return seen
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const order = items.map((item) => ({ item, at: random() }))
  return order.sort((a, b) => a.at - b.at).map(({ item }) => item)
}

function pick<Item>(items: readonly Item[], random: () => number): Item | null {
  return items[Math.floor(random() * items.length)] ?? null
}

function ignoreFailure(error: unknown): void {
  if (!(error instanceof MembraneError)) throw error
}
