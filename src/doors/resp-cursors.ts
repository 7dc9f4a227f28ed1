/**
 * Walks through the keys of a tenant that are held between one SCAN and the next. A walk is of the keys of its start, so
 * what is there throughout is given, as Redis promises; each step has a number of its own.
 */
import { parseFragmentKey } from '../core/fragment-key.ts'
import { LIMITS } from '../core/limits.ts'
import type { TenantId } from '../core/ids.ts'
import { refuse } from './resp-refusal.ts'

/** Keys in the order of the walk, as they were given to the door. */
export type KeyWalk = AsyncIterator<Uint8Array>

interface Held {
  readonly tenant: TenantId
  readonly walk: KeyWalk
  readonly heldSinceMs: number
}

export class RespCursors {
  readonly #held = new Map<number, Held>()
  readonly #nowMs: () => number
  #last = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** The number under which the walk goes on. Beyond the bound, the walk that was longest not asked for is ended. */
  hold(tenant: TenantId, walk: KeyWalk): number {
    this.#last += 1
    this.#held.set(this.#last, { tenant, walk, heldSinceMs: this.#nowMs() })
    const [oldest] = this.#held.keys()
    if (this.#held.size > LIMITS.respCursorsMax && oldest !== undefined) this.#end(oldest)
    return this.#last
  }

  /** Takes a walk up again. Throws for a number that is not that of the latest step of a walk of this tenant. */
  take(tenant: TenantId, cursor: number): KeyWalk {
    const held = this.#held.get(cursor)
    if (held === undefined || held.tenant !== tenant)
      throw refuse('ERR invalid cursor: it was used before, or waited too long; begin again with 0')
    this.#held.delete(cursor)
    return held.walk
  }

  /** Ends what nobody has asked for since then. */
  endBefore(heldSinceMs: number): void {
    for (const [cursor, held] of this.#held) {
      if (held.heldSinceMs >= heldSinceMs) return
      this.#end(cursor)
    }
  }

  #end(cursor: number): void {
    const held = this.#held.get(cursor)
    this.#held.delete(cursor)
    void held?.walk.return?.().catch(() => {})
  }
}

/** What the keys of values of this door begin with. */
export const VALUE_PREFIX = 'opaque/='

/** Keys of the store as clients named them. */
export async function* walkKeys(keys: AsyncIterable<string>): AsyncGenerator<Uint8Array, undefined> {
  for await (const key of keys) {
    const name = parseFragmentKey(key)
    if ('name' in name && name.name instanceof Uint8Array) yield name.name
  }
  return undefined
}
