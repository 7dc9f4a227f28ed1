/**
 * Membership by leases in a Redis: every node writes itself down again and again, with a time from when on it is not
 * believed any more, by the clock of the Redis alone. A Redis that does not answer, or has lost everything, is no sign of
 * anybody's death: judging begins anew when everybody has had the time of a lease to write.
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, Clock } from '../core/ports.ts'
import { CLUSTER_FORMAT, type Member, type MemberFacts, type MemberState, seenMember } from '../cluster/member.ts'
import type { MemberChange, Membership, MembershipStats, SelfReport } from '../cluster/membership.ts'
import { type RedisClient, redisScript } from '../store/redis-client.ts'

export interface RedisMembershipTimes {
  readonly heartbeatSeconds: number
  /** After half of it without a sign a node is suspected, after all of it, gone. */
  readonly leaseSeconds: number
  /** How long those that are gone or have left are shown. */
  readonly keptSeconds: number
}

/** A node that falls silent is gone after a lease and a heartbeat: 2.8 s at most. */
export const DEFAULT_REDIS_TIMES: RedisMembershipTimes = { heartbeatSeconds: 0.4, leaseSeconds: 2.4, keptSeconds: 300 }

export interface RedisMembershipOptions {
  readonly facts: MemberFacts
  readonly redis: Pick<RedisClient, 'script'>
  readonly cluster: string
  readonly times: RedisMembershipTimes
  readonly alarm: Alarm
  readonly clock: Clock
  /** Told when another node with this name began later: this one has left then. */
  readonly replaced?: (by: MemberFacts) => void
}

