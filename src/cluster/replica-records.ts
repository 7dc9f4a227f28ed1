/** What a node knows of the copies of its own fragments: who has confirmed one, who refused it, and what left lately. */
import type { ContentHash, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Member } from './member.ts'

/** A node and its start: one that has begun anew may have lost its disk. */
export type HolderName = string

export function holderName({ node, startedMs }: Pick<Member, 'node' | 'startedMs'>): HolderName {
  return `${node}@${startedMs}`
}

interface Refusal {
  readonly by: string
  readonly untilMs: number
}

/** Which bytes left, and when. */
interface Eviction {
  readonly contentHash: ContentHash
  readonly atMs: number
}

/** See the top of this file. */
export class ReplicaRecords {
  /** By tenant and key; lists that say the same are the same. */
  readonly #holders = new Map<string, readonly HolderName[]>()
  readonly #lists = new Map<string, readonly HolderName[]>()
  /** The oldest first. */
  readonly #refusals = new Map<string, readonly Refusal[]>()
  /** What was evicted lately: it is not taken back at once. */
  readonly #evicted = new Map<string, Eviction>()

  holders(tenant: TenantId, key: string): readonly HolderName[] {
    return this.#holders.get(nameOf(tenant, key)) ?? NOBODY
  }

  confirm(tenant: TenantId, key: string, holder: HolderName): void {
    const name = nameOf(tenant, key)
    const before = this.#holders.get(name) ?? NOBODY
    // A later start of a node takes the place of an earlier one.
    const node = nodeOf(holder)
    const others = before.filter((other) => nodeOf(other) !== node)
    this.#holders.set(name, this.#shared([...others, holder].toSorted()))
  }

  /** It turned out not to have it. */
  deny(tenant: TenantId, key: string, node: string): void {
    const name = nameOf(tenant, key)
    const others = this.holders(tenant, key).filter((holder) => nodeOf(holder) !== node)
    if (others.length === 0) this.#holders.delete(name)
    else this.#holders.set(name, this.#shared(others))
  }

  refused(tenant: TenantId, key: string, refusal: Refusal): void {
    const name = nameOf(tenant, key)
    const others = (this.#refusals.get(name) ?? []).filter(({ by }) => by !== refusal.by)
    this.#refusals.delete(name)
    this.#refusals.set(name, [...others, refusal])
    dropOldest(this.#refusals)
  }

  isRefused(tenant: TenantId, key: string, by: string, nowMs: number): boolean {
    const refusals = this.#refusals.get(nameOf(tenant, key)) ?? []
    return refusals.some((refusal) => refusal.by === by && refusal.untilMs > nowMs)
  }

  /** `eviction` is null for what somebody removed. */
  left(tenant: TenantId, key: string, eviction: Eviction | null): void {
    const name = nameOf(tenant, key)
    this.#holders.delete(name)
    this.#refusals.delete(name)
    this.#evicted.delete(name)
    if (eviction === null) return
    this.#evicted.set(name, eviction)
    dropOldest(this.#evicted)
  }

  joined(tenant: TenantId, key: string): void {
    this.#evicted.delete(nameOf(tenant, key))
  }

  evicted(tenant: TenantId, key: string): Eviction | null {
    return this.#evicted.get(nameOf(tenant, key)) ?? null
  }

  /** After a while, everything is asked anew: a holder says nothing when it evicts. */
  forgetHolders(): void {
    this.#holders.clear()
    this.#lists.clear()
  }

  /** There are few different lists, and many fragments. */
  #shared(list: readonly HolderName[]): readonly HolderName[] {
    const name = list.join(' ')
    const known = this.#lists.get(name)
    if (known !== undefined) return known
    if (this.#lists.size >= LIMITS.replicaListsMax) this.#lists.clear()
    this.#lists.set(name, list)
    return list
  }
}

const NOBODY: readonly HolderName[] = []

function nameOf(tenant: TenantId, key: string): string {
  return `${tenant}/${key}`
}

export function nodeOf(holder: HolderName): string {
  return holder.slice(0, holder.lastIndexOf('@'))
}

function dropOldest(map: Map<string, unknown>): void {
  if (map.size <= LIMITS.replicaNotesMax) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
