/**
 * What each session touched, in order: an agent or chat comes back with what it had, and one that is closed does not.
 * Eviction asks whether anybody who touched a fragment may still come back; the reuse predictor learns from the turns.
 */
import { MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'

export interface SessionsOptions {
  /** Sessions of all tenants; beyond, the one touched longest ago leaves. Default 100,000. */
  readonly sessionsMax: number
  /** Different keys of one session; beyond, the one touched longest ago leaves. Default 4,096. */
  readonly keysPerSessionMax: number
}

export const DEFAULT_SESSIONS_OPTIONS: SessionsOptions = { sessionsMax: 100_000, keysPerSessionMax: 4096 }

/** A session's name is its tenant's: the same name of another tenant is another session. */
export interface SessionName {
  readonly tenant: TenantId
  readonly session: string
}

export interface SessionView extends SessionName {
  /** Accesses so far, at least 1. */
  readonly turns: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  readonly isClosed: boolean
  /** Different keys in the order in which they were last touched, the latest at the end, with the turn of that touch, from 1. */
  readonly touched: readonly { readonly key: string; readonly turn: number }[]
}

interface Session extends SessionName {
  turns: number
  readonly firstAtMs: number
  lastAtMs: number
  isClosed: boolean
  /** Turn by key; a key that is touched again moves to the end. */
  readonly touched: Map<string, number>
}

export class Sessions {
  readonly #options: SessionsOptions
  /** The one touched longest ago is the first. */
  readonly #sessions = new Map<string, Session>()
  readonly #byKey = new Map<string, Set<Session>>()

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

  /** One turn: the session accessed these keys, in this order. A closed session is open again. */
  touch(name: SessionName, keys: readonly string[], atMs: number): void {
    const id = idOf(name)
    const session = this.#sessions.get(id) ?? this.#open(name, atMs)
    session.turns += 1
    session.lastAtMs = atMs
    session.isClosed = false
    this.#sessions.delete(id)
    this.#sessions.set(id, session)
    for (const key of keys) this.#touchKey(session, key)
    if (this.#sessions.size <= this.#options.sessionsMax) return
    for (const [oldestId, oldest] of this.#sessions) {
      this.#forget(oldestId, oldest)
      break
    }
  }

  /** The application says that no further turn comes. Whether the session is known. */
  close(name: SessionName): boolean {
    const session = this.#sessions.get(idOf(name))
    if (session === undefined) return false
    session.isClosed = true
    return true
  }

  get(name: SessionName): SessionView | null {
    const session = this.#sessions.get(idOf(name))
    return session === undefined ? null : viewOf(session)
  }

  /** The sessions that touched this key, as far as they are remembered. */
  sessionsOf(key: string): readonly (SessionName & { readonly turns: number; readonly isClosed: boolean })[] {
    return Array.from(this.#byKey.get(key) ?? [], ({ tenant, session, turns, isClosed }) => ({
      tenant,
      session,
      turns,
      isClosed,
    }))
  }

  /**
   * What is known of the future of a key. `unknown`: no remembered session touched it. `closed`: all that did are
   * closed, so it may go first. `open`: `openSessions` of them may come back; the longest-lived has had `turnsMax` turns.
   */
  prospect(key: string): Prospect {
    const sessions = this.#byKey.get(key)
    if (sessions === undefined) return { kind: 'unknown' }
    let [openSessions, turnsMax] = [0, 0]
    for (const { isClosed, turns } of sessions) {
      if (isClosed) continue
      openSessions += 1
      turnsMax = Math.max(turnsMax, turns)
    }
    return openSessions === 0 ? { kind: 'closed' } : { kind: 'open', openSessions, turnsMax }
  }

  /** The fragment is gone: no session has it any more. Whether one had. */
  remove(key: string): boolean {
    const sessions = this.#byKey.get(key)
    if (sessions === undefined) return false
    for (const session of sessions) session.touched.delete(key)
    return this.#byKey.delete(key)
  }

  #open({ tenant, session }: SessionName, atMs: number): Session {
    return { tenant, session, turns: 0, firstAtMs: atMs, lastAtMs: atMs, isClosed: false, touched: new Map() }
  }

  #touchKey(session: Session, key: string): void {
    session.touched.delete(key)
    session.touched.set(key, session.turns)
    const sessions = this.#byKey.get(key) ?? new Set()
    this.#byKey.set(key, sessions.add(session))
    if (session.touched.size <= this.#options.keysPerSessionMax) return
    for (const oldest of session.touched.keys()) {
      session.touched.delete(oldest)
      this.#detach(session, oldest)
      break
    }
  }

  #forget(id: string, session: Session): void {
    this.#sessions.delete(id)
    for (const key of session.touched.keys()) this.#detach(session, key)
  }

  #detach(session: Session, key: string): void {
    const sessions = this.#byKey.get(key)
    sessions?.delete(session)
    if (sessions?.size === 0) this.#byKey.delete(key)
  }
}

export type Prospect =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'open'; readonly openSessions: number; readonly turnsMax: number }

/** A tenant has no space in its name. */
function idOf({ tenant, session }: SessionName): string {
  return `${tenant} ${session}`
}

function viewOf({ touched, ...session }: Session): SessionView {
  return { ...session, touched: Array.from(touched, ([key, turn]) => ({ key, turn })) }
}
