/** A directory in a Redis: one round trip for all blocks of a prompt; what is lost there is told again by who holds it. */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
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
} from '../cluster/block-directory.ts'
import { type DirectoryChange, DirectoryChanges } from '../cluster/directory-changes.ts'
import { type HeldNames, tierValue } from '../cluster/held-names.ts'
import type { Membership } from '../cluster/membership.ts'
import { BUCKETS, DIGEST_WORDS, NameTable } from '../cluster/name-table.ts'
import type { RedisClient, RedisScript, ScriptReply } from '../store/redis-client.ts'
import {
  CHANGE_SCRIPT,
  DIGEST_SCRIPT,
  FORGET_SCRIPT,
  LOCATE_SCRIPT,
  NAME_TENANT_SCRIPT,
  REPLACE_SCRIPT,
  TENANTS_SCRIPT,
} from './redis-directory-scripts.ts'

export interface RedisDirectoryOptions {
  readonly redis: Pick<RedisClient, 'script'>
  /** Of all keys. */
  readonly cluster: string
  readonly membership: Membership
  readonly own: HeldNames
  readonly alarm: Alarm
  readonly clock: Clock
}

const FLUSH_SECONDS = 0.02
const REPAIR_SECONDS = 30
/** After a failure, and when the Redis turns out to have forgotten this node. */
const REPAIR_SOON_SECONDS = 1
/** What a node said that has been gone for so long is taken out, by the first of those that live. */
const GONE_SECONDS = 60
/** Names of one call: a script keeps the Redis from everything else meanwhile. */
const CALL_NAMES = 4096

const EMPTY = new NameTable()

