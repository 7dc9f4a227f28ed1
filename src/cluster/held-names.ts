/** What this node holds, by the names of blocks, and whom to tell when that changes. */
import type { TenantId } from '../core/ids.ts'
import {
  BLOCK_NAME_BYTES,
  type BlockNames,
  type HoldingTier,
  HOLDING_TIERS,
  type OwnHoldings,
} from './block-directory.ts'
import { NameTable } from './name-table.ts'

/** Names of one piece of a listing. */
const PIECE_NAMES = 4096

export interface HeldChanges {
  readonly joined: (tenant: TenantId, names: BlockNames, tier: HoldingTier) => void
  readonly left: (tenant: TenantId, names: BlockNames) => void
}

/** See the top of this file. Several fragments may hold one block: it is held until the last of them has left. */
export class HeldNames implements OwnHoldings {
  readonly tier: HoldingTier
  readonly #tables = new Map<TenantId, NameTable>()
  readonly #changes: HeldChanges

  /** All that this node holds lies in one tier. */
  constructor(tier: HoldingTier, changes: HeldChanges) {
    this.tier = tier
    this.#changes = changes
  }

  tenants(): Iterable<TenantId> {
    return this.#tables.keys()
  }

  /** Names held for all tenants. */
  get size(): number {
    return [...this.#tables.values()].reduce((sum, { size }) => sum + size, 0)
  }

  /** Null for a tenant that holds nothing. */
  table(tenant: TenantId): NameTable | null {
    return this.#tables.get(tenant) ?? null
  }

  *names(tenant: TenantId): Iterable<{ readonly names: BlockNames; readonly tier: HoldingTier }> {
    for (const names of this.#tables.get(tenant)?.pieces(PIECE_NAMES) ?? []) yield { names, tier: this.tier }
  }

  add(tenant: TenantId, names: BlockNames): void {
    const table = this.#tables.get(tenant) ?? new NameTable()
    this.#tables.set(tenant, table)
    const value = tierValue(this.tier)
    const fresh = chosen(names, (at) => table.add(names, at, value))
    if (fresh.length > 0) this.#changes.joined(tenant, fresh, this.tier)
  }

  remove(tenant: TenantId, names: BlockNames): void {
    const table = this.#tables.get(tenant)
    if (table === undefined) return
    const lost = chosen(names, (at) => table.remove(names, at, { isWhole: false }))
    if (table.size === 0) this.#tables.delete(tenant)
    if (lost.length > 0) this.#changes.left(tenant, lost)
  }
}

/** As tiers are written: 1 for the fastest. */
export function tierValue(tier: HoldingTier): number {
  return 1 + HOLDING_TIERS.indexOf(tier)
}

/** The names for which it holds; the same memory when it holds for all. */
function chosen(names: BlockNames, isChosen: (at: number) => boolean): BlockNames {
  const count = names.length / BLOCK_NAME_BYTES
  const kept: number[] = []
  for (let at = 0; at < count; at++) if (isChosen(at)) kept.push(at)
  if (kept.length === count) return names
  return pickNames(names, kept)
}

/** Names at these places, end to end. */
export function pickNames(names: BlockNames, places: readonly number[]): BlockNames {
  const picked = new Uint8Array(places.length * BLOCK_NAME_BYTES)
  for (const [index, at] of places.entries())
    picked.set(names.subarray(at * BLOCK_NAME_BYTES, (at + 1) * BLOCK_NAME_BYTES), index * BLOCK_NAME_BYTES)
  return picked
}
