/**
 * Keeps equal bytes once: a key is a reference to content, and content is kept for as long as a reference names it.
 *
 *   r/<key>             reference: content hash, length and the owner's head; no payload
 *   b/<content hash>    content: the payload
 *   d/<hash>-<number>   a copy that was written only to take as long as writing; removed at once
 *
 * Content is written before its first reference and removed after its last one, so a crash in between leaves content
 * without a reference, never a reference without content; what it leaves is removed when the store is opened.
 *
 * The owner of a key is what stands before its first `/`. Whether somebody else has the same bytes must show neither in
 * an answer nor in the time it takes (vLLM's CVE-2025-46570 is that leak): the first put of an owner writes every byte
 * even if the content is there, and content is removed after the removal of its last reference was answered.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHash } from '../core/ids.ts'
import type {
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  StoredEntry,
  StoredFragment,
  StoredStream,
  StoreStats,
} from '../core/ports.ts'
import { BackgroundTasks } from './background-tasks.ts'
import { type Content, CountedContents, type KnownReference, ownerOf } from './canonical-contents.ts'
import { contentKey, copyKey, referenceKey } from './canonical-keys.ts'
import { Leftovers } from './canonical-leftovers.ts'
import { decodeReference, encodeReference, REFERENCE_HEAD_BYTES } from './canonical-reference.ts'
import { storeClosed } from './arguments.ts'
import { SerialTasks } from './serial.ts'

const NO_BYTES = new Uint8Array(0)

/** Times that a reader follows a key whose content was replaced under it; beyond, STORE_UNAVAILABLE asks it to come back. */
const LOOK_UPS_MAX = 16

export interface CanonicalRecovery {
  readonly references: number
  /** Contents, and copies, that a crash left without a reference: removed. */
  readonly orphansRemoved: number
  /** References whose content is gone: removed, and missing from now on. */
  readonly danglingRemoved: number
}

export interface CanonicalOptions {
  /** Hash of no bytes at all, by the algorithm that the store below checks references with. */
  readonly emptyContentHash: ContentHash
}

/** Reads every reference of `inner`, and removes what a crash has left. */
export async function openCanonicalStore(inner: FragmentStore, options: CanonicalOptions): Promise<CanonicalStore> {
  const store = new CanonicalStore(inner, options)
  await store.recover()
  return store
}

/** A store that keeps equal bytes once: see `openCanonicalStore`. */
export class CanonicalStore implements FragmentStore {
  readonly #inner: FragmentStore
  readonly #emptyContentHash: ContentHash
  readonly #contents = new CountedContents()
  /** Content that a key may name since a put of it failed: held until the key is known to name something else. */
  readonly #doubts = new Map<string, Content[]>()
  readonly #byKey = new SerialTasks()
  readonly #byContent = new SerialTasks()
  /** Removals that were answered and are still under way. */
  readonly #background = new BackgroundTasks(LIMITS.backgroundRemovalsMax)
  readonly #leftovers: Leftovers
  /** What references say, by the very bytes that say it: memory below gives the same ones each time, a device never does. */
  readonly #decoded: WeakMap<Uint8Array, StoredEntry> | null
  #decoys = 0
  #closing: Promise<void> | null = null
  #recovered: StoredEntry[] = []
  #recovery: CanonicalRecovery = { references: 0, orphansRemoved: 0, danglingRemoved: 0 }