/** See the top of this file. */
export class RedisDirectory implements BlockDirectory {
  readonly #options: RedisDirectoryOptions
  readonly #changes = new DirectoryChanges()
  readonly #told = new Set<TenantId>()
  readonly #stats = { lookups: 0, failures: 0, refused: 0 }
  readonly #abort = new AbortController()
  #flushAlarm: (() => void) | null = null
  #repairAlarm: { readonly cancel: () => void; readonly atMs: number } | null = null
  #sending: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: RedisDirectoryOptions) {
    this.#options = options
    this.#repairIn(REPAIR_SECONDS)
  }

  async locate(tenant: TenantId, names: BlockNames, _options: CallOptions = {}): Promise<readonly Holding[]> {
    const count = names.length / BLOCK_NAME_BYTES
    if (!Number.isInteger(count) || count > LIMITS.directoryNamesMax)
      throw new MembraneError(
        'INVALID_REQUEST',
        `A look-up takes at most ${LIMITS.directoryNamesMax} names of ${BLOCK_NAME_BYTES} bytes; found ${names.length} bytes.`,
      )
    this.#stats.lookups += 1
    if (count === 0) return []
    try {
      const answer = await this.#call('look up blocks', LOCATE_SCRIPT, tenant, [asBuffer(names)])
      return this.#read(tenant, answer, count)
    } catch (error) {
      this.#failed(error)
      throw error
    }
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
    return this.#next(async () => {
      for (const [tenant, changes] of this.#changes.take()) await this.#send(tenant, changes)
    })
  }

  async repair({ signal }: CallOptions = {}): Promise<DirectoryRepair> {
    await this.flush()
    const sum = { held: this.#options.own.size, added: 0, removed: 0 }
    await this.#next(async () => {
      const { node } = this.#options.membership.self
      for (const tenant of new Set([...(await this.#tenants()), ...this.#told, ...this.#options.own.tenants()])) {
        if (signal?.aborted === true) throw new MembraneError('ABORTED', 'The repair of the directory was cancelled.')
        const { added, removed } = await this.#repairHolder(tenant, node, this.#options.own.table(tenant))
        sum.added += added
        sum.removed += removed
        if (this.#options.own.table(tenant) === null) this.#told.delete(tenant)
        await this.#forgetGone(tenant)
      }
    })
    return sum
  }

  stats(): DirectoryStats {
    return {
      own: this.#options.own.size,
      waiting: this.#changes.waiting,
      lookups: this.#stats.lookups,
      failures: this.#stats.failures,
      refused: this.#stats.refused + this.#changes.dropped,
    }
  }

  async withdraw(): Promise<void> {
    await this.flush()
    const { node } = this.#options.membership.self
    for (const tenant of new Set([...this.#told, ...this.#options.own.tenants()]))
      await this.#next(async () => {
        await this.#repairHolder(tenant, node, null)
        await this.#call('take out a node', FORGET_SCRIPT, tenant, [node])
      })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#flushAlarm?.()
    this.#repairAlarm?.cancel()
    this.#abort.abort()
    await this.#sending
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }

  /** One after the other, so that what is said last holds. */
  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#sending.then(work)
    this.#sending = done.catch(() => undefined)
    return done
  }

  #tell(tenant: TenantId, change: DirectoryChange): void {
    if (this.#isClosed || change.names.length === 0) return
    this.#told.add(tenant)
    if (!this.#changes.add(tenant, change)) this.#repairIn(REPAIR_SOON_SECONDS)
    this.#flushAlarm ??= this.#options.alarm.after(
      FLUSH_SECONDS,
      () => void this.flush().catch((error: unknown) => this.#failed(error)),
    )
  }

  /** What does not come through is left to the next repair. */
  async #send(tenant: TenantId, changes: readonly DirectoryChange[]): Promise<void> {
    const { node } = this.#options.membership.self
    try {
      await this.#nameTenant(tenant)
      for (const piece of pieces(changes)) {
        const args = piece.flatMap(({ value, names }) => [value, asBuffer(names)])
        const answer = await this.#call('tell what a node holds', CHANGE_SCRIPT, tenant, [
          node,
          LIMITS.directoryEntriesMax,
          ...args,
        ])
        const [isNew = 0, refused = 0] = numbersOf(answer)
        this.#stats.refused += refused
        // It has told before: the Redis has forgotten it.
        if (isNew === 1 && this.#options.own.size > pieceNames(piece)) this.#repairIn(REPAIR_SOON_SECONDS)
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  async #repairHolder(
    tenant: TenantId,
    node: string,
    table: NameTable | null,
  ): Promise<{ readonly added: number; readonly removed: number }> {
    const answer = await this.#call('compare what a node holds', DIGEST_SCRIPT, tenant, [node])
    const known = digestOf(answer)
    const own = table ?? EMPTY
    const sum = { added: 0, removed: 0 }
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      if (own.isBucketAlike(bucket, known)) continue
      const args = [
        node,
        bucket,
        tierValue(this.#options.own.tier),
        asBuffer(own.bucket(bucket)),
        LIMITS.directoryEntriesMax,
      ]
      const replaced = await this.#call('mend what a node holds', REPLACE_SCRIPT, tenant, args)
      const [added = 0, removed = 0, refused = 0] = numbersOf(replaced)
      sum.added += added
      sum.removed += removed
      this.#stats.refused += refused
    }
    return sum
  }

  async #forgetGone(tenant: TenantId): Promise<void> {
    const { membership } = this.#options
    const members = membership.members()
    const [first] = members.filter(({ state }) => state === 'alive')
    if (first?.node !== membership.self.node) return
    const longAgoMs = this.#nowMs() - 1000 * GONE_SECONDS
    for (const { node, state, sinceMs } of members) {
      if (state !== 'left' && !(state === 'gone' && sinceMs < longAgoMs)) continue
      await this.#repairHolder(tenant, node, null)
      await this.#call('take out a node', FORGET_SCRIPT, tenant, [node])
    }
  }

  #read(tenant: TenantId, answer: ScriptReply, count: number): readonly Holding[] {
    const [holders, found] = Array.isArray(answer) ? (answer as readonly ScriptReply[]) : []
    if (!Array.isArray(holders) || !Buffer.isBuffer(found))
      throw new MembraneError('STORE_UNAVAILABLE', 'The Redis answered a look-up with what is no list of holders.')
    const tiersOf = new Map<number, Uint8Array>()
    const byNode: { readonly node: string; readonly number: number }[] = []
    for (let at = 0; at + 1 < holders.length; at += 2)
      byNode.push({ node: String(holders[at]), number: Number(String(holders[at + 1])) })
    const { membership, own } = this.#options
    if (own.table(tenant) !== null && !byNode.some(({ node }) => node === membership.self.node))
      this.#repairIn(REPAIR_SOON_SECONDS)
    for (let at = 0; at + 6 <= found.length; ) {
      const index = found.readUInt32LE(at)
      const end = at + 6 + found.readUInt16LE(at + 4)
      for (let pair = at + 6; pair + 3 <= end; pair += 3) {
        const number = found.readUInt16LE(pair)
        const tiers = tiersOf.get(number) ?? new Uint8Array(count)
        tiersOf.set(number, tiers)
        tiers[index] = found[pair + 2] ?? 0
      }
      at = end
    }
    return byNode.flatMap(({ node, number }) => {
      const tiers = tiersOf.get(number)
      const state = membership.member(node)?.state
      return tiers !== undefined && (state === 'alive' || state === 'suspect') ? [{ node, tiers }] : []
    })
  }

  /** Tenants of whom anything is in the directory: a node that has lost its disk does not know whom it held. */
  async #tenants(): Promise<readonly TenantId[]> {
    const answer = await this.#options.redis.script('list tenants', 0, {
      script: TENANTS_SCRIPT,
      keys: [this.#tenantsKey()],
      args: [],
    })
    return Array.isArray(answer) ? answer.map((name) => parseTenantId(String(name))) : []
  }

  async #nameTenant(tenant: TenantId): Promise<void> {
    await this.#options.redis.script('name a tenant', 0, {
      script: NAME_TENANT_SCRIPT,
      keys: [this.#tenantsKey()],
      args: [tenant],
    })
  }

  #tenantsKey(): Buffer {
    return Buffer.from(`membrane:{${this.#options.cluster}}:tenants`)
  }

  #call(
    what: string,
    script: RedisScript,
    tenant: TenantId,
    args: readonly (Buffer | string | number)[],
  ): Promise<ScriptReply> {
    const bytes = args.reduce<number>((sum, arg) => sum + (Buffer.isBuffer(arg) ? arg.length : 0), 0)
    // No tenant's name has braces: those before it decide the hash slot.
    const base = Buffer.from(`membrane:{${this.#options.cluster}/${tenant}}`)
    return this.#options.redis.script(what, bytes, { script, keys: [base], args })
  }

  #failed(error: unknown): void {
    if (!(error instanceof MembraneError)) throw error
    if (this.#isClosed) return
    this.#stats.failures += 1
    this.#repairIn(REPAIR_SOON_SECONDS)
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

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function numbersOf(answer: ScriptReply): readonly number[] {
  return Array.isArray(answer) ? answer.map(Number) : []
}

function digestOf(answer: ScriptReply): Uint32Array {
  const bytes = 4 * BUCKETS * DIGEST_WORDS
  if (!Buffer.isBuffer(answer) || answer.length !== bytes) return EMPTY.digest
  return new Uint32Array(Uint8Array.from(answer).buffer)
}

function pieceNames(piece: readonly DirectoryChange[]): number {
  return piece.reduce((sum, { names }) => sum + names.length / BLOCK_NAME_BYTES, 0)
}

/** In order, cut so that no call has more than CALL_NAMES. */
function* pieces(changes: readonly DirectoryChange[]): Generator<readonly DirectoryChange[]> {
  for (const { value, names } of changes)
    for (let at = 0; at < names.length; at += CALL_NAMES * BLOCK_NAME_BYTES)
      yield [{ value, names: names.subarray(at, at + CALL_NAMES * BLOCK_NAME_BYTES) }]
}
