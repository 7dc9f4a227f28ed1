/** What can be done with stored fragments, once for all doors. Missing is an outcome; everything else that fails throws. */
import { randomInt } from 'node:crypto'
import type { BlockHashes } from '../core/block-hashes.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import { isContextKind } from '../core/fragment.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import type { ByteSpan, Clock, GetOptions, StoredEntry, StoredFragment } from '../core/ports.ts'
import type { SimilarFragment } from '../indices/indexed-fragment.ts'
import type { PayloadMemory } from '../store/payload-memory.ts'
import { SerialTasks } from '../store/serial.ts'
import type { TenantUsage } from '../store/tenants.ts'
import { AnswerRoom } from './answer-room.ts'
import { ArrivingHashes } from './arriving-hashes.ts'
import type { Elsewhere } from './cluster-elsewhere.ts'
import type { Forgotten } from './cluster-forget.ts'
import type { Caller } from './caller.ts'
import type { Fabric } from './fabric.ts'
import type { Gate } from './gate.ts'
import { DEFAULT_LISTING_IDLE_MS, Listings, type ListingPage, type Random32 } from './listings.ts'
import type {
  Described,
  FabricPut,
  FabricPutResult,
  FabricRevision,
  HeldPrefix,
  TenantFabric,
} from './tenant-fabric.ts'

/** Which of some keys are there, in order, and until when they stay. */
export interface Presence {
  readonly isPresent: readonly boolean[]
  readonly leasedUntilMs: number
}

export interface FragmentOperationsParts {
  readonly fabric: Fabric
  readonly gate: Gate
  readonly clock: Clock
  /** Of look-ups that name none. */
  readonly leaseMs: number
  /** How long a listing is kept that nobody continues; default DEFAULT_LISTING_IDLE_MS. */
  readonly listingIdleMs?: number
  /** Where payloads of a memory store rest, for doors to read bodies into; null allocates anew. */
  readonly payloadMemory?: PayloadMemory | null
  /** See `AnswerRoom`; default LIMITS.answersBytesMax. */
  readonly answersBytesMax?: number
  /** What other nodes of a cluster have; null or missing where this node is alone. */
  readonly elsewhere?: Elsewhere | null
  /** Makes cursors; default the chance of the machine. */
  readonly random32?: Random32
}

/** Bytes of a fragment on their way to a reader: whole, or as they are read, or neither where none were asked for. */
export interface PayloadRead {
  readonly payload: Uint8Array | null
  readonly chunks: AsyncIterable<Uint8Array> | null
  /**
   * To be called when the reader has all of the bytes, or will have no more of them; only the first call counts. Says
   * whether they went where they should: memory of which nobody knows that is not used again.
   */
  readonly ended: (isSent: boolean) => void
}

/** A fragment and the bytes of it that were chosen. */
export interface FragmentRead extends PayloadRead {
  readonly entry: Described<StoredEntry>
}

/** Which page of which listing. */
export interface ListRequest {
  readonly prefix: string
  /** Null for the first page; then `prefix` counts. */
  readonly cursor: string | null
  /** 1 to LIMITS.listingPageMax. */
  readonly limit: number
}

/** Larger payloads are read as they are consumed, unless the reader says otherwise. */
export const WHOLE_BYTES_MAX = 8 * 1024 * 1024
/** Larger ones are, whatever it says: they fit no memory tier of the usual size, and reading ahead of the reader gains nothing. */
export const SLICED_BYTES_MAX = 64 * 1024 * 1024
/** What any connection may hold without asking for room. */
const SMALL_BYTES_MAX = 1024 * 1024
/** Each time, a put has to fall between two steps of one read. */
const READS_MAX = 16
const NOTHING_HELD = (): void => {}

/** See the top of this file. Every call throws FORBIDDEN, RATE_LIMITED and DRAINING beside what is said. */
export class FragmentOperations {
  readonly #parts: FragmentOperationsParts

  readonly #answers: AnswerRoom
  readonly #puts = new SerialTasks()
  readonly #listings: Listings<Described<StoredEntry>>