  /** Use `openCanonicalStore`, which also recovers. */
  constructor(inner: FragmentStore, { emptyContentHash }: CanonicalOptions) {
    this.#inner = inner
    this.#emptyContentHash = emptyContentHash
    this.#decoded = inner.isProcessMemory === true ? new WeakMap() : null
    this.#leftovers = new Leftovers({
      inner,
      background: this.#background,
      byContent: this.#byContent,
      isNamed: (key, hash) => key === contentKey(hash) && this.#contents.get(hash) !== undefined,
    })
  }

  /** Every entry that was there when the store was opened; once, to spare who opens it a second look at all of them. */
  takeRecovered(): readonly StoredEntry[] {
    const recovered = this.#recovered
    this.#recovered = []
    return recovered
  }

  get recovery(): CanonicalRecovery {
    return this.#recovery
  }

  async recover(): Promise<void> {
    const lengths = new Map<string, number>()
    for await (const { key, payloadBytes } of this.#inner.list('b/')) lengths.set(key, payloadBytes)
    const dangling: string[] = []
    for await (const entry of this.#inner.list('r/')) {
      const found = entryOf(entry)
      if (lengths.get(contentKey(found.contentHash)) !== found.payloadBytes) {
        dangling.push(entry.key)
        continue
      }
      this.#contents.hold(found.key, found)
      this.#recovered.push(found)
    }
    const orphans = [...lengths.keys()].filter((key) => this.#contents.get(key.slice(2) as ContentHash) === undefined)
    for await (const { key } of this.#inner.list('d/')) orphans.push(key)
    await this.#inner.remove([...orphans, ...dangling])
    this.#recovery = {
      references: this.#contents.references.size,
      orphansRemoved: orphans.length,
      danglingRemoved: dangling.length,
    }
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    this.#checkOpen()
    checkHead(fragment)
    return this.#byKey.run(fragment.key, () => this.#put(fragment))
  }

  /**
   * Pieces come as slowly as their sender likes, and others may put the same bytes meanwhile: so they are collected in
   * a copy of their own, and only what is here already is written in turn with others.
   */
  async #put(fragment: FragmentPut): Promise<PutOutcome> {
    const { contentHash, payloadBytes, payload } = fragment
    if (payload instanceof Uint8Array) return this.#putWhole(fragment, () => payload)
    const outcome = await this.#putAgain(fragment)
    if (outcome !== null) return outcome
    const copy = this.#decoyKey(contentHash)
    try {
      await this.#inner.put({ key: copy, head: NO_BYTES, contentHash, payloadBytes, payload })
      return await this.#putWhole(fragment, async () => {
        const collected = await this.#inner.stream(copy)
        if (collected === null)
          throw new MembraneError('STORE_UNAVAILABLE', `What was sent of ${fragment.key} is gone.`)
        return collected.chunks
      })
    } finally {
      this.#leftovers.removeLater(contentHash, copy)
    }
  }

  /**
   * What the key names already needs no bytes, and nobody learns anything from that but who has them: only the reference
   * is written. Null when the key names something else, or turns out to name nothing any more.
   */
  async #putAgain(fragment: FragmentPut): Promise<PutOutcome | null> {
    const { key, contentHash, payloadBytes } = fragment
    return this.#byContent.run(contentHash, async () => {
      const content = this.#contents.get(contentHash)
      const isNamed = content !== undefined && this.#contents.references.get(key)?.content === content
      if (!isNamed || content.payloadBytes !== payloadBytes) return null
      const isThere = await this.#inner.has([referenceKey(key), contentKey(contentHash)])
      return isThere.every(Boolean) ? this.#writeReference(fragment) : null
    })
  }

  async #putWhole(
    fragment: FragmentPut,
    payloadOf: () => FragmentPut['payload'] | Promise<FragmentPut['payload']>,
  ): Promise<PutOutcome> {
    const outcome = await this.#byContent.run(fragment.contentHash, async () => {
      await this.#writeContent({ ...fragment, payload: await payloadOf() })
      return this.#writeReference(fragment)
    })
    await this.#roomInBackground()
    return outcome
  }

  async #writeReference({
    key,
    head,
    contentHash,
    payloadBytes,
    expiresAtMs = null,
  }: FragmentPut): Promise<PutOutcome> {
    // Held before the reference is written: content that is about to be named must not be removed meanwhile.
    const before = this.#contents.references.get(key)
    this.#contents.hold(key, { contentHash, payloadBytes, expiresAtMs })
    try {
      const outcome = await this.#inner.put({
        key: referenceKey(key),
        head: encodeReference({ contentHash, payloadBytes, head }),
        contentHash: this.#emptyContentHash,
        payloadBytes: 0,
        payload: NO_BYTES,
        isHashComputed: true,
        expiresAtMs,
      })
      if (before !== undefined) this.#release(key, before.content)
      this.#releaseDoubts(key)
      return outcome
    } catch (error) {
      this.#undo(key, before, error)
      throw error
    }
  }

  /**
   * Whether the reference was written is unknown when the store below went away: then the content stays held until the
   * key is put or removed, because a reference without content would be an empty promise.
   */
  #undo(key: string, before: KnownReference | undefined, error: unknown): void {
    const failed = this.#contents.references.get(key)
    this.#contents.rename(key, before)
    const isUnknown = error instanceof MembraneError && error.code === 'STORE_UNAVAILABLE'
    if (failed === undefined) return
    if (isUnknown) this.#doubts.set(key, [...(this.#doubts.get(key) ?? []), failed.content])
    else this.#release(key, failed.content)
  }

  #releaseDoubts(key: string): void {
    const doubts = this.#doubts.get(key) ?? []
    this.#doubts.delete(key)
    for (const content of doubts) this.#release(key, content)
  }

  /** Every byte is written unless this owner already has them, so that the time tells nothing of other owners. */
  async #writeContent(fragment: FragmentPut): Promise<void> {
    const { contentHash } = fragment
    const content = this.#contents.get(contentHash)
    const isHidden = content !== undefined && !content.ownerReferences.has(ownerOf(fragment.key))
    const key = isHidden ? this.#decoyKey(contentHash) : contentKey(contentHash)
    await this.#leftovers.removeIfLeft(key)
    try {
      await this.#inner.put({ ...fragment, key, head: NO_BYTES, expiresAtMs: null })
    } catch (error) {
      if (content === undefined || isHidden) this.#leftovers.removeLater(contentHash, key)
      throw error
    }
    if (isHidden) this.#leftovers.removeLater(contentHash, key)
  }

  #decoyKey(contentHash: ContentHash): string {
    this.#decoys += 1
    return copyKey(contentHash, this.#decoys)
  }

  async get(key: string, options?: GetOptions): Promise<StoredFragment | null> {
    return this.#follow(key, async (found) => {
      const content = await this.#inner.get(contentKey(found.contentHash), options)
      return content === null ? null : { ...found, payload: content.payload, done: content.done }
    })
  }

  async stream(key: string, options?: Pick<GetOptions, 'span'>): Promise<StoredStream | null> {
    return this.#follow(key, async (found) => {
      const content = await this.#inner.stream(contentKey(found.contentHash), options)
      return content === null ? null : { ...found, chunks: content.chunks }
    })
  }

  /** From the key to its content. A put may replace both between the two steps: then it is looked up again. */
  async #follow<T>(key: string, read: (found: StoredEntry) => Promise<T | null>): Promise<T | null> {
    for (let lookUps = 0; lookUps < LOOK_UPS_MAX; lookUps++) {
      const found = await this.#find(key)
      if (found === null) return null
      const content = await read(found)
      if (content !== null) return content
      if (await this.#dropLost(key, found.contentHash)) return null
    }
    throw new MembraneError('STORE_UNAVAILABLE', `${key} was replaced ${LOOK_UPS_MAX} times while it was read.`)
  }

  head(key: string): Promise<StoredEntry | null> {
    return this.#find(key)
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#inner.has(keys.map(referenceKey))
  }

  async remove(keys: readonly string[]): Promise<number> {
    this.#checkOpen()
    keys.forEach(referenceKey)
    let removed = 0
    for (let start = 0; start < keys.length; start += LIMITS.backgroundRemovalsMax) {
      const some = keys.slice(start, start + LIMITS.backgroundRemovalsMax)
      const found = await Promise.all(some.map((key) => this.#byKey.run(key, () => this.#remove(key))))
      removed += found.filter(Boolean).length
      await this.#roomInBackground()
    }
    return removed
  }

  async #remove(key: string): Promise<boolean> {
    const wasThere = (await this.#inner.remove([referenceKey(key)])) > 0
    this.#forget(key)
    return wasThere
  }

  /** The key names nothing any more. */
  #forget(key: string): void {
    const known = this.#contents.references.get(key)
    this.#contents.rename(key, undefined)
    if (known !== undefined) this.#release(key, known.content)
    this.#releaseDoubts(key)
  }

  async *list(prefix = ''): AsyncIterable<StoredEntry> {
    for await (const entry of this.#inner.list(`r/${prefix}`)) yield entryOf(entry)
  }

  /** Bytes that are kept: equal content counts once. */
  get contentBytes(): number {
    return this.#contents.contentBytes
  }

  /** Each payload in full. */
  stats(): StoreStats {
    const { corruptEntries } = this.#inner.stats()
    return { entries: this.#contents.references.size, payloadBytes: this.#contents.payloadBytes, corruptEntries }
  }

  /** Removes every reference whose content is gone from the store below, and gives their keys. Looks at all of them. */
  async dropDangling(): Promise<readonly string[]> {
    const dangling: string[] = []
    for (const [key, { content }] of this.#contents.references) {
      const [isThere] = await this.#inner.has([contentKey(content.contentHash)])
      if (isThere === true) continue
      if (await this.#dropLost(key, content.contentHash)) dangling.push(key)
    }
    return dangling
  }

  async sync(): Promise<void> {
    await this.#background.settle()
    await this.#inner.sync()
  }

  /** What could not be removed before is tried once more, and throws when it still cannot. */
  async purge(): Promise<void> {
    for (const key of this.#doubts.keys()) await this.#forgetIfGone(key)
    await this.#forgetExpired()
    await this.#background.drain()
    this.#leftovers.retryAll()
    await this.#background.settle()
    await this.#inner.purge()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    try {
      await this.#byKey.settle()
      await this.#background.settle()
    } finally {
      await this.#inner.close()
    }
  }

  /** What comes after the call of `close` is refused: whoever goes on putting would keep it from ending. */
  #checkOpen(): void {
    if (this.#closing !== null) throw storeClosed()
  }

  async #find(key: string): Promise<StoredEntry | null> {
    const entry = await this.#inner.head(referenceKey(key))
    if (entry !== null) return this.#entryOf(entry)
    // Expired, or found damaged, below: what it held is released here. A first put that is under way is not waited for.
    if (this.#contents.references.has(key)) await this.#forgetIfGone(key)
    return null
  }

  #entryOf(reference: StoredEntry): StoredEntry {
    const known = this.#decoded?.get(reference.head)
    if (known !== undefined) return known
    const entry = entryOf(reference)
    this.#decoded?.set(reference.head, entry)
    return entry
  }

  /** What has expired is for the store below to say: it may go by another clock. */
  async #forgetExpired(): Promise<void> {
    const references = [...this.#contents.references]
    const expiring = references.filter(([, { expiresAtMs }]) => expiresAtMs !== null).map(([key]) => key)
    for (let start = 0; start < expiring.length; start += LIMITS.backgroundRemovalsMax) {
      const some = expiring.slice(start, start + LIMITS.backgroundRemovalsMax)
      const isThere = await this.has(some)
      await Promise.all(some.filter((_, index) => isThere[index] !== true).map((key) => this.#forgetIfGone(key)))
      await this.#roomInBackground()
    }
  }

  async #forgetIfGone(key: string): Promise<void> {
    await this.#byKey.run(key, async () => {
      if ((await this.#inner.has([referenceKey(key)]))[0] !== true) this.#forget(key)
    })
  }

  /**
   * For who found no content under the hash that the key named: true when it is lost, and then the key is a miss until
   * somebody puts it again; false when the key names something else by now, or the content has been put again.
   */
  async #dropLost(key: string, contentHash: ContentHash): Promise<boolean> {
    return this.#byKey.run(key, async () => {
      const entry = await this.#inner.head(referenceKey(key))
      if (entry === null || entryOf(entry).contentHash !== contentHash) return false
      return this.#byContent.run(contentHash, async () => {
        if ((await this.#inner.has([contentKey(contentHash)]))[0] === true) return false
        const content = this.#contents.get(contentHash)
        if (content !== undefined) this.#contents.drop(content)
        await this.#remove(key)
        return true
      })
    })
  }

  #release(key: string, content: Content): void {
    if (!this.#contents.release(key, content)) return
    const { contentHash } = content
    this.#background.start(() =>
      this.#byContent.run(contentHash, async () => {
        // Somebody may have put it again while this waited, or it was lost and is another one now.
        if (this.#contents.get(contentHash) !== content || content.references > 0) return
        this.#contents.drop(content)
        await this.#leftovers.remove(contentKey(contentHash))
      }),
    )
  }

  /** Waits while more removals are under way than the limit. */
  async #roomInBackground(): Promise<void> {
    if (this.#background.isIdle) this.#leftovers.retryOne()
    await this.#background.room()
  }
}

/** Throws INVALID_REQUEST when the head leaves no room for what a reference says itself. */
function checkHead({ key, head }: FragmentPut): void {
  const headBytesMax = LIMITS.storeHeadBytesMax - REFERENCE_HEAD_BYTES
  if (head.length <= headBytesMax) return
  throw new MembraneError(
    'INVALID_REQUEST',
    `The head of an entry takes at most ${headBytesMax} bytes, found ${head.length}.`,
    { details: { key, headBytes: head.length } },
  )
}

function entryOf(entry: StoredEntry): StoredEntry {
  assert(entry.key.startsWith('r/'), `a reference is under r/, not ${entry.key}`)
  return { ...decodeReference(entry.head), key: entry.key.slice(2), expiresAtMs: entry.expiresAtMs }
}
