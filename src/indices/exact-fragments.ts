/**
 * Which of a node's fragments cover which blocks, and which blocks the node therefore holds. A block is held when there
 * is KV of all layers and heads for it, which is when
 *
 * - a group is complete (each of its parts is there) and one of its `kv` parts covers the block, or
 * - a `kv` fragment without a group, of all heads, covers it with all layers of the model; or several such fragments of
 *   one form (dtype, layout, position encoding) that have all layers between them. Of a model whose number of layers is
 *   not known, a fragment that begins at layer 0 is taken to have them all, and others to be parts of something.
 *
 * So what is split by heads, and what belongs to a state, needs a group: nothing else says what there should be.
 */
import type { BlockHashes } from '../core/block-hashes.ts'
import { MembraneError } from '../core/errors.ts'
import type { FragmentDescription, FragmentGroup, Span, StructuralSignature } from '../core/fragment.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { ExactTable, TAG_BITS } from './exact-table.ts'
import { TIER_BIT, type Tier, tierIndex, TIERS } from './tiers.ts'

/** Number of layers of a model, null when it is not known. Answers alike for as long as the index lives. */
export type LayersOf = (model: ModelFingerprint) => number | null

/** A fragment that covers blocks. */
export interface BlockFragment {
  readonly namespace: number
  readonly hashes: BlockHashes
  readonly description: FragmentDescription
  readonly tier: Tier
}

/** Blocks that are now held in other tiers than before: byte `i` is for block `i`, as bits of `TIER_BIT`. */
export type HeldChanged = (fragment: BlockFragment, tierBits: Uint8Array) => void

export interface FragmentBlocksOptions {
  readonly layersOf: LayersOf
  readonly seed: number
  readonly heldChanged: HeldChanged
}

const IS_COVERED = 1

/** Fragments are whole numbers from 0 to 2^23 - 1. Their descriptions are such that a codec accepts. */
export class FragmentBlocks {
  readonly #layersOf: LayersOf
  readonly #heldChanged: HeldChanged
  readonly #table: ExactTable
  readonly #fragments = new Map<number, BlockFragment>()
  readonly #groups = new Map<string, Group>()

  constructor({ layersOf, seed, heldChanged }: FragmentBlocksOptions) {
    this.#layersOf = layersOf
    this.#heldChanged = heldChanged
    this.#table = new ExactTable(seed)
  }

  /** Pairs of a block and a fragment. */
  get pairs(): number {
    return this.#table.pairs
  }

  get byteLength(): number {
    return this.#table.byteLength
  }

  pairsOfNamespace(namespace: number): number {
    return this.#table.pairsOfNamespace(namespace)
  }

  /** Throws LIMIT_REACHED when there is no room for it. To be asked before `insert`, which takes everything. */
  checkRoom({ namespace, hashes }: Pick<BlockFragment, 'namespace' | 'hashes'>): void {
    if (this.#table.pairs + hashes.count > LIMITS.indexFragmentBlocksMax)
      throw limitReached('Indices hold at most', LIMITS.indexFragmentBlocksMax, 'pairs of a block and a fragment')
    const reader = this.#table.reader(hashes)
    for (let index = 0; index < hashes.count; index++) {
      let fragments = 0
      let held = this.#table.locate(reader, hashes.digestBytes, index, namespace)
      for (; held !== 0; held = this.#table.restOf(held)) fragments += 1
      if (fragments >= LIMITS.indexFragmentsOfBlockMax)
        throw limitReached('A block has at most', LIMITS.indexFragmentsOfBlockMax, 'fragments')
    }
  }

  insert(number: number, fragment: BlockFragment): void {
    const { namespace, hashes, description } = fragment
    this.#fragments.set(number, fragment)
    const reader = this.#table.reader(hashes)
    for (let index = 0; index < hashes.count; index++) {
      this.#table.locate(reader, hashes.digestBytes, index, namespace)
      this.#table.add(number, IS_COVERED)
    }
    if (description.group === null) this.#refresh(fragment)
    else this.#changeGroup(fragment, description.group, (group) => group.insert(number, fragment))
  }

  get(number: number): BlockFragment | null {
    return this.#fragments.get(number) ?? null
  }

  remove(number: number): void {
    const fragment = this.#fragments.get(number)
    if (fragment === undefined) return
    const { namespace, hashes, description } = fragment
    this.#fragments.delete(number)
    const reader = this.#table.reader(hashes)
    for (let index = 0; index < hashes.count; index++) {
      this.#table.locate(reader, hashes.digestBytes, index, namespace)
      this.#table.remove(number, IS_COVERED)
    }
    if (description.group === null) this.#refresh(fragment)
    else this.#changeGroup(fragment, description.group, (group) => group.remove(number, fragment))
  }

  /** Fragments that cover block `index` of the hashes, whole or in part. */
  fragmentsOf(namespace: number, hashes: BlockHashes, index: number): readonly number[] {
    return this.#fragmentsAt(this.#table.reader(hashes), hashes.digestBytes, index, namespace)
  }

  /** Every pair, for checks. */
  forEach(visit: (namespace: number, digest: Uint8Array, fragment: number) => void): void {
    this.#table.forEach((namespace, digest, fragment) => visit(namespace, digest, fragment))
  }

  /** In which tiers each block is held. */
  heldTiers({ namespace, hashes }: Pick<BlockFragment, 'namespace' | 'hashes'>): Uint8Array {
    const reader = this.#table.reader(hashes)
    const tierBits = new Uint8Array(hashes.count)
    for (let index = 0; index < hashes.count; index++)
      tierBits[index] = this.#heldBits(this.#fragmentsAt(reader, hashes.digestBytes, index, namespace))
    return tierBits
  }

  #fragmentsAt(reader: DataView, digestBytes: number, index: number, namespace: number): readonly number[] {
    const table = this.#table
    const found: number[] = []
    let held = table.locate(reader, digestBytes, index, namespace)
    for (; held !== 0; held = table.restOf(held)) found.push(table.pairOf(held) >> TAG_BITS)
    return found
  }

  #refresh(fragment: BlockFragment): void {
    if (fragment.description.signature.kind === 'kv') this.#heldChanged(fragment, this.heldTiers(fragment))
  }

