/**
 * What the indices were asked and what that was worth: look-ups that found something or nothing, and prompt tokens that
 * need not be prefilled, by index, tier and tenant. The recorder adds up, a snapshot is one value that no longer changes.
 */
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { type Tier, tierIndex, TIERS } from './tiers.ts'

/** `graph`: neighbours and prefetch by co-access and other edges. */
export const INDEX_NAMES = ['exact', 'positional', 'graph', 'semantic'] as const
/** One of INDEX_NAMES. */
export type IndexName = (typeof INDEX_NAMES)[number]

/** Tenants beyond LIMITS.statisticsTenantsMax are counted together under this name, which no tenant can have. */
export const OTHER_TENANTS = '(others)'

/** Look-ups, and what they were worth. */
export interface CacheCounts {
  /** Look-ups that found something. */
  readonly hits: number
  /** Look-ups that found nothing. */
  readonly misses: number
  /** Prompt tokens that were read instead of prefilled. */
  readonly tokensSaved: number
}

/** Counts by index and by tier. */
export interface CacheBreakdown extends CacheCounts {
  readonly byIndex: Readonly<Record<IndexName, CacheCounts>>
  /** By the slowest tier that had to be read. A miss has no tier. */
  readonly byTier: Readonly<Record<Tier, Omit<CacheCounts, 'misses'>>>
}

/** `hits` and so on are the sums of `byIndex`, and of `byTenant`. */
export interface CacheStatistics extends CacheBreakdown {
  /** Whoever was counted, in the order of their first look-up, with OTHER_TENANTS last if it is there. */
  readonly byTenant: ReadonlyMap<string, CacheBreakdown>
}

/** Of a tenant and an index: misses, then hits by tier, then tokens by tier. */
const MISSES = 0
const HITS = 1
const TOKENS = HITS + TIERS.length
const CELLS = TOKENS + TIERS.length

/** Counts look-ups as they happen; a snapshot is one value. */
export class StatisticsRecorder {
  readonly #cells = new Map<string, Float64Array>()

  /** A look-up that found something; `tier` is the slowest that holds what was found. */
  hit(index: IndexName, tenant: TenantId, tier: Tier): void {
    this.#add(tenant, index, HITS + tierIndex(tier), 1)
  }

  miss(index: IndexName, tenant: TenantId): void {
    this.#add(tenant, index, MISSES, 1)
  }

  /** Tokens, 0 or more, that a prompt took from what an index had found: known when they have been read and verified. */
  saved(index: IndexName, tenant: TenantId, { tier, tokens }: { readonly tier: Tier; readonly tokens: number }): void {
    this.#add(tenant, index, TOKENS + tierIndex(tier), tokens)
  }

  snapshot(): CacheStatistics {
    const all = new Float64Array(INDEX_NAMES.length * CELLS)
    const byTenant = new Map<string, CacheBreakdown>()
    const others = this.#cells.get(OTHER_TENANTS)
    for (const [tenant, cells] of this.#cells) {
      for (const [index, count] of cells.entries()) all[index] = (all[index] ?? 0) + count
      if (cells !== others) byTenant.set(tenant, breakdown(cells))
    }
    if (others !== undefined) byTenant.set(OTHER_TENANTS, breakdown(others))
    return { ...breakdown(all), byTenant }
  }

  #add(tenant: TenantId, index: IndexName, cell: number, amount: number): void {
    const cells = this.#cellsOf(tenant)
    const at = INDEX_NAMES.indexOf(index) * CELLS + cell
    cells[at] = (cells[at] ?? 0) + amount
  }

  #cellsOf(tenant: string): Float64Array {
    const known = this.#cells.get(tenant)
    if (known !== undefined) return known
    const isRoom = this.#cells.size < LIMITS.statisticsTenantsMax || tenant === OTHER_TENANTS
    if (!isRoom) return this.#cellsOf(OTHER_TENANTS)
    const cells = new Float64Array(INDEX_NAMES.length * CELLS)
    this.#cells.set(tenant, cells)
    return cells
  }
}

function breakdown(cells: Float64Array): CacheBreakdown {
  const sum = (indices: readonly number[], first: number, count: number): number => {
    let total = 0
    for (const index of indices)
      for (let cell = first; cell < first + count; cell++) total += cells[index * CELLS + cell] ?? 0
    return total
  }
  const counts = (indices: readonly number[]): CacheCounts => ({
    hits: sum(indices, HITS, TIERS.length),
    misses: sum(indices, MISSES, 1),
    tokensSaved: sum(indices, TOKENS, TIERS.length),
  })
  const all = Array.from(INDEX_NAMES, (_, index) => index)
  const ofTier = (tier: Tier): Omit<CacheCounts, 'misses'> => ({
    hits: sum(all, HITS + tierIndex(tier), 1),
    tokensSaved: sum(all, TOKENS + tierIndex(tier), 1),
  })
  const ofIndex = (name: IndexName): CacheCounts => counts([INDEX_NAMES.indexOf(name)])
  return {
    ...counts(all),
    byIndex: {
      exact: ofIndex('exact'),
      positional: ofIndex('positional'),
      graph: ofIndex('graph'),
      semantic: ofIndex('semantic'),
    },
    byTier: { device: ofTier('device'), memory: ofTier('memory'), disk: ofTier('disk'), remote: ofTier('remote') },
  }
}
