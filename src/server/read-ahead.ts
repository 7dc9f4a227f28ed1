/**
 * Reads what a session is likely to want next, before it asks: fragments that were used together with those that it has
 * just used. Kept in a bounded piece of memory until the session's next turn, which uses them or proves them wrong.
 */
import type { RebuildMemory } from '../reconstruct/rebuild-ports.ts'

export interface ReadAheadOptions {
  /** Of all sessions' bytes together; what would exceed it is not read. */
  readonly bytesMax: number
  /** Fragments for one turn. */
  readonly fragmentsMax: number
}

export const DEFAULT_READ_AHEAD: ReadAheadOptions = { bytesMax: 256 * 1024 ** 2, fragmentsMax: 16 }

/** What was read before it was asked for, and what became of it. Counted since the node was opened. */
export interface ReadAheadStats {
  /** Fragments that were read ahead, and their bytes. */
  readonly fragments: number
  readonly bytes: number
  /** Of these, those that the next turn used: what it asked for and got from here. */
  readonly usedFragments: number
  readonly usedBytes: number
  /** Those that were read in vain, and those whose reading was cancelled. */
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
  readonly name: string
  readonly bytes: number
  readonly cancel: AbortController
  readonly payload: Promise<Uint8Array | null>
  /** `missing`: gone, or its reading failed or was cancelled. */
  state: 'reading' | 'there' | 'missing'
  isUsed: boolean
}

/** Where one tenant's fragments are, and what is likely wanted of them. */
export interface ReadAheadSource {
  /** Keys and sessions of different scopes are different. */
  readonly scope: string
  readonly memory: RebuildMemory
  /** Reads ahead: its bytes stay as they are for as long as somebody holds them. */
  readonly ahead: Pick<RebuildMemory, 'read'>
  readonly foresight: Foresight
}

/** For all tenants of a node: `over` gives what one of them reads through. */
export class ReadAhead {
  readonly #options: ReadAheadOptions
  /** The session that was longest without a turn first. */
  readonly #bySession = new Map<string, Map<string, Ahead>>()
  readonly #byKey = new Map<string, Ahead>()
  readonly #looking = new Set<Promise<void>>()
  /** Of each session that is looked for, the latest turn's: an earlier one that comes later is out of date. */
  readonly #latest = new Map<string, symbol>()
  readonly #counts = {
    fragments: 0,
    bytes: 0,
    usedFragments: 0,
    usedBytes: 0,
    wastedFragments: 0,
    cancelledFragments: 0,
  }
  #heldBytes = 0

  constructor(options: ReadAheadOptions = DEFAULT_READ_AHEAD) {
    this.#options = options
  }

  stats(): ReadAheadStats {
    return { ...this.#counts, heldBytes: this.#heldBytes }
  }

  /** One tenant's fragments, with what was read ahead before them. */
  over(source: ReadAheadSource): RebuildMemory {
    const { scope, memory } = source
    return {
      find: async (prompt, leaseSeconds) => {
        const found = await memory.find(prompt, leaseSeconds)
        return found.map((fragment) =>
          this.#byKey.get(nameOf(scope, fragment.key))?.state === 'there' ? { ...fragment, tier: 'memory' } : fragment,
        )
      },
      read: async (key, options) => {
        const ahead = this.#byKey.get(nameOf(scope, key))
        if (ahead === undefined) return memory.read(key, options)
        ahead.isUsed = true
        // One that was cancelled or failed meanwhile is read as any other.
        return (await ahead.payload) ?? memory.read(key, options)
      },
      put: (fragment) => memory.put(fragment),
      used: (session, keys) => {
        memory.used(session, keys)
        this.#turnEnded(source, session, keys)
      },
    }
  }

  /** Ends when all reading that is under way has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#looking)
    await Promise.all(Array.from(this.#byKey.values(), ({ payload }) => payload))
  }

  /** Cancels and forgets what was read for a scope. */
  forget(scope: string): void {
    const isOf = (session: string): boolean => session.startsWith(nameOf(scope, ''))
    for (const session of [...this.#latest.keys()].filter(isOf)) this.#latest.delete(session)
    for (const session of [...this.#bySession.keys()].filter(isOf)) this.#settle(session)
  }

  /** Cancels and forgets everything. */
  async close(): Promise<void> {
    await Promise.all(this.#looking)
    for (const session of this.#bySession.keys()) this.#settle(session)
  }

  /** What was read for the turn and not used was wrong, and the next turn's is looked for. */
  #turnEnded(source: ReadAheadSource, session: string, keys: readonly string[]): void {
    const name = nameOf(source.scope, session)
    this.#settle(name)
    const turn = Symbol(name)
    this.#latest.set(name, turn)
    // Whoever finds nothing out reads nothing ahead: the next turn reads as ever.
    const looking = this.#lookAhead(source, name, { keys, turn }).catch(() => {})
    this.#looking.add(looking)
    void looking.then(() => {
      this.#looking.delete(looking)
      if (this.#latest.get(name) === turn) this.#latest.delete(name)
    })
  }

  async #lookAhead(
    { scope, ahead, foresight }: ReadAheadSource,
    session: string,
    { keys, turn }: { readonly keys: readonly string[]; readonly turn: symbol },
  ): Promise<void> {
    const likely = await foresight(keys, this.#options.fragmentsMax)
    if (this.#latest.get(session) !== turn) return
    for (const { key, payloadBytes } of likely) {
      const name = nameOf(scope, key)
      if (this.#byKey.has(name) || !this.#makeRoom(session, payloadBytes)) continue
      const cancel = new AbortController()
      const payload = ahead.read(key, { signal: cancel.signal }).catch(() => null)
      this.#hold(session, { name, bytes: payloadBytes, cancel, payload, state: 'reading', isUsed: false })
    }
  }

  #hold(session: string, ahead: Ahead): void {
    void ahead.payload.then((read) => {
      ahead.state = read === null ? 'missing' : 'there'
    })
    const ofSession = this.#bySession.get(session) ?? new Map<string, Ahead>()
    ofSession.set(ahead.name, ahead)
    this.#bySession.set(session, ofSession)
    this.#byKey.set(ahead.name, ahead)
    this.#heldBytes += ahead.bytes
    this.#counts.fragments += 1
    this.#counts.bytes += ahead.bytes
  }

  /** Sessions that were longest without a turn lose what was read for them. */
  #makeRoom(session: string, bytes: number): boolean {
    let own = bytes
    for (const ahead of this.#bySession.get(session)?.values() ?? []) own += ahead.bytes
    // Nobody loses anything for what would not fit even so.
    if (own > this.#options.bytesMax) return false
    for (const other of this.#bySession.keys()) {
      if (this.#heldBytes + bytes <= this.#options.bytesMax) return true
      if (other !== session) this.#settle(other)
    }
    return this.#heldBytes + bytes <= this.#options.bytesMax
  }

  #settle(session: string): void {
    for (const ahead of this.#bySession.get(session)?.values() ?? []) {
      this.#byKey.delete(ahead.name)
      this.#heldBytes -= ahead.bytes
      if (ahead.isUsed && ahead.state !== 'missing') {
        this.#counts.usedFragments += 1
        this.#counts.usedBytes += ahead.bytes
      } else if (ahead.state === 'reading') {
        this.#counts.cancelledFragments += 1
        ahead.cancel.abort()
      } else this.#counts.wastedFragments += 1
    }
    this.#bySession.delete(session)
  }
}

function nameOf(scope: string, key: string): string {
  return `${scope}/${key}`
}
