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
import { decodeReference, encodeReference, REFERENCE_HEAD_BYTES } from './canonical-reference.ts'
import { checkKey } from './arguments.ts'
import { SerialTasks } from './serial.ts'

const NO_BYTES = new Uint8Array(0)

interface Content {
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  /** References by owner: a put of an owner that has one need not write the bytes again. */
  readonly ownerReferences: Map<string, number>
  references: number
}

interface KnownReference {
  /** What it counts in. Content that was lost and put again is another one, which this reference does not hold. */
  readonly content: Content
  readonly expiresAtMs: number | null
}

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

export class CanonicalStore implements FragmentStore {
  readonly #inner: FragmentStore
  readonly #emptyContentHash: ContentHash
  readonly #references = new Map<string, KnownReference>()
  readonly #contents = new Map<ContentHash, Content>()
  readonly #byKey = new SerialTasks()
  readonly #byContent = new SerialTasks()
  /** Removals that were answered and are still under way. */
  readonly #background = new Set<Promise<void>>()
  #backgroundError: unknown = null
  #payloadBytes = 0
  #contentBytes = 0
  #decoys = 0
  #closing: Promise<void> | null = null
  #recovered: StoredEntry[] = []
  #recovery: CanonicalRecovery = { references: 0, orphansRemoved: 0, danglingRemoved: 0 }

  /** Use `openCanonicalStore`, which also recovers. */
  constructor(inner: FragmentStore, { emptyContentHash }: CanonicalOptions) {
    this.#inner = inner
    this.#emptyContentHash = emptyContentHash
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
      this.#hold(found.key, found.contentHash, found.payloadBytes, found.expiresAtMs)
      this.#recovered.push(found)
    }
    const orphans = [...lengths.keys()].filter((key) => !this.#contents.has(key.slice(2) as ContentHash))
    for await (const { key } of this.#inner.list('d/')) orphans.push(key)
    await this.#inner.remove([...orphans, ...dangling])
    this.#recovery = {
      references: this.#references.size,
      orphansRemoved: orphans.length,
      danglingRemoved: dangling.length,
    }
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    checkHead(fragment)
    return this.#byKey.run(fragment.key, () => this.#put(fragment))
  }

