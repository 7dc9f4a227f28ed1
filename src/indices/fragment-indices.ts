/**
 * One door to all indices of a node. What is put into the store is inserted here, what leaves it is removed here, and
 * each call changes every index that knows the fragment, so that none names what the store lacks. An index proposes,
 * tokens decide: who reads a fragment compares its block hashes with the prompt's, and its bytes with its content hash.
 * No answer to one tenant names a fragment of another.
 */
import { blockHashAt } from '../core/block-hashes.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { FragmentDescription, TokenSpan } from '../core/fragment.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock, Embedder } from '../core/ports.ts'
import { type Announcement, BlockHolders, type LongestPrefix, type Prompt } from './exact-holders.ts'
import type { FragmentIndicesOptions } from './fragment-indices-options.ts'
import { FragmentLinks } from './fragment-links.ts'
import { DEFAULT_GRAPH_OPTIONS } from './graph-options.ts'
import { type EdgeFilter, FragmentGraph, type Neighbour, type PrefetchCandidate, type Subgraph } from './graph.ts'
import {
  type AdjacentFragments,
  type IndexedFragment,
  type IndexEdge,
  isRecorded,
  RECORDED_KINDS,
  type SimilarFragment,
  type SimilarQuery,
} from './indexed-fragment.ts'
import { type AdjacentOptions, PositionalIndex, type Sequence } from './positional.ts'
import { SemanticIndex } from './semantic.ts'
import { type SessionName, Sessions } from './sessions.ts'
import { type IndexName, StatisticsRecorder } from './statistics.ts'
import { type Tier, tierIndex, TIERS } from './tiers.ts'

interface Indexed {
  readonly number: number
  readonly fragment: IndexedFragment
}

/** All indices of a node behind one door: see the top of this file. Throws LIMIT_REACHED where a bound is reached. */
export class FragmentIndices {
  /** Say here how many tokens a look-up saved, once they have been read and verified. */
  readonly statistics: StatisticsRecorder
  readonly #node: string
  readonly #clock: Clock
  readonly #byKey = new Map<string, Indexed>()
  readonly #byNumber: (IndexedFragment | null)[] = []
  readonly #freeNumbers: number[] = []
  readonly #blocks: BlockHolders
  readonly #positional: PositionalIndex
  readonly #graph: FragmentGraph
  readonly #links = new FragmentLinks()
  readonly #semantic: { readonly embedder: Embedder; readonly index: SemanticIndex } | null
  readonly #sessions: Sessions
  #refusedTexts = 0

  /** Throws INVALID_CONFIG. */
  constructor({
    node,
    clock,
    seed,
    layersOf = () => null,
    semantic = null,
    graph = {},
    sessions,
    statistics = new StatisticsRecorder(),
  }: FragmentIndicesOptions) {
    this.statistics = statistics
    this.#node = node
    this.#clock = clock
    this.#blocks = new BlockHolders({ node, layersOf, seed })
    this.#positional = new PositionalIndex({ spansMax: LIMITS.indexFragmentsMax, seed })
    this.#graph = new FragmentGraph({ ...DEFAULT_GRAPH_OPTIONS, ...graph, keysMax: LIMITS.indexFragmentsMax })
    this.#semantic =
      semantic === null
        ? null
        : { embedder: semantic.embedder, index: new SemanticIndex({ vectors: semantic.vectors }) }
    this.#sessions = new Sessions(sessions)
  }

  /** Fragments of this node. */
  get count(): number {
    return this.#byKey.size
  }

  /** Texts that the semantic index had no room for: their fragments are in all other indices. */
  get refusedTexts(): number {
    return this.#refusedTexts
  }

  /** Tenants, hash chains and models that have blocks, here or elsewhere. */
  get namespaces(): number {
    return this.#blocks.namespaces
  }

  get(key: string): IndexedFragment | null {
    return this.#byKey.get(key)?.fragment ?? null
  }