/** Writes this node, gives what was written under its name before, drops what has been silent for long, and gives the time in milliseconds and all that is left: another node may have its name. */
const BEAT = redisScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d|%s', now + ARGV[2], ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 86400000)
local all = redis.call('HGETALL', KEYS[1])
local kept = {}
for i = 1, #all, 2 do
  local untilMs = tonumber(string.match(all[i + 1], '^(%d+)|'))
  if untilMs == nil or untilMs + ARGV[4] < now then redis.call('HDEL', KEYS[1], all[i])
  else kept[#kept + 1] = all[i + 1] end
end
return {tostring(now), kept, before}
`)

/** What was read of a node. */
interface Entry {
  readonly facts: MemberFacts
  readonly hasLeft: boolean
  readonly untilMs: number
}

interface Answer {
  readonly redisMs: number
  readonly entries: readonly Entry[]
  readonly before: Entry | null
}

/** See the top of this file. */
export class RedisMembership implements Membership {
  readonly #options: RedisMembershipOptions
  readonly #key: Buffer
  readonly #members = new Map<string, Member>()
  /** Of nodes that the Redis does not have: until when that is no sign of anything, by its clock. */
  readonly #missingUntilMs = new Map<string, number>()
  readonly #watchers = new Set<(change: MemberChange) => void>()
  readonly #stats = { messages: 0, bytes: 0, suspected: 0, refuted: 0, removed: 0 }
  #self: Member
  /** By the clock of the Redis, and of this node, at the last answer. */
  #lastMs: { readonly redis: number; readonly own: number } | null = null
  /** Nobody is judged before, by the clock of the Redis. */
  #graceUntilMs = 0
  #cancel: (() => void) | null = null
  #beating: Promise<void> = Promise.resolve()
  #isClosed = false
  #error: MembraneError | null = null

  constructor(options: RedisMembershipOptions) {
    this.#options = options
    this.#key = Buffer.from(`membrane:{${options.cluster}}:members`)
    this.#self = { ...options.facts, state: 'alive', sinceMs: options.clock.nowMs() }
  }

  /** Ends when this node is written down. Throws STORE_UNAVAILABLE. */
  async start(): Promise<void> {
    await this.#beat()
    this.#next()
  }

  /** Why the Redis did not answer the last time; null when it did. */
  get error(): MembraneError | null {
    return this.#error
  }

  get self(): Member {
    return this.#self
  }

  members(): readonly Member[] {
    return [this.#self, ...this.#members.values()].toSorted((a, b) => (a.node < b.node ? -1 : 1))
  }

  member(node: string): Member | null {
    return node === this.#self.node ? this.#self : (this.#members.get(node) ?? null)
  }

  watch(watcher: (change: MemberChange) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  report(report: SelfReport): void {
    if (this.#isClosed) return
    this.#self = { ...this.#self, ...report, sequence: this.#self.sequence + 1 }
  }

  async leave(): Promise<void> {
    if (this.#isClosed) return
    this.#self = { ...this.#self, state: 'left', sequence: this.#self.sequence + 1, sinceMs: this.#nowMs() }
    this.#cancel?.()
    await this.#beating
    await this.#write('left').catch(ignoreFailure)
    await this.close()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancel?.()
    this.#cancel = null
    await this.#beating
  }

  stats(): MembershipStats {
    return { ...this.#stats }
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }

  #next(): void {
    if (this.#isClosed) return
    this.#cancel = this.#options.alarm.after(this.#options.times.heartbeatSeconds, () => {
      this.#beating = this.#beat()
        .then(() => {
          this.#error = null
        })
        .catch((error: unknown) => {
          this.#error = ignoreFailure(error)
        })
        .then(() => this.#next())
    })
  }

  async #beat(): Promise<void> {
    const { redisMs, entries, before } = await this.#write('alive')
    if (this.#isClosed) return
    if (before !== null) this.#meetSelf(before.facts, before.hasLeft)
    const ownMs = this.#nowMs()
    this.#judgeFrom(redisMs, ownMs)
    this.#lastMs = { redis: redisMs, own: ownMs }
    for (const entry of entries) this.#take(entry, redisMs)
    this.#judgeMissing(new Set(entries.map(({ facts: { node } }) => node)), redisMs)
    const keptMs = 1000 * this.#options.times.keptSeconds
    for (const [node, { state, sinceMs }] of this.#members)
      if ((state === 'gone' || state === 'left') && sinceMs + keptMs < ownMs) this.#members.delete(node)
  }

  async #write(state: 'alive' | 'left'): Promise<Answer> {
    const { redis, times } = this.#options
    const { sinceMs: _sinceMs, ...facts } = this.#self
    const json = JSON.stringify({ ...facts, state })
    const leaseMs = Math.round(1000 * times.leaseSeconds)
    const keptMs = Math.round(1000 * times.keptSeconds)
    this.#stats.messages += 1
    this.#stats.bytes += json.length
    const answer = await redis.script('keep the lease of a node', 0, {
      script: BEAT,
      keys: [this.#key],
      args: [facts.node, leaseMs, json, keptMs],
    })
    return readAnswer(answer)
  }

  /** A pause, of the Redis or of this node, and a clock that was set: nobody could renew, or nobody here has seen it. */
  #judgeFrom(redisMs: number, ownMs: number): void {
    const leaseMs = 1000 * this.#options.times.leaseSeconds
    const last = this.#lastMs
    const passedMs = last === null ? Infinity : redisMs - last.redis
    const skewMs = last === null ? 0 : Math.abs(passedMs - (ownMs - last.own))
    if (passedMs > leaseMs / 2 || passedMs < 0 || skewMs > leaseMs / 2) this.#graceUntilMs = redisMs + leaseMs
  }

  #take({ facts, hasLeft, untilMs }: Entry, redisMs: number): void {
    if (facts.node === this.#self.node) return
    this.#missingUntilMs.delete(facts.node)
    const before = this.#members.get(facts.node) ?? null
    if (before === null && this.#members.size >= LIMITS.clusterMembersMax) return
    const leftMs = untilMs - redisMs
    const halfMs = 500 * this.#options.times.leaseSeconds
    let state: MemberState = hasLeft ? 'left' : leftMs <= 0 ? 'gone' : leftMs < halfMs ? 'suspect' : 'alive'
    // Whoever is seen for the first time and is dead already is shown as what it is.
    const isDoubted = state === 'gone' || state === 'suspect'
    if (isDoubted && before !== null && redisMs < this.#graceUntilMs) state = before.state
    this.#set(before, facts, state)
  }

  /** Another node may have taken this one's name. */
  #meetSelf(facts: MemberFacts, hasLeft: boolean): void {
    const { incarnation, address } = this.#self
    if (hasLeft || facts.address === address || facts.incarnation <= incarnation) return
    this.#options.replaced?.(facts)
    this.#self = { ...this.#self, state: 'left', sinceMs: this.#nowMs() }
    this.#isClosed = true
    this.#cancel?.()
  }

  /** A Redis that was emptied has nobody: everybody has a lease's time to write again. */
  #judgeMissing(present: ReadonlySet<string>, redisMs: number): void {
    for (const member of this.#members.values()) {
      const { node, state } = member
      if (present.has(node) || state === 'gone' || state === 'left') continue
      const untilMs = this.#missingUntilMs.get(node)
      if (untilMs === undefined) this.#missingUntilMs.set(node, redisMs + 1000 * this.#options.times.leaseSeconds)
      else if (redisMs > untilMs && redisMs >= this.#graceUntilMs) {
        this.#missingUntilMs.delete(node)
        this.#set(member, member, 'gone')
      }
    }
  }

  #set(before: Member | null, facts: MemberFacts, state: MemberState): void {
    const sinceMs = before?.state === state ? before.sinceMs : this.#nowMs()
    const member: Member = { ...facts, state, sinceMs }
    this.#members.set(facts.node, member)
    if (before?.state !== state) {
      if (state === 'suspect') this.#stats.suspected += 1
      if (state === 'alive' && before?.state === 'suspect') this.#stats.refuted += 1
      if (state === 'gone' && before !== null) this.#stats.removed += 1
    } else if (isPlacedAlike(before, member)) return
    for (const watcher of this.#watchers) watcher({ before: before?.state ?? null, member })
  }
}

/** Bytes that are no node's, and nodes of a newer format, are passed over. */
function readAnswer(answer: unknown): Answer {
  const [now, list, before] = Array.isArray(answer) ? (answer as readonly unknown[]) : []
  const redisMs = Number(String(now))
  if (!Number.isFinite(redisMs) || !Array.isArray(list))
    throw new MembraneError('STORE_UNAVAILABLE', 'The Redis answered a heartbeat with what is no list of nodes.')
  const entries = (list as readonly unknown[]).flatMap((value) => entryOf(value) ?? [])
  return { redisMs, entries, before: entryOf(before) }
}

function entryOf(value: unknown): Entry | null {
  const text = String(value)
  const bar = text.indexOf('|')
  try {
    const { state, ...facts } = seenMember(JSON.parse(text.slice(bar + 1)), 'a node in the Redis')
    return facts.format > CLUSTER_FORMAT
      ? null
      : { facts, hasLeft: state === 'left', untilMs: Number(text.slice(0, bar)) }
  } catch (error) {
    if (error instanceof MembraneError || error instanceof SyntaxError) return null
    throw error
  }
}

function isPlacedAlike(a: MemberFacts, b: MemberFacts): boolean {
  return (
    a.incarnation === b.incarnation &&
    a.address === b.address &&
    a.isDraining === b.isDraining &&
    a.roles.join() === b.roles.join()
  )
}

function ignoreFailure(error: unknown): MembraneError {
  if (error instanceof MembraneError) return error
  throw error
}
