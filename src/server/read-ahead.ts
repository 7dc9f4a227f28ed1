/**
 * Reads what a session is likely to want next, before it asks: fragments that were used together with those that it has
 * just used. Kept in a bounded piece of memory until the session's next turn, which uses them or proves them wrong.
 */
import type { CallOptions } from '../core/compute.ts'
import type { Fragment } from '../core/fragment.ts'
import type { PromptName, PutOutcome } from '../core/ports.ts'
import type { LocalFragment, RebuildMemory } from '../reconstruct/rebuild-ports.ts'

export interface ReadAheadOptions {
  /** Of all sessions' bytes together; what would exceed it is not read. */
  readonly bytesMax: number
  /** Fragments for one turn. */
  readonly fragmentsMax: number
}

export const DEFAULT_READ_AHEAD: ReadAheadOptions = { bytesMax: 256 * 1024 ** 2, fragmentsMax: 16 }

export interface ReadAheadStats {
  /** Fragments that were read ahead, and their bytes. */
  readonly fragments: number
  readonly bytes: number
  /** Of these, those that the next turn used. */
  readonly usedFragments: number
  readonly usedBytes: number
  /** Those that it did not use, and those whose reading was cancelled. */
  readonly wastedFragments: number
  readonly cancelledFragments: number
  readonly heldBytes: number
}

/** What is likely wanted after these keys, likeliest first. */
export type Foresight = (
  keys: readonly string[],
  limit: number,
) => Promise<readonly { readonly key: string; readonly payloadBytes: number }[]>

interface Ahead {
  readonly key: string
  readonly bytes: number
  readonly cancel: AbortController
  readonly payload: Promise<Uint8Array | null>
  isThere: boolean
  isUsed: boolean
}

/** One tenant's fragments with what was read ahead before them. */
export class ReadAhead implements RebuildMemory {
  readonly #options: ReadAheadOptions
  readonly #memory: RebuildMemory
  readonly #foresight: Foresight
  /** The session that was longest without a turn first. */
  readonly #bySession = new Map<string, Map<string, Ahead>>()
  readonly #byKey = new Map<string, Ahead>()
  readonly #looking = new Set<Promise<void>>()
  readonly #counts = {
    fragments: 0,
    bytes: 0,
    usedFragments: 0,
    usedBytes: 0,
    wastedFragments: 0,
    cancelledFragments: 0,
  }
  #heldBytes = 0

  constructor(memory: RebuildMemory, foresight: Foresight, options: ReadAheadOptions = DEFAULT_READ_AHEAD) {
    this.#memory = memory
    this.#foresight = foresight
    this.#options = options
  }

  stats(): ReadAheadStats {
    return { ...this.#counts, heldBytes: this.#heldBytes }
  }

  /** What was read ahead lies in memory. */
  async find(prompt: PromptName, leaseSeconds: number): Promise<readonly LocalFragment[]> {
    const found = await this.#memory.find(prompt, leaseSeconds)
    return found.map((fragment) =>
      this.#byKey.get(fragment.key)?.isThere === true ? { ...fragment, tier: 'memory' } : fragment,
    )
  }

  async read(key: string, options?: CallOptions): Promise<Uint8Array | null> {
    const ahead = this.#byKey.get(key)
    if (ahead === undefined) return this.#memory.read(key, options)
    ahead.isUsed = true
    // One that was cancelled or failed meanwhile is read as any other.
    return (await ahead.payload) ?? this.#memory.read(key, options)
  }

  put(fragment: Fragment): Promise<PutOutcome> {
    return this.#memory.put(fragment)
  }

  /** A turn used these: what was read for it and not used was wrong, and the next turn's are looked for. */
  used(session: string, keys: readonly string[]): void {
    this.#memory.used(session, keys)
    this.#settle(session)
    const looking = this.#lookAhead(session, keys).catch(() => {})
    this.#looking.add(looking)
    void looking.then(() => this.#looking.delete(looking))
  }

  /** Ends when all reading that is under way has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#looking)
    await Promise.all(Array.from(this.#byKey.values(), ({ payload }) => payload))
  }

  /** Cancels and forgets everything. */
  async close(): Promise<void> {
    await Promise.all(this.#looking)
    for (const session of [...this.#bySession.keys()]) this.#settle(session)
  }

  async #lookAhead(session: string, keys: readonly string[]): Promise<void> {
    const { fragmentsMax } = this.#options
    for (const { key, payloadBytes } of await this.#foresight(keys, fragmentsMax)) {
      if (this.#byKey.has(key) || !this.#makeRoom(session, payloadBytes)) continue
      this.#start(session, key, payloadBytes)
    }
  }

  #start(session: string, key: string, bytes: number): void {
    const cancel = new AbortController()
    const payload = this.#memory.read(key, { signal: cancel.signal }).catch(() => null)
    const ahead: Ahead = { key, bytes, cancel, payload, isThere: false, isUsed: false }
    void payload.then((read) => {
      ahead.isThere = read !== null
    })
    const ofSession = this.#bySession.get(session) ?? new Map<string, Ahead>()
    ofSession.set(key, ahead)
    this.#bySession.set(session, ofSession)
    this.#byKey.set(key, ahead)
    this.#heldBytes += bytes
    this.#counts.fragments += 1
    this.#counts.bytes += bytes
  }

  /** Sessions that were longest without a turn lose what was read for them. */
  #makeRoom(session: string, bytes: number): boolean {
    for (const other of this.#bySession.keys()) {
      if (this.#heldBytes + bytes <= this.#options.bytesMax) return true
      if (other !== session) this.#settle(other)
    }
    return this.#heldBytes + bytes <= this.#options.bytesMax
  }

  #settle(session: string): void {
    for (const ahead of this.#bySession.get(session)?.values() ?? []) {
      this.#byKey.delete(ahead.key)
      this.#heldBytes -= ahead.bytes
      if (ahead.isUsed) {
        this.#counts.usedFragments += 1
        this.#counts.usedBytes += ahead.bytes
      } else if (ahead.isThere) this.#counts.wastedFragments += 1
      else {
        this.#counts.cancelledFragments += 1
        ahead.cancel.abort()
      }
    }
    this.#bySession.delete(session)
  }
}
