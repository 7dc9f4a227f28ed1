/**
 * Fragments by what their text says, for search, prefetch and eviction. What it finds is never taken as KV for other
 * tokens: an index proposes, tokens decide. Scopes keep tenants and models apart: KV of another model is of no use,
 * and another tenant's text is nobody's business.
 */
import { assert, MembraneError } from '../core/errors.ts'
import type { ModelFingerprint, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { VectorIndex, VectorIndexFactory } from '../core/ports.ts'
import { OldestFirst, type Queued } from './oldest-first.ts'
import { clusterIds } from './semantic-clusters.ts'

/** How a `SemanticIndex` finds neighbours, and its bounds, whole numbers from 1. */
export interface SemanticOptions {
  /** How nearest neighbours are found: USearch, SimHash or brute force. */
  readonly vectors: VectorIndexFactory
  /** Entries of all scopes; beyond, the oldest of the largest scope leaves. Default 200,000: 4 bytes a number, and the index. */
  readonly entriesMax?: number
  /** Pairs of tenant and model; beyond, an entry of a new one is refused. Default 1,024. */
  readonly scopesMax?: number
}

/** Bounds of a `SemanticIndex` where nothing else is said. */
export const DEFAULT_SEMANTIC_OPTIONS = { entriesMax: 200_000, scopesMax: 1024 } as const

/** Less than a second of searches by USearch. */
const DEFAULT_CLUSTER_ENTRIES_MAX = 2000

/** Entries are found by questions of the same tenant and model only. */
export interface SemanticScope {
  readonly tenant: TenantId
  readonly model: ModelFingerprint
}

/** What is inserted. */
export interface SemanticEntry extends SemanticScope {
  /** One entry a key, in whatever scope. */
  readonly key: string
  /** Of the embedder that all entries of the scope come from. Copied. */
  readonly vector: Float32Array
}

/** What is found. */
export interface SemanticMatch {
  readonly key: string
  /** Cosine, `similarityMin` to 1. */
  readonly similarity: number
}

/** What is asked. */
export interface SemanticQuery extends SemanticScope {
  readonly vector: Float32Array
  /** 1 to LIMITS.nearestMax. */
  readonly limit: number
  /** The least cosine that counts, -1 to 1. What is similar depends on the embedder, so there is no default. */
  readonly similarityMin: number
}

/** Which groups are asked for. */
export interface SemanticClustersQuery extends SemanticScope {
  /** -1 to 1. */
  readonly similarityMin: number
  /** 1 to LIMITS.clusterEntriesMax, default 2,000. */
  readonly entriesMax?: number
}

/** Groups of similar entries of one scope. */
export interface SemanticClusters {
  /** Keys that similar ones join, at least two a cluster; largest first. */
  readonly clusters: readonly (readonly string[])[]
  /** Entries of the scope that were left out, the oldest. */
  readonly leftOut: number
}

/** What an insert did; `refused` changed nothing. */
export type SemanticInsert = 'inserted' | 'replaced' | 'refused'

interface Scope {
  readonly name: string
  readonly index: VectorIndex
  readonly inOrder: OldestFirst<Entry>
  readonly byId: Map<number, Entry>
  readonly freeIds: number[]
}

interface Entry extends Queued<Entry> {
  readonly key: string
  readonly id: number
  readonly scope: Scope
}

/** Embeddings by key, apart for each tenant and model. Bounded by its options. */
export class SemanticIndex {
  readonly #makeIndex: VectorIndexFactory
  readonly #entriesMax: number
  readonly #scopesMax: number
  readonly #scopes = new Map<string, Scope>()
  readonly #entries = new Map<string, Entry>()
  #evicted = 0

  /** Throws INVALID_CONFIG. */
  constructor({
    vectors,
    entriesMax = DEFAULT_SEMANTIC_OPTIONS.entriesMax,
    scopesMax = DEFAULT_SEMANTIC_OPTIONS.scopesMax,
  }: SemanticOptions) {
    for (const [name, value, max] of [
      ['entriesMax', entriesMax, LIMITS.vectorIdsMax],
      ['scopesMax', scopesMax, Number.MAX_SAFE_INTEGER],
    ] as const) {
      if (!Number.isInteger(value) || value < 1 || value > max) {
        throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from 1 to ${max}, found ${value}.`)
      }
    }
    this.#makeIndex = vectors
    this.#entriesMax = entriesMax
    this.#scopesMax = scopesMax
  }

  get count(): number {
    return this.#entries.size
  }

  get scopeCount(): number {
    return this.#scopes.size
  }

  /** Entries that left because there were too many. */
  get evictedEntries(): number {
    return this.#evicted
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /**
   * An entry under the same key is replaced, and becomes the youngest; one that is in another scope moves. `refused`, and
   * nothing is changed, when there would be a scope too many. Throws INVALID_REQUEST, and changes nothing, when the vector
   * is zero, not finite, or of another length than those of its scope.
   */
  insert({ key, tenant, model, vector }: SemanticEntry): SemanticInsert {
    const name = nameOf({ tenant, model })
    const known = this.#scopes.get(name)
    if (known === undefined && this.#scopes.size >= this.#scopesMax) return 'refused'
    const scope = known ?? newScope(name, this.#makeIndex(vector.length))
    const id = scope.freeIds.at(-1) ?? scope.byId.size
    // Throws before anything else is changed; the entry that it replaces goes after it.
    scope.index.add(id, vector)
    scope.freeIds.pop()
    const isReplaced = this.remove(key)
    const entry: Entry = { key, id, scope, older: null, newer: null }
    scope.byId.set(id, entry)
    scope.inOrder.push(entry)
    this.#scopes.set(name, scope)
    this.#entries.set(key, entry)
    if (this.#entries.size > this.#entriesMax) this.#evict()
    return isReplaced ? 'replaced' : 'inserted'
  }

  /** Whether it was there. The last one of a scope frees it. */
  remove(key: string): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    const { id, scope } = entry
    assert(scope.index.remove(id), 'what has an id is in the index')
    scope.byId.delete(id)
    scope.inOrder.remove(entry)
    scope.freeIds.push(id)
    this.#entries.delete(key)
    if (scope.byId.size === 0) this.#scopes.delete(scope.name)
    return true
  }

  /** Nearest first; none when the scope holds none that is near enough. Throws INVALID_REQUEST. */
  nearest({ vector, limit, similarityMin, ...where }: SemanticQuery): readonly SemanticMatch[] {
    if (!Number.isInteger(limit) || limit < 1 || limit > LIMITS.nearestMax) {
      throw new MembraneError('INVALID_REQUEST', `The limit is 1 to ${LIMITS.nearestMax}, found ${limit}.`)
    }
    checkSimilarity(similarityMin)
    const scope = this.#scopes.get(nameOf(where))
    if (scope === undefined) return []
    return scope.index
      .search(vector, limit)
      .filter(({ similarity }) => similarity >= similarityMin)
      .map(({ id, similarity }) => ({ key: keyIn(scope, id), similarity }))
  }

  /**
   * Groups of entries in which each is at least `similarityMin` near some other: paths of similar ones join, so the ends
   * of a cluster may be less alike. Of the newest `entriesMax` entries: each is a search, and all are done before it returns. Throws INVALID_REQUEST.
   */
  clusters({
    similarityMin,
    entriesMax = DEFAULT_CLUSTER_ENTRIES_MAX,
    ...where
  }: SemanticClustersQuery): SemanticClusters {
    checkSimilarity(similarityMin)
    if (!Number.isInteger(entriesMax) || entriesMax < 1 || entriesMax > LIMITS.clusterEntriesMax) {
      throw new MembraneError(
        'INVALID_REQUEST',
        `A clustering takes 1 to ${LIMITS.clusterEntriesMax} entries, found ${entriesMax}.`,
      )
    }
    const scope = this.#scopes.get(nameOf(where))
    if (scope === undefined) return { clusters: [], leftOut: 0 }
    const ids: number[] = []
    for (const { id } of scope.inOrder.newestFirst()) {
      if (ids.length >= entriesMax) break
      ids.push(id)
    }
    const clusters = clusterIds(scope.index, ids.reverse(), similarityMin)
    return {
      clusters: clusters.map((cluster) => cluster.map((id) => keyIn(scope, id))),
      leftOut: scope.byId.size - ids.length,
    }
  }

  /** The largest scope pays, so that one tenant cannot push out the others. */
  #evict(): void {
    let largest: Scope | null = null
    for (const scope of this.#scopes.values()) {
      if (largest === null || scope.byId.size > largest.byId.size) largest = scope
    }
    const oldest = largest?.inOrder.oldest ?? null
    assert(oldest !== null, 'what is too full holds something')
    this.remove(oldest.key)
    this.#evicted += 1
  }
}

function newScope(name: string, index: VectorIndex): Scope {
  return { name, index, inOrder: new OldestFirst(), byId: new Map(), freeIds: [] }
}

/** Neither of the two has a space in it. */
function nameOf({ tenant, model }: SemanticScope): string {
  return `${tenant} ${model}`
}

function keyIn({ byId }: Scope, id: number): string {
  const entry = byId.get(id)
  assert(entry !== undefined, `vector ${id} has a key`)
  return entry.key
}

function checkSimilarity(similarityMin: number): void {
  if (similarityMin >= -1 && similarityMin <= 1) return
  throw new MembraneError('INVALID_REQUEST', `A similarity is a cosine, -1 to 1, found ${similarityMin}.`, {
    details: { similarityMin },
  })
}