  async #put(fragment: FragmentPut): Promise<PutOutcome> {
    const { key, head, contentHash, payloadBytes, payload, expiresAtMs = null } = fragment
    const outcome = await this.#byContent.run(contentHash, async () => {
      await this.#writeContent(ownerOf(key), contentHash, payloadBytes, payload)
      // Held before the reference is written: content that is about to be named must not be removed meanwhile.
      const before = this.#references.get(key)
      this.#hold(key, contentHash, payloadBytes, expiresAtMs)
      try {
        const outcome = await this.#inner.put({
          key: referenceKey(key),
          head: encodeReference({ contentHash, payloadBytes, head }),
          contentHash: this.#emptyContentHash,
          payloadBytes: 0,
          payload: NO_BYTES,
          expiresAtMs,
        })
        if (before !== undefined) this.#release(ownerOf(key), before.content)
        return outcome
      } catch (error) {
        this.#undo(key, before, error)
        throw error
      }
    })
    await this.#roomInBackground()
    return outcome
  }

  /**
   * Whether the reference was written is unknown when the store below went away: then the content stays held, because
   * content without a reference is found at the next open, and a reference without content would be an empty promise.
   */
  #undo(key: string, before: KnownReference | undefined, error: unknown): void {
    const failed = this.#references.get(key)
    if (before === undefined) this.#references.delete(key)
    else this.#references.set(key, before)
    const isUnknown = error instanceof MembraneError && error.code === 'STORE_UNAVAILABLE'
    if (failed !== undefined && !isUnknown) this.#release(ownerOf(key), failed.content)
  }

  /** Every byte is written unless this owner already has them, so that the time tells nothing of other owners. */
  async #writeContent(
    owner: string,
    contentHash: ContentHash,
    payloadBytes: number,
    payload: FragmentPut['payload'],
  ): Promise<void> {
    const content = this.#contents.get(contentHash)
    const isHidden = content !== undefined && !content.ownerReferences.has(owner)
    const key = isHidden ? this.#decoyKey(contentHash) : contentKey(contentHash)
    await this.#inner.put({ key, head: NO_BYTES, contentHash, payloadBytes, payload })
    if (isHidden) this.#later(() => this.#inner.remove([key]))
  }

  #decoyKey(contentHash: ContentHash): string {
    this.#decoys += 1
    return `d/${contentHash}-${this.#decoys}`
  }

  async get(key: string, options?: GetOptions): Promise<StoredFragment | null> {
    const found = await this.#find(key)
    if (found === null) return null
    const content = await this.#inner.get(contentKey(found.contentHash), options)
    return content === null ? this.#lost(key, found.contentHash) : { ...found, payload: content.payload }
  }

  async stream(key: string, options?: Pick<GetOptions, 'span'>): Promise<StoredStream | null> {
    const found = await this.#find(key)
    if (found === null) return null
    const content = await this.#inner.stream(contentKey(found.contentHash), options)
    return content === null ? this.#lost(key, found.contentHash) : { ...found, chunks: content.chunks }
  }

  head(key: string): Promise<StoredEntry | null> {
    return this.#find(key)
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#inner.has(keys.map(referenceKey))
  }

  async remove(keys: readonly string[]): Promise<number> {
    keys.forEach(referenceKey)
    const removed = await Promise.all(keys.map((key) => this.#byKey.run(key, () => this.#remove(key))))
    await this.#roomInBackground()
    return removed.filter(Boolean).length
  }

  async #remove(key: string): Promise<boolean> {
    const wasThere = (await this.#inner.remove([referenceKey(key)])) > 0
    const known = this.#references.get(key)
    this.#references.delete(key)
    if (known !== undefined) this.#release(ownerOf(key), known.content)
    return wasThere
  }

  async *list(prefix = ''): AsyncIterable<StoredEntry> {
    for await (const entry of this.#inner.list(`r/${prefix}`)) yield entryOf(entry)
  }

  /** Bytes that are kept: equal content counts once. */
  get contentBytes(): number {
    return this.#contentBytes
  }

  /** Each payload in full. */
  stats(): StoreStats {
    const { corruptEntries } = this.#inner.stats()
    return { entries: this.#references.size, payloadBytes: this.#payloadBytes, corruptEntries }
  }

  /** Removes every reference whose content is gone from the store below, and gives their keys. Looks at all of them. */
  async dropDangling(): Promise<readonly string[]> {
    const dangling: string[] = []
    for (const [key, { content }] of this.#references) {
      const [isThere] = await this.#inner.has([contentKey(content.contentHash)])
      if (isThere === true) continue
      await this.#lost(key, content.contentHash)
      dangling.push(key)
    }
    return dangling
  }

  /** Releases the content of references that have expired by now; how many there were. */
  async reclaimExpired(nowMs: number): Promise<number> {
    const expired = [...this.#references].filter(([, { expiresAtMs }]) => expiresAtMs !== null && expiresAtMs <= nowMs)
    await this.remove(expired.map(([key]) => key))
    return expired.length
  }

  async sync(): Promise<void> {
    await this.#settleBackground()
    await this.#inner.sync()
  }

  async purge(): Promise<void> {
    await this.#settleBackground()
    await this.#inner.purge()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    try {
      await this.#byKey.settle()
      await this.#settleBackground()
    } finally {
      await this.#inner.close()
    }
  }

  async #find(key: string): Promise<(StoredEntry & { readonly contentHash: ContentHash }) | null> {
    const entry = await this.#inner.head(referenceKey(key))
    if (entry !== null) return entryOf(entry)
    // Expired, or found damaged, below: what it held is released here.
    await this.#byKey.run(key, async () => {
      const known = this.#references.get(key)
      if (known === undefined || (await this.#inner.has([referenceKey(key)]))[0] === true) return
      this.#references.delete(key)
      this.#release(ownerOf(key), known.content)
    })
    return null
  }

  /** The content was found damaged and is gone: every reference to it is a miss until somebody puts it again. */
  async #lost(key: string, contentHash: ContentHash): Promise<null> {
    await this.#byContent.run(contentHash, async () => {
      if ((await this.#inner.has([contentKey(contentHash)]))[0] === true) return
      const content = this.#contents.get(contentHash)
      if (content === undefined) return
      this.#contents.delete(contentHash)
      this.#contentBytes -= content.payloadBytes
    })
    await this.remove([key])
    return null
  }

  #hold(key: string, contentHash: ContentHash, payloadBytes: number, expiresAtMs: number | null): void {
    let content = this.#contents.get(contentHash)
    if (content === undefined) {
      content = { contentHash, payloadBytes, ownerReferences: new Map(), references: 0 }
      this.#contents.set(contentHash, content)
      this.#contentBytes += payloadBytes
    }
    this.#references.set(key, { content, expiresAtMs })
    this.#payloadBytes += payloadBytes
    const owner = ownerOf(key)
    content.references += 1
    content.ownerReferences.set(owner, (content.ownerReferences.get(owner) ?? 0) + 1)
  }

  #release(owner: string, content: Content): void {
    const ofOwner = content.ownerReferences.get(owner)
    assert(ofOwner !== undefined && content.references > 0, `${owner} releases content that it does not hold`)
    content.references -= 1
    this.#payloadBytes -= content.payloadBytes
    if (ofOwner === 1) content.ownerReferences.delete(owner)
    else content.ownerReferences.set(owner, ofOwner - 1)
    if (content.references > 0) return
    const { contentHash, payloadBytes } = content
    this.#later(() =>
      this.#byContent.run(contentHash, async () => {
        // Somebody may have put it again while this waited, or it was lost and is another one now.
        if (this.#contents.get(contentHash) !== content || content.references > 0) return
        this.#contents.delete(contentHash)
        this.#contentBytes -= payloadBytes
        await this.#inner.remove([contentKey(contentHash)])
      }),
    )
  }

  #later(work: () => Promise<unknown>): void {
    const task: Promise<void> = work().then(
      () => void this.#background.delete(task),
      (error: unknown) => {
        this.#background.delete(task)
        this.#backgroundError ??= error
      },
    )
    this.#background.add(task)
  }

  /** Waits while more removals are under way than the limit. */
  async #roomInBackground(): Promise<void> {
    while (this.#background.size > LIMITS.backgroundRemovalsMax) await Promise.race(this.#background)
  }

  async #settleBackground(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background)
    const error = this.#backgroundError
    this.#backgroundError = null
    if (error !== null) throw error
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

/** Throws INVALID_REQUEST. */
function referenceKey(key: string): string {
  checkKey(key)
  return `r/${key}`
}

function contentKey(contentHash: ContentHash): string {
  return `b/${contentHash}`
}

/** The part of a key before its first `/`; nothing where there is none. */
export function ownerOf(key: string): string {
  return key.slice(0, Math.max(0, key.indexOf('/')))
}
