/** Copies beyond those that are wanted: made of what this node often reads from others, and gone when nobody reads them. */
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import { isWorthCopy } from '../policy/place.ts'

/** A copy that nobody has read for a while. */
export interface IdleCopy {
  readonly tenant: TenantId
  readonly key: string
  readonly idleSeconds: number
}

interface Copy {
  readonly tenant: TenantId
  readonly key: string
  readMs: number
}

const MINUTE_MS = 60_000

/** See the top of this file. What it has forgotten stays as any other copy, until it is evicted. */
export class HotCopies {
  readonly #clock: Clock
  /** Reads from others within the minute that began then; the one unread longest goes first. */
  readonly #reads = new Map<string, { readonly sinceMs: number; count: number }>()
  readonly #copies = new Map<string, Copy>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Copies that are kept because they were read. */
  get size(): number {
    return this.#copies.size
  }

  /** This node has read it from another one: whether it should have a copy of its own. */
  fetched(tenant: TenantId, key: string): boolean {
    const name = nameOf(tenant, key)
    const nowMs = this.#clock.nowMs()
    const before = this.#reads.get(name)
    const reads = before !== undefined && nowMs - before.sinceMs < MINUTE_MS ? before : { sinceMs: nowMs, count: 0 }
    reads.count += 1
    this.#reads.delete(name)
    if (isWorthCopy(reads.count)) return true
    this.#reads.set(name, reads)
    dropOldest(this.#reads)
    return false
  }

  /** A copy has come because it was read here. */
  brought(tenant: TenantId, key: string): void {
    this.#copies.set(nameOf(tenant, key), { tenant, key, readMs: this.#clock.nowMs() })
    dropOldest(this.#copies)
  }

  /** Read here, or leased by another node. */
  touched(tenant: TenantId, key: string): void {
    const copy = this.#copies.get(nameOf(tenant, key))
    if (copy !== undefined) copy.readMs = this.#clock.nowMs()
  }

  left(tenant: TenantId, key: string): void {
    this.#copies.delete(nameOf(tenant, key))
  }

  idle(): readonly IdleCopy[] {
    const nowMs = this.#clock.nowMs()
    return Array.from(this.#copies.values(), ({ tenant, key, readMs }) => ({
      tenant,
      key,
      idleSeconds: (nowMs - readMs) / 1000,
    }))
  }
}

function nameOf(tenant: TenantId, key: string): string {
  return `${tenant}/${key}`
}

function dropOldest(map: Map<string, unknown>): void {
  if (map.size <= LIMITS.replicaNotesMax) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