  /** A group that becomes complete, or stops being so, changes the blocks of all its parts. */
  #changeGroup(fragment: BlockFragment, { id, parts }: FragmentGroup, change: (group: Group) => void): void {
    const name = groupName(fragment, { id, parts })
    const group = this.#groups.get(name) ?? new Group(parts)
    const before = group.tier
    change(group)
    if (group.isEmpty) this.#groups.delete(name)
    else this.#groups.set(name, group)
    if (group.tier !== before) for (const part of group.distinctSpans()) this.#refresh(part)
    // A part that came to or went from a complete group: its own blocks may be covered by no other part.
    if (before !== null) this.#refresh(fragment)
  }

  #heldBits(numbers: readonly number[]): number {
    let bits = 0
    let layerParts: BlockFragment[] | null = null
    for (const number of numbers) {
      const fragment = this.#fragments.get(number)
      if (fragment === undefined || fragment.description.signature.kind !== 'kv') continue
      const { group, signature } = fragment.description
      if (group !== null) {
        const tier = this.#groups.get(groupName(fragment, group))?.tier ?? null
        if (tier !== null) bits |= TIER_BIT[tier]
      } else if (this.#isWhole(signature)) bits |= TIER_BIT[fragment.tier]
      else if (signature.heads === null) (layerParts ??= []).push(fragment)
    }
    return layerParts === null ? bits : bits | this.#bitsOfLayerParts(layerParts)
  }

  #isWhole({ model, layers, heads }: StructuralSignature): boolean {
    return heads === null && layers.start === 0 && layers.end >= (this.#layersOf(model) ?? 0)
  }

  /** Fragments of some layers each: per form, the fastest tier down to which they have all layers between them. */
  #bitsOfLayerParts(fragments: readonly BlockFragment[]): number {
    const first = fragments[0]?.description.signature
    const layers = first === undefined ? null : this.#layersOf(first.model)
    if (layers === null) return 0
    let bits = 0
    for (const parts of Map.groupBy(fragments, ({ description }) => formOf(description.signature)).values()) {
      const tier = TIERS.find((slowest) => {
        const readable = parts.filter((part) => tierIndex(part.tier) <= tierIndex(slowest))
        return isCovered(
          layers,
          readable.map(({ description }) => description.signature.layers),
        )
      })
      if (tier !== undefined) bits |= TIER_BIT[tier]
    }
    return bits
  }
}

/** Which parts of a group are there, in which tiers: of each part any number of copies. */
class Group {
  readonly #parts: number
  readonly #copies = new Map<number, Map<number, BlockFragment>>()
  #tier: Tier | null = null

  constructor(parts: number) {
    this.#parts = parts
  }

  /** The tier of the slowest part, each in its fastest copy; null as long as a part is missing. */
  get tier(): Tier | null {
    return this.#tier
  }

  get isEmpty(): boolean {
    return this.#copies.size === 0
  }

  /** One `kv` fragment for each list of blocks: layers and heads of the same blocks are the same question. */
  distinctSpans(): readonly BlockFragment[] {
    const spans = new Map<string, BlockFragment>()
    for (const copies of this.#copies.values()) {
      for (const fragment of copies.values()) {
        const { blocks, signature } = fragment.description
        // A block hash stands for all blocks before it.
        if (signature.kind === 'kv') spans.set(`${blocks.length} ${blocks.at(-1)}`, fragment)
      }
    }
    return [...spans.values()]
  }

  insert(number: number, fragment: BlockFragment): void {
    const part = fragment.description.group?.part ?? 0
    const copies = this.#copies.get(part)
    if (copies === undefined) this.#copies.set(part, new Map([[number, fragment]]))
    else copies.set(number, fragment)
    this.#tier = this.#slowest()
  }

  remove(number: number, fragment: BlockFragment): void {
    const part = fragment.description.group?.part ?? 0
    const copies = this.#copies.get(part)
    copies?.delete(number)
    if (copies?.size === 0) this.#copies.delete(part)
    this.#tier = this.#slowest()
  }

  #slowest(): Tier | null {
    if (this.#copies.size < this.#parts) return null
    let slowest = 0
    for (const copies of this.#copies.values()) {
      let fastest = TIERS.length - 1
      for (const { tier } of copies.values()) fastest = Math.min(fastest, tierIndex(tier))
      slowest = Math.max(slowest, fastest)
    }
    return TIERS[slowest] ?? null
  }
}

/** Groups of different sizes under one id are different groups: neither can complete the other. */
function groupName({ namespace }: BlockFragment, { id, parts }: Pick<FragmentGroup, 'id' | 'parts'>): string {
  return `${namespace} ${parts} ${id}`
}

function formOf({ dtype, layout, positionEncoding }: StructuralSignature): string {
  return JSON.stringify([dtype, layout, positionEncoding])
}

function isCovered(layers: number, spans: readonly Span[]): boolean {
  let covered = 0
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start)) {
    if (start > covered) return false
    covered = Math.max(covered, end)
  }
  return covered >= layers
}

function limitReached(start: string, max: number, what: string): MembraneError {
  return new MembraneError('LIMIT_REACHED', `${start} ${max} ${what}.`, { details: { max } })
}
