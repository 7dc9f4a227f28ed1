/**
 * Which node has which blocks of a prompt: this one by its fragments, the others as they announce it. Block hashes are
 * of one tenant, chain and model; another tenant's are never looked at.
 */
import { type BlockHashes, packBlockHashes } from '../core/block-hashes.ts'
import { assert } from '../core/errors.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import type { ModelFingerprint, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { type BlockFragment, FragmentBlocks, type LayersOf } from './exact-fragments.ts'
import { ExactIndex } from './exact.ts'
import { Namespaces, NameTable } from './namespaces.ts'
import type { Tier } from './tiers.ts'

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

/** How much of a prompt is held, by all nodes together and by each. */
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

export interface BlockHoldersOptions {
  /** The name of this node. */
  readonly node: string
  readonly layersOf: LayersOf
  readonly seed: number
}

export class BlockHolders {
  readonly #node: string
  readonly #namespaces = new Namespaces()
  readonly #nodes = new NameTable('nodes', LIMITS.indexNodesMax)
  readonly #self: number
  readonly #exact: ExactIndex
  readonly #fragments: FragmentBlocks

  constructor({ node, layersOf, seed }: BlockHoldersOptions) {
    this.#node = node
    this.#self = this.#nodes.intern(node)
    this.#exact = new ExactIndex({ pairsMax: LIMITS.indexHolderBlocksMax, seed })
    this.#fragments = new FragmentBlocks({
      layersOf,
      seed,
      heldChanged: (range, tierBits) => this.#exact.setTiers(range, this.#self, tierBits),
    })
  }

  /** Tenants, chains and models that have blocks. */
  get namespaces(): number {
    return this.#namespaces.count
  }

  /** Bytes of the arrays that hold blocks. */
  get byteLength(): number {
    return this.#exact.byteLength + this.#fragments.byteLength
  }

  /** Throws LIMIT_REACHED when there is no room, INVALID_REQUEST when block hashes are of several chains; nothing has changed then. */
  insert(number: number, fragment: { tenant: TenantId; description: FragmentDescription; tier: Tier }): void {
    const { tenant, description, tier } = fragment
    if (description.blocks.length === 0) return
    const hashes = packBlockHashes(description.blocks)
    const { model } = description.signature
    const namespace = this.#namespaces.intern({ tenant, model, chain: hashes.chain })
    try {
      this.#fragments.checkRoom({ namespace, hashes })
      this.#fragments.insert(number, { namespace, hashes, description, tier })
    } finally {
      this.#releaseIfEmpty(namespace)
    }
  }

  /** Whether it was there and had blocks. */
  remove(number: number): boolean {
    const fragment = this.#fragments.get(number)
    if (fragment === null) return false
    this.#fragments.remove(number)
    this.#releaseIfEmpty(fragment.namespace)
    return true
  }

  /** The fragment is read from another tier now. */
  setTier(number: number, tier: Tier): void {
    const fragment = this.#fragments.get(number)
    if (fragment === null) return
    this.#fragments.remove(number)
    this.#fragments.insert(number, { ...fragment, tier })
  }

  /** Another node holds these blocks in this tier. Gives how many were refused because the index is full. */
  announce({ node, tier, ...prompt }: Announcement): number {
    this.#assertOther(node)
    const { hashes } = prompt
    const namespace = this.#namespaces.intern({ ...prompt, chain: hashes.chain })
    try {
      return this.#exact.add({ namespace, hashes }, this.#nodes.intern(node), tier)
    } finally {
      this.#releaseIfEmpty(namespace)
    }
  }

  /** Another node no longer holds these blocks in this tier, or, with null, in any. Gives how many it held. */
  withdraw({ node, tier, ...prompt }: Prompt & { readonly node: string; readonly tier: Tier | null }): number {
    this.#assertOther(node)
    const holder = this.#nodes.idOf(node)
    const namespace = this.#namespaceOf(prompt)
    if (holder === null || namespace === null) return 0
    const removed = this.#exact.remove({ namespace, hashes: prompt.hashes }, holder, tier)
    this.#releaseIfEmpty(namespace)
    return removed
  }

  /**
   * Forgets another node, piece by piece: between two steps, of a millisecond at most, others may use the index. Each
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
    for (const namespace of this.#namespaces.ids()) this.#releaseIfEmpty(namespace)
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

  /** For each block of the prompt, in which tiers this node holds it, as bits of `TIER_BIT`; 0 for none. */
  localTiers(prompt: Prompt): Uint8Array {
    const tierBits = new Uint8Array(prompt.hashes.count)
    const namespace = this.#namespaceOf(prompt)
    if (namespace !== null) this.#exact.tiersOf({ namespace, hashes: prompt.hashes }, this.#self, tierBits)
    return tierBits
  }

  /** Fragments that may cover block `index` of the prompt: their hashes agree with it in the first 16 bytes. */
  fragmentsOf(prompt: Prompt, index: number): readonly number[] {
    const namespace = this.#namespaceOf(prompt)
    return namespace === null ? [] : this.#fragments.fragmentsOf(namespace, prompt.hashes, index)
  }

  /** What is wrong, in words, given which fragments there should be. */
  inconsistencies(fragments: ReadonlyMap<number, FragmentDescription>): readonly string[] {
    const problems: string[] = []
    let pairs = 0
    for (const [number, { blocks }] of fragments) {
      const fragment = this.#fragments.get(number)
      if ((fragment === null) !== (blocks.length === 0)) problems.push(`fragment ${number} is not known by its blocks`)
      if (fragment === null) continue
      problems.push(...this.#inconsistenciesOf(number, fragment))
      // As the index knows them: by 16 bytes.
      pairs += new Set(blocks.map((hash) => hash.slice(0, hash.indexOf(':') + 33))).size
    }
    if (pairs !== this.#fragments.pairs) problems.push(`${this.#fragments.pairs} blocks of fragments, not ${pairs}`)
    this.#fragments.forEach((_, __, number) => {
      if (!fragments.has(number)) problems.push(`a block names fragment ${number}, which is not there`)
    })
    this.#exact.forEach((namespace, digest, holder) => {
      const hashes = { chain: '', digestBytes: 16, count: 1, bytes: digest }
      const isCovered = holder !== this.#self || this.#fragments.fragmentsOf(namespace, hashes, 0).length > 0
      if (!isCovered) problems.push(`a block of namespace ${namespace} is held without a fragment`)
      if (this.#namespaces.namespaceOf(namespace) === null) problems.push(`namespace ${namespace} has no name`)
    })
    return problems
  }

  #inconsistenciesOf(number: number, { namespace, hashes }: BlockFragment): readonly string[] {
    const problems: string[] = []
    const held = new Uint8Array(hashes.count)
    this.#exact.tiersOf({ namespace, hashes }, this.#self, held)
    if (this.#fragments.heldTiers({ namespace, hashes }).some((bits, index) => bits !== held[index]))
      problems.push(`fragment ${number} has blocks whose tiers are out of date`)
    for (let index = 0; index < hashes.count; index++)
      if (!this.#fragments.fragmentsOf(namespace, hashes, index).includes(number))
        problems.push(`fragment ${number} is not found by its block ${index}`)
    return problems
  }

  #namespaceOf({ tenant, model, hashes }: Prompt): number | null {
    return this.#namespaces.idOf({ tenant, model, chain: hashes.chain })
  }

  /** A namespace without a block is no longer one: models and tenants come and go. */
  #releaseIfEmpty(namespace: number): void {
    if (this.#exact.pairsOfNamespace(namespace) > 0 || this.#fragments.pairsOfNamespace(namespace) > 0) return
    this.#namespaces.release(namespace)
  }

  #assertOther(node: string): void {
    assert(node !== this.#node, 'what this node holds is known by its fragments')
  }
}