  /** Every fragment, in the order in which they were inserted. */
  *fragments(): Generator<IndexedFragment, void> {
    for (const { fragment } of this.#byKey.values()) yield fragment
  }

  /**
   * Makes a fragment known, in place of one that was known under its key. Throws LIMIT_REACHED when there is no room, and
   * INVALID_REQUEST or INVALID_FRAGMENT for a description that no codec accepts: it is in no index then, and neither is
   * the one that was known under its key.
   */
  insert(fragment: IndexedFragment): void {
    const { key, description } = fragment
    this.remove(key)
    if (this.#byKey.size >= LIMITS.indexFragmentsMax) throw tooManyFragments()
    const number = this.#freeNumbers.pop() ?? this.#byNumber.length
    const sequence = sequenceOf(fragment)
    this.#byNumber[number] = fragment
    try {
      this.#blocks.insert(number, fragment)
      if (sequence !== null) this.#positional.insert(sequence, description.signature.tokens, number)
    } catch (error) {
      this.#blocks.remove(number)
      this.#byNumber[number] = null
      this.#freeNumbers.push(number)
      throw error
    }
    this.#byKey.set(key, { number, fragment })
    assert(this.#graph.insert(key), 'the graph has room for as many fragments as there may be')
    for (const { from, to, kind } of this.#links.insert(number, fragment))
      this.#graph.relate(this.#fragmentOf(from).key, this.#fragmentOf(to).key, kind, 1, this.#clock.nowMs())
    this.#insertText(fragment)
  }

  /** Takes a fragment out of every index. Whether it was known. */
  remove(key: string): boolean {
    const indexed = this.#byKey.get(key)
    if (indexed === undefined) return false
    const { number, fragment } = indexed
    const sequence = sequenceOf(fragment)
    // All of them, always: a removal that stopped at the first index would leave ghosts in the others.
    this.#blocks.remove(number)
    if (sequence !== null) this.#positional.remove(sequence, fragment.description.signature.tokens, number)
    this.#graph.remove(key)
    this.#links.remove(number, fragment)
    this.#semantic?.index.remove(key)
    this.#sessions.remove(key)
    this.#byKey.delete(key)
    this.#byNumber[number] = null
    this.#freeNumbers.push(number)
    return true
  }

  /** The fragment is read from another tier now; all else stays, its edges too. Whether it was known. */
  setTier(key: string, tier: Tier): boolean {
    const indexed = this.#byKey.get(key)
    if (indexed === undefined) return false
    const { number } = indexed
    const fragment = { ...indexed.fragment, tier }
    this.#byKey.set(key, { number, fragment })
    this.#byNumber[number] = fragment
    this.#blocks.setTier(number, tier)
    return true
  }

  /** Another node holds these blocks in this tier. Gives how many were refused because the index is full. Throws LIMIT_REACHED. */
  announce(announcement: Announcement): number {
    return this.#blocks.announce(announcement)
  }

  /** Another node no longer holds these blocks in this tier, or, with null, in any. Gives how many it held. */
  withdraw(announcement: Omit<Announcement, 'tier'> & { readonly tier: Tier | null }): number {
    return this.#blocks.withdraw(announcement)
  }

  /** Forgets another node, in steps of a millisecond at most: see `BlockHolders`. Run it to the end. */
  forgetNode(node: string): Generator<number, void> {
    return this.#blocks.forgetNode(node)
  }

  /** How much of a prompt is held, from its first block on: by all nodes together, and by each. Counts as a look-up. */
  longestPrefix(prompt: Prompt): LongestPrefix {
    const found = this.#blocks.longestPrefix(prompt)
    const local = found.nodes.find(({ node }) => node === this.#node)
    // What only others hold has to be fetched from them.
    const slowest = TIERS[local?.blocksByTier.findLastIndex((blocks) => blocks > 0) ?? -1] ?? 'remote'
    this.#count('exact', prompt.tenant, found.blocks === 0 ? null : slowest)
    return found
  }

  /**
   * For each block of the prompt, in which tiers this node holds it, as bits of `TIER_BIT` and 0 for none: what lies
   * after the first gap too.
   */
  localTiers(prompt: Prompt): Uint8Array {
    return this.#blocks.localTiers(prompt)
  }

  /** Fragments of this node that cover block `index` of the prompt, whole or in part, in no order. */
  fragmentsOf(prompt: Prompt, index: number): readonly IndexedFragment[] {
    const proposed = this.#blocks.fragmentsOf(prompt, index).map((number) => this.#fragmentOf(number))
    return proposed.filter((fragment) => hasBlock(fragment, prompt, index))
  }

  /** Fragments that cover any of the blocks `[start, end)` of the prompt, each once, by the first such block. */
  fragmentsIn(prompt: Prompt, start: number, end: number): readonly IndexedFragment[] {
    const found = new Map<number, IndexedFragment>()
    for (let index = start; index < end; index++) {
      for (const number of this.#blocks.fragmentsOf(prompt, index)) {
        // A fragment of many blocks is met at each of them, and compared at the first.
        if (found.has(number)) continue
        const fragment = this.#fragmentOf(number)
        if (hasBlock(fragment, prompt, index)) found.set(number, fragment)
      }
    }
    return [...found.values()]
  }

  /**
   * Fragments that share a token position with the span, by start: the first `limit`. Their tokens may be others.
   * Counts as a look-up.
   */
  overlapping(sequence: Sequence, span: TokenSpan, limit: number): readonly IndexedFragment[] {
    const found = this.#positional.overlapping(sequence, span, limit).map((number) => this.#fragmentOf(number))
    this.#countFound('positional', sequence.tenant, found)
    return found
  }

  /**
   * Fragments that lie beside the span, at most `gapTokensMax` positions away: the nearest `limit` on each side. Counts
   * as a look-up.
   */
  adjacent(sequence: Sequence, span: TokenSpan, options: AdjacentOptions): AdjacentFragments {
    const found = this.#positional.adjacent(sequence, span, options)
    const before = found.before.map((number) => this.#fragmentOf(number))
    const after = found.after.map((number) => this.#fragmentOf(number))
    this.#countFound('positional', sequence.tenant, [...before, ...after])
    return { before, after }
  }

  /**
   * A session's turn: it accessed these fragments, in this order. They are linked by co-access and remembered for the
   * session. Keys that are not known, or are another tenant's, are passed over.
   */
  accessed(session: SessionName, keys: readonly string[]): void {
    const known = keys.filter((key) => this.get(key)?.tenant === session.tenant)
    this.#graph.coAccessed(known, this.#clock.nowMs())
    this.#sessions.touch(session, known, this.#clock.nowMs())
  }

  /**
   * Sets the weight of an edge between two fragments of one tenant. False when one of them is not known, they are of two
   * tenants, or the edge was at once the weakest of too many. Throws INVALID_REQUEST for a weight out of range.
   */
  recordEdge({ from, to, kind, weight, atMs }: IndexEdge): boolean {
    const tenant = this.get(from)?.tenant
    if (tenant === undefined || this.get(to)?.tenant !== tenant) return false
    return this.#graph.relate(from, to, kind, weight, atMs)
  }

  /** Every edge by co-access or version that is still of weight, as of now. */
  *recordedEdges(): Generator<IndexEdge, void> {
    const atMs = this.#clock.nowMs()
    for (const from of this.#byKey.keys()) {
      const neighbours = this.#graph.neighbours(from, { kinds: RECORDED_KINDS, limit: Number.MAX_SAFE_INTEGER, atMs })
      for (const { key: to, kind, direction, weight } of neighbours) {
        // Seen from both ends; taken from one.
        const isTaken = direction === 'out' || (direction === 'both' && from < to)
        if (isTaken && weight > 0 && isRecorded(kind)) yield { from, to, kind, weight, atMs }
      }
    }
  }

  /** Which sessions there are, what they touched, and what is known of the future of a key. Turns come by `accessed`. */
  get sessions(): Omit<Sessions, 'touch' | 'remove'> {
    return this.#sessions
  }

  /** Fragments that edges lead to from this one, heaviest first: of the same tenant. Counts as a look-up. */
  neighbours(key: string, options: Omit<EdgeFilter, 'atMs'> & { readonly limit: number }): readonly Neighbour[] {
    const found = this.#graph.neighbours(key, { ...options, atMs: this.#clock.nowMs() })
    this.#countKeys(key, found)
    return found
  }

  /** What is likely wanted after these keys, heaviest first. Counts as a look-up of the first key's tenant. */
  prefetchCandidates(
    keys: readonly string[],
    options: Omit<EdgeFilter, 'atMs'> & { readonly limit: number },
  ): readonly PrefetchCandidate[] {
    const found = this.#graph.prefetchCandidates(keys, { ...options, atMs: this.#clock.nowMs() })
    const [first] = keys
    if (first !== undefined) this.#countKeys(first, found)
    return found
  }

  /** What lies within `depth` steps; null when the key is not known. Throws INVALID_REQUEST beyond the limits of subgraphs. */
  subgraph(
    key: string,
    options: Omit<EdgeFilter, 'atMs'> & { readonly depth: number; readonly nodesMax?: number },
  ): Subgraph | null {
    return this.#graph.subgraph(key, { ...options, atMs: this.#clock.nowMs() })
  }

  /** For eviction: how much this fragment was accessed together with others that are still there. */
  coAccessValue(key: string): number {
    return this.#graph.coAccessValue(key, this.#clock.nowMs())
  }

  /**
   * Fragments of the tenant and model whose text says something similar, nearest first. Never KV for other tokens: for
   * search, prefetch and eviction. Null when there is no semantic index. Counts as a look-up. Throws INVALID_REQUEST.
   */
  similar({ text, ...query }: SimilarQuery): readonly SimilarFragment[] | null {
    if (this.#semantic === null) return null
    const vector = this.#semantic.embedder.embed(text)
    const matches = vector === null ? [] : this.#semantic.index.nearest({ ...query, vector })
    const found = matches.map(({ key, similarity }) => ({ fragment: this.#known(key), similarity }))
    this.#countFound(
      'semantic',
      query.tenant,
      found.map(({ fragment }) => fragment),
    )
    return found
  }

  /**
   * What is wrong, in words; none as a rule: each is a bug, since every call keeps the indices in step. Looks at
   * everything, and takes seconds for a million fragments.
   */
  inconsistencies(): readonly string[] {
    const descriptions = new Map<number, FragmentDescription>()
    let spans = 0
    for (const [key, { number, fragment }] of this.#byKey) {
      descriptions.set(number, fragment.description)
      if (fragment.description.sequence !== null) spans += 1
      assert(this.#byNumber[number] === fragment, `${key} is fragment ${number}`)
    }
    const problems = [...this.#blocks.inconsistencies(descriptions)]
    if (spans !== this.#positional.spans) problems.push(`${this.#positional.spans} spans, not ${spans}`)
    this.#positional.forEach((number) => {
      if (!descriptions.has(number)) problems.push(`a span names fragment ${number}, which is not there`)
    })
    for (const key of this.#byKey.keys()) if (!this.#graph.has(key)) problems.push(`${key} is not in the graph`)
    if (this.#graph.keyCount !== this.#byKey.size) problems.push(`the graph has ${this.#graph.keyCount} keys`)
    if (this.#byKey.size === 0 && this.#links.names > 0) problems.push('there are names of fragments that are gone')
    const texts = Array.from(this.#byKey.keys()).filter((key) => this.#semantic?.index.has(key)).length
    if (texts !== (this.#semantic?.index.count ?? 0)) problems.push('the semantic index has keys that are not known')
    return problems
  }

  #insertText({ key, tenant, description }: IndexedFragment): void {
    if (this.#semantic === null || description.text === null) return
    const { embedder, index } = this.#semantic
    const vector = embedder.embed(description.text)
    if (vector === null) return
    if (index.insert({ key, tenant, model: description.signature.model, vector }) === 'refused') this.#refusedTexts += 1
  }

  #fragmentOf(number: number): IndexedFragment {
    const fragment = this.#byNumber[number] ?? null
    assert(fragment !== null, `an index names fragment ${number}, which is not there`)
    return fragment
  }

  #known(key: string): IndexedFragment {
    const fragment = this.get(key)
    assert(fragment !== null, `an index names ${key}, which is not there`)
    return fragment
  }

  #countKeys(asked: string, found: readonly { readonly key: string }[]): void {
    const tenant = this.get(asked)?.tenant
    const fragments = found.map(({ key }) => this.#known(key))
    if (tenant !== undefined) this.#countFound('graph', tenant, fragments)
  }

  #countFound(index: IndexName, tenant: TenantId, found: readonly IndexedFragment[]): void {
    const slowest = found.reduce((max, { tier }) => Math.max(max, tierIndex(tier)), -1)
    this.#count(index, tenant, TIERS[slowest] ?? null)
  }

  #count(index: IndexName, tenant: TenantId, tier: Tier | null): void {
    if (tier === null) this.statistics.miss(index, tenant)
    else this.statistics.hit(index, tenant, tier)
  }
}

function sequenceOf({ tenant, description: { sequence, signature } }: IndexedFragment): Sequence | null {
  return sequence === null ? null : { tenant, model: signature.model, sequence }
}

function tooManyFragments(): MembraneError {
  return new MembraneError('LIMIT_REACHED', `Indices hold at most ${LIMITS.indexFragmentsMax} fragments.`, {
    details: { max: LIMITS.indexFragmentsMax },
  })
}

/** The index knows the first 16 bytes of a hash: the description knows all of them. */
function hasBlock({ description }: IndexedFragment, { hashes }: Prompt, index: number): boolean {
  return description.blocks.includes(blockHashAt(hashes, index))
}