  constructor(parts: FragmentOperationsParts) {
    this.#parts = parts
    this.#answers = new AnswerRoom(parts.answersBytesMax)
    this.#listings = new Listings({
      clock: parts.clock,
      random32: parts.random32 ?? (() => randomInt(2 ** 32)),
      idleMs: parts.listingIdleMs ?? DEFAULT_LISTING_IDLE_MS,
    })
  }

  /** For a payload that will be given away: not zeroed, so all of it must be written. */
  memoryFor(bytes: number): Uint8Array {
    // Not from the pool of Node: a slice of it would keep 8 KiB alive.
    return this.#parts.payloadMemory?.take(bytes) ?? Buffer.allocUnsafeSlow(bytes)
  }

  /** For one connection. */
  arrivingHashes(): ArrivingHashes {
    return new ArrivingHashes(this.#parts.fabric.hasher)
  }

  /** Throws what `TenantFabric.put` throws. `refused` is an outcome: a full store rather keeps what it has. */
  put(caller: Caller, put: FabricPut): Promise<FabricPutResult> {
    this.#enterPut(caller, put)
    const key = nameOf(put)
    const store = async (): Promise<FabricPutResult> => {
      const result = await this.#own(caller).put(put)
      // Others may hold what was there before.
      if (result.outcome === 'replaced')
        await this.#forgetElsewhere(caller, [{ key: result.key, keep: result.contentHash }])
      return result
    }
    // Bytes under their own hash are the same whoever comes first.
    return key === null ? store() : this.#puts.run(`${caller.tenant}/${key}`, store)
  }

  /** Null, and nothing is put, when something is there under the key: of two at once, one puts. */
  putIfAbsent(caller: Caller, put: FabricPut, key: string): Promise<FabricPutResult | null> {
    this.#enterPut(caller, put)
    return this.#puts.run(`${caller.tenant}/${key}`, async () => {
      const own = this.#own(caller)
      return (await own.has([key]))[0] === true ? null : own.put(put)
    })
  }

  /** Bytes under a key that an engine gave them. */
  putOpaque(caller: Caller, put: Omit<FabricPut, 'description'> & { readonly foreignKey: Uint8Array }) {
    return this.put(caller, { ...put, description: byteDescription('opaque') })
  }

  get(caller: Caller, key: string, options?: GetOptions): Promise<Described<StoredFragment> | null> {
    this.#parts.gate.enter(caller, 'read')
    return this.#readThrough(caller, key, () => this.#own(caller).get(key, options))
  }

  /**
   * One read by one request: `choose` sees the description and says which bytes it wants, if any. Large ones are read as
   * they are consumed, so that a slow reader holds a chunk and not all of them. A door that sends whole payloads in
   * slices asks for them up to `wholeBytesMax`; SLICED_BYTES_MAX and the room for answers bound that.
   */
  async read(
    caller: Caller,
    key: string,
    choose: (entry: Described<StoredEntry>) => ByteSpan | null,
    wholeBytesMax = WHOLE_BYTES_MAX,
  ): Promise<FragmentRead | null> {
    this.#parts.gate.enter(caller, 'read')
    const own = this.#own(caller)
    return this.#readUnchanged(caller, key, async () => {
      const entry = await own.head(key)
      if (entry === null) return null
      const read = await this.#payloadOf(own, entry, choose(entry), wholeBytesMax)
      return read === null || read === 'changed' ? read : { entry, ...read }
    })
  }

  /** The same for whoever needs no description and sends in slices. */
  async readPayload(
    caller: Caller,
    key: string,
    choose: (entry: StoredEntry) => ByteSpan | null = allOf,
  ): Promise<(PayloadRead & { readonly payloadBytes: number }) | null> {
    this.#parts.gate.enter(caller, 'read')
    const own = this.#own(caller)
    return this.#readUnchanged(caller, key, async () => {
      const entry = await own.entry(key)
      if (entry === null) return null
      const read = await this.#payloadOf(own, entry, choose(entry), SLICED_BYTES_MAX)
      return read === null || read === 'changed' ? read : { payloadBytes: entry.payloadBytes, ...read }
    })
  }

  /** Of large payloads that are held as a whole until their readers have taken them. */
  get answersBytes(): number {
    return this.#answers.bytes
  }

  head(caller: Caller, key: string): Promise<Described<StoredEntry> | null> {
    this.#parts.gate.enter(caller, 'read')
    return this.#readThrough(caller, key, () => this.#own(caller).head(key))
  }

  /**
   * What is here stays readable until `leasedUntilMs`; no lease is taken for `leaseMs` 0. What another node of the
   * cluster says that it has is there too, and is leased once it is read.
   */
  async has(caller: Caller, keys: readonly string[], leaseMs: number = this.#parts.leaseMs): Promise<Presence> {
    this.#parts.gate.enter(caller, 'read')
    const leasedUntilMs = this.#parts.clock.nowMs() + leaseMs
    const own = this.#own(caller)
    const isHere = await (leaseMs > 0 ? own.lease(keys, leaseMs) : own.has(keys))
    return { isPresent: await this.#orElsewhere(caller, keys, isHere), leasedUntilMs }
  }

  /** The leading blocks of a prompt that are here, leased. */
  longestPrefix(
    caller: Caller,
    prompt: { readonly model: ModelFingerprint; readonly hashes: BlockHashes; readonly blockTokens: number },
    leaseMs: number = this.#parts.leaseMs,
  ): Promise<HeldPrefix> {
    this.#parts.gate.enter(caller, 'read')
    // The store confirms what the index proposes by leasing it, however shortly.
    return this.#own(caller).longestPrefix(prompt, { leaseMs: Math.max(1, leaseMs), blockTokens: prompt.blockTokens })
  }

  /** Changes how long a fragment is kept, without moving its bytes; false when it is not there. */
  revise(caller: Caller, key: string, revision: FabricRevision): Promise<boolean> {
    this.#parts.gate.enter(caller, 'write')
    return this.#own(caller).revise(key, revision)
  }

  /** How many were there, here or at another node of the cluster: they are removed there too. */
  async remove(caller: Caller, keys: readonly string[]): Promise<number> {
    this.#parts.gate.enter(caller, 'write')
    const own = this.#own(caller)
    if (this.#parts.elsewhere == null) return own.remove(keys)
    const isHere = await own.has(keys)
    const removed = await own.remove(keys)
    const what = keys.map((key) => ({ key, keep: null }))
    const wasElsewhere = await this.#forgetElsewhere(caller, what)
    return removed + wasElsewhere.filter((was, index) => was && isHere[index] === false).length
  }

  /** Keys in no order. */
  keys(caller: Caller, prefix?: string): AsyncIterable<string> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).keys(prefix)
  }

  /** One page of what is stored under keys that begin with `prefix`, in no order, by a cursor or from the start. */
  list(caller: Caller, { prefix, cursor, limit }: ListRequest): Promise<ListingPage<Described<StoredEntry>>> {
    this.#parts.gate.enter(caller, 'read')
    if (cursor === null) return this.#listings.start(caller.tenant, this.#own(caller).list(prefix), limit)
    return this.#listings.next(caller.tenant, cursor, limit)
  }

  /** One turn of a session used these fragments, in this order. What is used together is kept together. */
  accessed(caller: Caller, session: string, keys: readonly string[]): void {
    this.#parts.gate.enter(caller, 'write')
    this.#own(caller).accessed(session, keys)
  }

  /** No further turn of the session comes: what nobody else uses leaves first. Whether the session was known. */
  closeSession(caller: Caller, session: string): boolean {
    this.#parts.gate.enter(caller, 'write')
    return this.#own(caller).closeSession(session)
  }

  /** Fragments whose text is near. Throws NOT_SUPPORTED without a semantic index. */
  similar(caller: Caller, query: Parameters<TenantFabric['similar']>[0]): readonly SimilarFragment[] {
    this.#parts.gate.enter(caller, 'read')
    const found = this.#own(caller).similar(query)
    if (found !== null) return found
    throw new MembraneError('NOT_SUPPORTED', 'This node was started without a semantic index.', {
      remedy: 'Start it with one, or look fragments up by their keys.',
    })
  }

  /** Entries in no order, but those whose head this version cannot read. */
  entries(caller: Caller, prefix?: string): AsyncIterable<Described<StoredEntry>> {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).list(prefix)
  }

  /** What the caller's tenant holds. */
  usage(caller: Caller): TenantUsage {
    this.#parts.gate.enter(caller, 'read')
    return this.#own(caller).usage
  }

  /** A node that asks wants to know what is here; anybody else is given what another node has, which is brought here first. */
  async #readThrough<T>({ tenant, role }: Caller, key: string, read: () => Promise<T | null>): Promise<T | null> {
    const found = await read()
    const { elsewhere = null } = this.#parts
    if (found !== null) elsewhere?.touched(tenant, key)
    if (found !== null || elsewhere === null || role === 'node') return found
    return (await elsewhere.bring(tenant, key)) ? read() : null
  }

  /** A node that removes speaks for itself alone. */
  #forgetElsewhere({ tenant, role }: Caller, what: readonly Forgotten[]): Promise<readonly boolean[]> {
    const { elsewhere = null } = this.#parts
    if (elsewhere === null || role === 'node') return Promise.resolve(what.map(() => false))
    return elsewhere.forget(tenant, what)
  }

  #readUnchanged<T>(caller: Caller, key: string, read: () => Promise<T | null | 'changed'>): Promise<T | null> {
    return this.#readThrough(caller, key, () => unchanged(key, read))
  }

  async #orElsewhere(
    { tenant, role }: Caller,
    keys: readonly string[],
    isHere: readonly boolean[],
  ): Promise<readonly boolean[]> {
    const { elsewhere = null } = this.#parts
    if (elsewhere === null || role === 'node' || isHere.every(Boolean)) return isHere
    const missing = keys.filter((_, index) => isHere[index] !== true)
    const answers = (await elsewhere.has(tenant, missing)).values()
    return isHere.map((is) => is || answers.next().value === true)
  }

  async #payloadOf(
    own: TenantFabric,
    entry: Pick<StoredEntry, 'key' | 'contentHash' | 'payloadBytes'>,
    asked: ByteSpan | null,
    wholeBytesMax: number,
  ): Promise<PayloadRead | null | 'changed'> {
    if (asked === null || asked.start === asked.end) return { payload: null, chunks: null, ended: NOTHING_HELD }
    const { key, payloadBytes } = entry
    const span = asked.start === 0 && asked.end === payloadBytes ? {} : { span: asked }
    // Of all of it, whatever part is asked for: a part is a view, or was verified with the rest.
    const release = payloadBytes <= SMALL_BYTES_MAX ? NOTHING_HELD : this.#answers.take(payloadBytes)
    try {
      if (release === null || payloadBytes > Math.min(wholeBytesMax, SLICED_BYTES_MAX)) {
        const found = await own.stream(key, { ...span, isFromBelow: release === null })
        if (found !== null && isSame(entry, found)) return await begun(found.chunks, release ?? NOTHING_HELD)
        release?.()
        return found === null ? null : 'changed'
      }
      const found = await own.read(key, span)
      if (found !== null && isSame(entry, found))
        return { payload: found.payload, chunks: null, ended: endOf(found, release) }
      release()
      found?.done?.()
      return found === null ? null : 'changed'
    } catch (error) {
      release?.()
      // The part that was chosen may be none of what is there now.
      const now = await own.entry(key)
      if (now !== null && !isSame(entry, now)) return 'changed'
      throw error
    }
  }

  #enterPut(caller: Caller, { payload, payloadBytes = 0 }: FabricPut): void {
    const bytes = payload instanceof Uint8Array ? payload.length : payloadBytes
    this.#parts.gate.enter(caller, 'write', bytes)
  }

  #own({ tenant }: Caller): TenantFabric {
    return this.#parts.fabric.of(tenant)
  }
}

