/**
 * One door to all indices of a node. What is put into the store is inserted here, what leaves it is removed here, and
 * each call changes every index that knows the fragment, so that none names what the store lacks. An index proposes,
 * tokens decide: who reads a fragment compares its block hashes with the prompt's, and its bytes with its content hash.
 *
 * Block hashes are of one tenant, chain and model; another tenant's are never looked at.
 */
import { type BlockHashes, blockHashAt, packBlockHashes } from '../core/block-hashes.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { FragmentDescription, TokenSpan } from '../core/fragment.ts'
import type { ContentHash, ModelFingerprint, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { type BlockFragment, FragmentBlocks, type LayersOf } from './exact-fragments.ts'
import { type BlockRange, ExactIndex } from './exact.ts'
import { Namespaces, NameTable } from './namespaces.ts'
import { type AdjacentOptions, PositionalIndex, type Sequence } from './positional.ts'
import type { Tier } from './tiers.ts'

/** What the store holds, as far as indices need to know. */
export interface IndexedFragment {
  /** Of the store. */
  readonly key: string
  readonly tenant: TenantId
  /** One that the codec of fragments accepts. */
  readonly description: FragmentDescription
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  /** Where this node reads it from. */
  readonly tier: Tier
}

export interface FragmentIndicesOptions {
  /** How this node is called in `longestPrefix`. */
  readonly node: string
  /** Number of layers of a model, or null. By default no model's is known: a fragment from layer 0 on has them all. */
  readonly layersOf?: LayersOf
  /** Against hashes that were chosen to slow look-ups down: any whole number of 32 bits, best a random one. */
  readonly seed: number
}

/** Whose prompt, for which model. */
export interface Prompt {
  readonly tenant: TenantId
  readonly model: ModelFingerprint
  readonly hashes: BlockHashes
}

/** Leading blocks of a prompt that one node holds. */
export interface NodeRun {
  readonly node: string
  readonly blocks: number
  /** Those blocks by the fastest tier of each, in the order of `TIERS`. */
  readonly blocksByTier: readonly number[]
}

export interface LongestPrefix {
  /** Leading blocks that each are held by some node, not all of them by the same. */
  readonly blocks: number
  /** Leading blocks that this node holds. */
  readonly localBlocks: number
  /** Every node that holds the first block, this one too, the longest run first. */
  readonly nodes: readonly NodeRun[]
}

/** Blocks that another node has, or no longer has. */
export interface Announcement extends Prompt {
  readonly node: string
  readonly tier: Tier
}

export interface AdjacentFragments {
  /** Those that end at the start of the span or before it, the nearest first. */
  readonly before: readonly IndexedFragment[]
  /** Those that start at its end or after it, the nearest first. */
  readonly after: readonly IndexedFragment[]
}

interface Indexed {
  readonly number: number
  readonly fragment: IndexedFragment
  /** Null where there are no block hashes. */
  readonly blocks: BlockFragment | null
  readonly sequence: Sequence | null
}

export class FragmentIndices {
  readonly #node: string
  readonly #byKey = new Map<string, Indexed>()
  readonly #byNumber: (Indexed | null)[] = []
  readonly #freeNumbers: number[] = []
  readonly #namespaces = new Namespaces()
  readonly #nodes = new NameTable('nodes', LIMITS.indexNodesMax)
  readonly #self: number
  readonly #exact: ExactIndex
  readonly #blocks: FragmentBlocks
  readonly #positional: PositionalIndex

  constructor({ node, seed, layersOf = () => null }: FragmentIndicesOptions) {
    this.#node = node
    this.#self = this.#nodes.intern(node)
    this.#exact = new ExactIndex({ pairsMax: LIMITS.indexHolderBlocksMax, seed })
    this.#positional = new PositionalIndex({ spansMax: LIMITS.indexFragmentsMax, seed })
    this.#blocks = new FragmentBlocks({
      layersOf,
      seed,
      heldChanged: (range, tierBits) => this.#exact.setTiers(range, this.#self, tierBits),
    })
  }

  /** Fragments of this node. */
  get fragments(): number {
    return this.#byKey.size
  }

  /** Tenants, chains and models that have blocks here. */
  get namespaces(): number {
    return this.#namespaces.count
  }

  get(key: string): IndexedFragment | null {
    return this.#byKey.get(key)?.fragment ?? null
  }

  keys(): IterableIterator<string> {
    return this.#byKey.keys()
  }

  /**
   * Makes a fragment known, in place of one that was known under its key. Throws LIMIT_REACHED when there is no room in
   * one of the indices: it is in none of them then, and neither is the one that was known under its key.
   */
  insert(fragment: IndexedFragment): void {
    this.remove(fragment.key)
    const { tenant, description } = fragment
    const { model, tokens } = description.signature
    if (this.#byKey.size >= LIMITS.indexFragmentsMax) throw tooManyFragments()
    const sequence = description.sequence === null ? null : { tenant, model, sequence: description.sequence }
    const blocks = this.#blockFragment(fragment)
    const number = this.#freeNumbers.pop() ?? this.#byNumber.length
    try {
      if (blocks !== null) this.#blocks.checkRoom(blocks)
      if (sequence !== null) this.#positional.insert(sequence, tokens, number)
    } catch (error) {
      this.#freeNumbers.push(number)
      if (blocks !== null) this.#releaseNamespace(blocks.namespace)
      throw error
    }
    const indexed: Indexed = { number, fragment, blocks, sequence }
    this.#byKey.set(fragment.key, indexed)
    this.#byNumber[number] = indexed
    if (blocks !== null) this.#blocks.insert(number, blocks)
  }

  /** Takes a fragment out of every index. Whether it was known. */
  remove(key: string): boolean {
    const indexed = this.#byKey.get(key)
    if (indexed === undefined) return false
    const { number, fragment, blocks, sequence } = indexed
    this.#byKey.delete(key)
    this.#byNumber[number] = null
    this.#freeNumbers.push(number)
    if (sequence !== null) this.#positional.remove(sequence, fragment.description.signature.tokens, number)
    if (blocks !== null) {
      this.#blocks.remove(number)
      this.#releaseNamespace(blocks.namespace)
    }
    return true
  }

  /** Another node holds these blocks in this tier. Gives how many were refused because the index is full. */
  announce({ node, tier, ...prompt }: Announcement): number {
    this.#assertOther(node)
    if (prompt.hashes.count === 0) return 0
    const range = this.#rangeOf(prompt, this.#namespaces.intern({ ...prompt, chain: prompt.hashes.chain }))
    try {
      return this.#exact.add(range, this.#nodes.intern(node), tier)
    } finally {
      this.#releaseNamespace(range.namespace)
    }
  }

  /** Another node no longer holds these blocks in this tier, or, with null, in any. Gives how many it held. */
  withdraw({ node, tier, ...prompt }: Omit<Announcement, 'tier'> & { readonly tier: Tier | null }): number {
    this.#assertOther(node)
    const holder = this.#nodes.idOf(node)
    const namespace = this.#namespaceOf(prompt)
    if (holder === null || namespace === null) return 0
    const removed = this.#exact.remove(this.#rangeOf(prompt, namespace), holder, tier)
    this.#releaseNamespace(namespace)
    return removed
  }

  /**
   * Forgets another node, piece by piece: between two steps, of a millisecond at most, others may use the indices. Each
   * step gives how many blocks were forgotten. Run it to the end: until then they count among what all nodes hold
   * together. What the node announces meanwhile, because it is back, stays.
   */
  *forgetNode(node: string): Generator<number, void> {
    this.#assertOther(node)
    const holder = this.#nodes.idOf(node)
    if (holder === null) return
    this.#nodes.retire(holder)
    yield* this.#exact.sweepHolder(holder)
    this.#nodes.release(holder)
    for (const namespace of this.#namespaces.ids()) this.#releaseNamespace(namespace)
  }

  /** How much of a prompt is held, from its first block on: by all nodes together, and by each. */
  longestPrefix(prompt: Prompt): LongestPrefix {
    const namespace = this.#namespaceOf(prompt)
    if (namespace === null) return { blocks: 0, localBlocks: 0, nodes: [] }
    const { blocks, runs } = this.#exact.longestPrefix(namespace, prompt.hashes)
    const nodes = runs.flatMap(({ holder, ...run }): NodeRun[] => {
      const node = this.#nodes.nameOf(holder)
      return node === null ? [] : [{ node, ...run }]
    })
    return { blocks, localBlocks: nodes.find(({ node }) => node === this.#node)?.blocks ?? 0, nodes }
  }

  /**
   * For each block of the prompt, in which tiers this node holds it, as bits of `TIER_BIT` and 0 for none: what lies
   * after the first gap too.
   */
  localTiers(prompt: Prompt): Uint8Array {
    const tierBits = new Uint8Array(prompt.hashes.count)
    const namespace = this.#namespaceOf(prompt)
    if (namespace !== null) this.#exact.tiersOf(this.#rangeOf(prompt, namespace), this.#self, tierBits)
    return tierBits
  }

  /** Fragments of this node that cover block `index` of the prompt, whole or in part, in no order. */
  fragmentsOf(prompt: Prompt, index: number): readonly IndexedFragment[] {
    const namespace = this.#namespaceOf(prompt)
    if (namespace === null) return []
    const wanted = blockHashAt(prompt.hashes, index)
    const found = this.#blocks.fragmentsOf(namespace, prompt.hashes, index).map((number) => this.#fragmentOf(number))
    // The index knows the first 16 bytes of a hash.
    return found.filter(({ description }) => description.blocks.includes(wanted))
  }

  /** Fragments that cover any of the blocks `[start, end)` of the prompt, each once, by the first such block. */
  fragmentsIn(prompt: Prompt, start: number, end: number): readonly IndexedFragment[] {
    const found = new Map<string, IndexedFragment>()
    for (let index = start; index < end; index++) {
      for (const fragment of this.fragmentsOf(prompt, index)) found.set(fragment.key, fragment)
    }
    return [...found.values()]
  }

  /** Fragments that share a token position with the span, by start: the first `limit`. Their tokens may be others. */
  overlapping(sequence: Sequence, span: TokenSpan, limit: number): readonly IndexedFragment[] {
    return this.#positional.overlapping(sequence, span, limit).map((number) => this.#fragmentOf(number))
  }

  /** Fragments that lie beside the span, at most `gapTokensMax` positions away: the nearest `limit` on each side. */
  adjacent(sequence: Sequence, span: TokenSpan, options: AdjacentOptions): AdjacentFragments {
    const { before, after } = this.#positional.adjacent(sequence, span, options)
    return {
      before: before.map((number) => this.#fragmentOf(number)),
      after: after.map((number) => this.#fragmentOf(number)),
    }
  }

  /**
   * What is wrong, in words, none as a rule: a bug, since every call keeps the indices in step. Looks at everything, and
   * takes seconds for a million fragments.
   */
  inconsistencies(): readonly string[] {
    const problems: string[] = []
    let pairs = 0
    let spans = 0
    for (const [key, { number, fragment, blocks, sequence }] of this.#byKey) {
      if (this.#byNumber[number]?.fragment !== fragment) problems.push(`${key} is not fragment ${number}`)
      spans += sequence === null ? 0 : 1
      if (blocks === null) continue
      const held = new Uint8Array(blocks.hashes.count)
      this.#exact.tiersOf(blocks, this.#self, held)
      if (this.#blocks.heldTiers(blocks).some((bits, index) => bits !== held[index]))
        problems.push(`${key} has blocks whose tiers are out of date`)
      for (let index = 0; index < blocks.hashes.count; index++)
        if (!this.#blocks.fragmentsOf(blocks.namespace, blocks.hashes, index).includes(number))
          problems.push(`${key} is not found by its block ${index}`)
      // As the index knows them: by 16 bytes.
      pairs += new Set(fragment.description.blocks.map((hash) => hash.slice(0, hash.indexOf(':') + 33))).size
    }
    if (pairs !== this.#blocks.pairs) problems.push(`${this.#blocks.pairs} pairs of block and fragment, not ${pairs}`)
    if (spans !== this.#positional.spans) problems.push(`${this.#positional.spans} spans, not ${spans}`)
    this.#exact.forEach((namespace, digest, holder) => {
      const hashes = { chain: '', digestBytes: 16, count: 1, bytes: digest }
      const isCovered = holder !== this.#self || this.#blocks.fragmentsOf(namespace, hashes, 0).length > 0
      if (!isCovered) problems.push(`a block of namespace ${namespace} is held without a fragment`)
      if (this.#namespaces.namespaceOf(namespace) === null) problems.push(`namespace ${namespace} has no name`)
    })
    this.#blocks.forEach((_, __, number) => {
      if ((this.#byNumber[number] ?? null) === null)
        problems.push(`a block names fragment ${number}, which is not there`)
    })
    this.#positional.forEach((number) => {
      if ((this.#byNumber[number] ?? null) === null)
        problems.push(`a span names fragment ${number}, which is not there`)
    })
    return problems
  }

  #fragmentOf(number: number): IndexedFragment {
    const indexed = this.#byNumber[number] ?? null
    assert(indexed !== null, `an index names fragment ${number}, which is not there`)
    return indexed.fragment
  }

  #blockFragment({ tenant, description, tier }: IndexedFragment): BlockFragment | null {
    if (description.blocks.length === 0) return null
    const hashes = packBlockHashes(description.blocks)
    const { model } = description.signature
    const namespace = this.#namespaces.intern({ tenant, model, chain: hashes.chain })
    return { namespace, hashes, description, tier }
  }

  #namespaceOf({ tenant, model, hashes }: Prompt): number | null {
    return this.#namespaces.idOf({ tenant, model, chain: hashes.chain })
  }

  #rangeOf({ hashes }: Prompt, namespace: number): BlockRange {
    return { namespace, hashes }
  }

  /** A namespace without a block is no longer one: models and tenants come and go. */
  #releaseNamespace(namespace: number): void {
    if (this.#exact.pairsOfNamespace(namespace) > 0 || this.#blocks.pairsOfNamespace(namespace) > 0) return
    this.#namespaces.release(namespace)
  }

  #assertOther(node: string): void {
    assert(node !== this.#node, 'what this node holds is known by its fragments')
  }
}

function tooManyFragments(): MembraneError {
  return new MembraneError('LIMIT_REACHED', `Indices hold at most ${LIMITS.indexFragmentsMax} fragments.`, {
    details: { max: LIMITS.indexFragmentsMax },
  })
}
