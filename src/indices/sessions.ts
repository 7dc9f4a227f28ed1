/**
 * What each session touched, in order: an agent or chat comes back with what it had, and one that is closed does not.
 * Eviction asks whether anybody who touched a fragment may still come back; the reuse predictor learns from the turns.
 */
import { assert, MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { OldestFirst, type Queued } from './oldest-first.ts'

/** Bounds of `Sessions`, whole numbers from 1. */
export interface SessionsOptions {
  /** Sessions of all tenants; beyond, the one touched longest ago leaves. Default 100,000. */
  readonly sessionsMax: number
  /** Different keys of one session; beyond, the one touched longest ago leaves. Default 4,096. */
  readonly keysPerSessionMax: number
  /** Keys of all sessions together; beyond, the session touched longest ago leaves. Default 1,000,000, about 300 bytes each. */
  readonly keysMax: number
}

/** What `Sessions` takes where nothing else is said. */
export const DEFAULT_SESSIONS_OPTIONS: SessionsOptions = {
  sessionsMax: 100_000,
  keysPerSessionMax: 4096,
  keysMax: 1_000_000,
}

/** A session's name is its tenant's: the same name of another tenant is another session. */
export interface SessionName {
  readonly tenant: TenantId
  readonly session: string
}

/** A session as it is now. Times are milliseconds since 1970. */
export interface SessionView extends SessionName {
  /** Accesses so far, at least 1. */
  readonly turns: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  readonly isClosed: boolean
  /** Different keys in the order in which they were last touched, the latest at the end, with the turn of that touch, from 1. */
  readonly touched: readonly { readonly key: string; readonly turn: number }[]
}

interface Session extends SessionName, Queued<Session> {
  readonly id: string
  turns: number
  readonly firstAtMs: number
  lastAtMs: number
  isClosed: boolean
  /** Turn by key; a key that is touched again moves to the end. */
  readonly touched: Map<string, number>
}

interface Touchers {
  readonly sessions: Set<Session>
  /** How many of them are open. */
  open: number
}

/** Sessions of one key that are looked at for the most turns: system prompts have thousands. */
const TURNS_LOOKED_AT = 32

/** Sessions of all tenants, the latest of them, with the keys that each touched. */
export class Sessions {
  readonly #options: SessionsOptions
  readonly #sessions = new Map<string, Session>()
  readonly #inOrder = new OldestFirst<Session>()
  readonly #byKey = new Map<string, Touchers>()
  /** Of all sessions together. */
  #keys = 0

  /** Throws INVALID_CONFIG. */
  constructor(options: Partial<SessionsOptions> = {}) {
    this.#options = { ...DEFAULT_SESSIONS_OPTIONS, ...options }
    for (const [name, value] of Object.entries(this.#options)) {
      if (!Number.isInteger(value) || value < 1) {
        throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from 1, found ${value}.`)
      }
    }
  }

  get count(): number {
    return this.#sessions.size
  }

  /**
   * One turn: the session accessed these keys, in this order. A closed session is open again. Throws INVALID_REQUEST when
   * its name is longer than LIMITS.sessionNameCharactersMax.
   */
  touch(name: SessionName, keys: readonly string[], atMs: number): void {
    const session = this.#opened(name, atMs)
    this.#setClosed(session, false)
    session.turns += 1
    session.lastAtMs = atMs
    this.#inOrder.remove(session)
    this.#inOrder.push(session)
    for (const key of keys) this.#touchKey(session, key)
    const { sessionsMax, keysMax } = this.#options
    while (this.#inOrder.size > sessionsMax || this.#keys > keysMax) {
      const { oldest } = this.#inOrder
      if (oldest === null || oldest === session) break
      this.#forget(oldest)
    }
  }

  /** The application says that no further turn comes. Whether the session is known. */
  close(name: SessionName): boolean {
    const session = this.#sessions.get(idOf(name))
    if (session === undefined) return false
    this.#setClosed(session, true)
    return true
  }

  get(name: SessionName): SessionView | null {
    const session = this.#sessions.get(idOf(name))
    return session === undefined ? null : viewOf(session)
  }

  /** At most `limit` (default 100) of the remembered sessions that touched this key, in no order. */
  sessionsOf(
    key: string,
    { limit = 100 }: { readonly limit?: number } = {},
  ): readonly (SessionName & { readonly turns: number; readonly isClosed: boolean })[] {
    const found = []
    for (const { tenant, session, turns, isClosed } of this.#byKey.get(key)?.sessions ?? []) {
      if (found.length >= limit) break
      found.push({ tenant, session, turns, isClosed })
    }
    return found
  }

  /** What the sessions say about the future of a key. */
  prospect(key: string): Prospect {
    const touchers = this.#byKey.get(key)
    if (touchers === undefined) return { kind: 'unknown' }
    if (touchers.open === 0) return { kind: 'closed' }
    let [turnsMax, looked] = [0, 0]
    for (const { isClosed, turns } of touchers.sessions) {
      if (!isClosed) turnsMax = Math.max(turnsMax, turns)
      looked += 1
      if (looked >= TURNS_LOOKED_AT && turnsMax > 0) break
    }
    return { kind: 'open', openSessions: touchers.open, turnsMax }
  }

  /** The fragment is gone: no session has it any more. Whether one had. */
  remove(key: string): boolean {
    const touchers = this.#byKey.get(key)
    if (touchers === undefined) return false
    for (const session of touchers.sessions) session.touched.delete(key)
    this.#keys -= touchers.sessions.size
    return this.#byKey.delete(key)
  }

  #opened(name: SessionName, atMs: number): Session {
    const id = idOf(name)
    const known = this.#sessions.get(id)
    if (known !== undefined) return known
    const { tenant, session } = name
    if (session.length > LIMITS.sessionNameCharactersMax) {
      throw new MembraneError(
        'INVALID_REQUEST',
        `A session's name has at most ${LIMITS.sessionNameCharactersMax} characters, found ${session.length}.`,
      )
    }
    const times = { firstAtMs: atMs, lastAtMs: atMs }
    const queued = { older: null, newer: null }
    const opened = { id, tenant, session, turns: 0, ...times, isClosed: false, touched: new Map(), ...queued }
    this.#sessions.set(id, opened)
    this.#inOrder.push(opened)
    return opened
  }

  #touchKey(session: Session, key: string): void {
    session.touched.delete(key)
    session.touched.set(key, session.turns)
    const touchers = this.#byKey.get(key) ?? { sessions: new Set(), open: 0 }
    if (!touchers.sessions.has(session)) {
      touchers.sessions.add(session)
      touchers.open += 1
      this.#keys += 1
      this.#byKey.set(key, touchers)
    }
    if (session.touched.size <= this.#options.keysPerSessionMax) return
    for (const oldest of session.touched.keys()) {
      session.touched.delete(oldest)
      this.#detach(session, oldest)
      break
    }
  }

  #forget(session: Session): void {
    this.#sessions.delete(session.id)
    this.#inOrder.remove(session)
    for (const key of session.touched.keys()) this.#detach(session, key)
  }

  #detach(session: Session, key: string): void {
    const touchers = this.#byKey.get(key)
    assert(touchers?.sessions.delete(session) === true, 'a key knows the sessions that touched it')
    if (!session.isClosed) touchers.open -= 1
    this.#keys -= 1
    if (touchers.sessions.size === 0) this.#byKey.delete(key)
  }

  #setClosed(session: Session, isClosed: boolean): void {
    if (session.isClosed === isClosed) return
    session.isClosed = isClosed
    for (const key of session.touched.keys()) {
      const touchers = this.#byKey.get(key)
      assert(touchers !== undefined, 'a key knows the sessions that touched it')
      touchers.open += isClosed ? -1 : 1
    }
  }
}

/**
 * `unknown`: no remembered session touched the key. `closed`: all that did are closed, so it may go first. `open`:
 * `openSessions` of them may come back, and the one furthest on has had `turnsMax` turns (of many sessions, one that is
 * open has had as many).
 */
export type Prospect =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'open'; readonly openSessions: number; readonly turnsMax: number }

/** A tenant has no space in its name. */
function idOf({ tenant, session }: SessionName): string {
  return `${tenant} ${session}`
}

function viewOf({ tenant, session, turns, firstAtMs, lastAtMs, isClosed, touched }: Session): SessionView {
  const inOrder = Array.from(touched, ([key, turn]) => ({ key, turn }))
  return { tenant, session, turns, firstAtMs, lastAtMs, isClosed, touched: inOrder }
}