function allOf({ payloadBytes }: StoredEntry): ByteSpan {
  return { start: 0, end: payloadBytes }
}

function endOf({ done }: StoredFragment, release: () => void): (isSent: boolean) => void {
  return (isSent) => {
    release()
    if (isSent) done?.()
  }
}

/**
 * A payload of which the first chunk has been read: what cannot be read is known before anything is said of it, and
 * who takes the place of the value from here on does not disturb its reader.
 */
async function begun(chunks: AsyncIterable<Uint8Array>, release: () => void): Promise<PayloadRead> {
  const iterator = chunks[Symbol.asyncIterator]()
  const first = await iterator.next()
  return {
    payload: null,
    chunks: continued(iterator, first),
    ended: () => {
      release()
      // Of a reader who took none of it.
      void iterator.return?.()
    },
  }
}

async function* continued(
  iterator: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await iterator.next()) yield next.value
  } finally {
    await iterator.return?.()
  }
}

/** Reads again what was changed between its description and its bytes. Throws STORE_UNAVAILABLE when that goes on. */
async function unchanged<T>(key: string, read: () => Promise<T | null | 'changed'>): Promise<T | null> {
  for (let times = 0; times < READS_MAX; times++) {
    const found = await read()
    if (found !== 'changed') return found
  }
  throw new MembraneError('STORE_UNAVAILABLE', `${key} was replaced ${READS_MAX} times while it was read.`)
}

/** Whether what was read is what was described: a put may have come between. */
function isSame(entry: Pick<StoredEntry, 'contentHash' | 'payloadBytes'>, found: typeof entry): boolean {
  return entry.contentHash === found.contentHash && entry.payloadBytes === found.payloadBytes
}

/** The key that a put goes to, where others may put other bytes to the same one. */
function nameOf({ description, foreignKey }: FabricPut): string | null {
  const { kind } = description.signature
  if (!isContextKind(kind)) return foreignKey === undefined ? null : fragmentKey({ kind, name: foreignKey })
  return description.blocks.length === 0 ? null : fragmentKey(contextName(description))
}

/** The key of bytes under a key that an engine gave them, 1 or more bytes. Throws INVALID_REQUEST for one that is too long. */
export function opaqueKey(foreignKey: Uint8Array): string {
  return fragmentKey({ kind: 'opaque', name: foreignKey })
}
