/**
 * HOT: the hybrid prefix-cache pool of one cluster, section 3.2. One bounded pool, counted in blocks, holds
 *
 * - full-attention blocks, reused as far as a prompt's leading run of them is cached,
 * - recurrent states of `stateBlocks` blocks each, reused only at exactly the length at which they were taken,
 * - the transfer cache: what is on its way to another cluster. It is no prefix and cannot be evicted.
 *
 * So a prompt's match is the longest boundary up to which all its blocks are cached and at which a state is. A state is
 * kept with the block that ends at its boundary, whose id names everything before it, and leaves with that block at the
 * latest. A state whose chain is broken further up no longer matches; nobody uses it, so the policy evicts it in time.
 * Budget: 80 ns for a block that is matched and admitted, when most evict another; nothing is allocated for a request.
 */
import { assert } from '../core/errors.ts'
import { EVICTION_POLICIES, type EvictionPolicyName } from '../policy/evict-policies.ts'
import { type EvictionPolicy, NORMAL_PRIORITY } from '../policy/evict.ts'
import { IntMap } from './int-map.ts'
import { checkedBlocks } from './prefix-cache-size.ts'

export interface HybridCacheOptions {
  /** 0 to LIMITS.cacheBlocksMax; 0 caches nothing. */
  readonly capacityBlocks: number
  /** Size of a recurrent state, whole blocks; 0 for a model without one: then every block boundary is a match. */
  readonly stateBlocks: number
  /** A prefill also keeps a state every so many blocks of the prompt; 0 = at its end only. */
  readonly checkpointBlocks: number
  readonly policy: EvictionPolicyName
}

/** Ids are whole numbers from 0 to 2^31 - 1; `[start, end)` of a list of ids is one prompt's blocks, full ones only. */
export class HybridCache {
  readonly capacityBlocks: number
  readonly #stateBlocks: number
  readonly #checkpointBlocks: number
  readonly #policy: EvictionPolicy
  /** From the id of a block to its slot. A state has a slot of its own, found through its block's. */
  readonly #slots = new IntMap()
  readonly #idOfSlot: Int32Array
  /** For a block's slot 1 + the slot of its state, for a state's slot -1 - the slot of its block, else 0. */
  readonly #partners: Int32Array
  readonly #freeSlots: Int32Array
  #freeCount = 0
  #slotsEverUsed = 0
  #blocks = 0
  #states = 0
  #transferBlocks = 0
  #blockEvictions = 0
  #stateEvictions = 0

  /** Throws INVALID_CONFIG when a size is no number of blocks. */
  constructor(options: HybridCacheOptions) {
    this.capacityBlocks = checkedBlocks('capacityBlocks', options.capacityBlocks)
    this.#stateBlocks = checkedBlocks('stateBlocks', options.stateBlocks)
    this.#checkpointBlocks = checkedBlocks('checkpointBlocks', options.checkpointBlocks)
    this.#policy = EVICTION_POLICIES[options.policy](this.capacityBlocks)
    // Every entry is at least one block, so there are never more of them than blocks.
    this.#idOfSlot = new Int32Array(this.capacityBlocks)
    this.#partners = new Int32Array(this.capacityBlocks)
    this.#freeSlots = new Int32Array(this.capacityBlocks)
  }

  /** Blocks of the pool that prefixes take, states included. Never above the capacity less `transferBlocks`. */
  get usedBlocks(): number {
    return this.#blocks + this.#states * this.#stateBlocks
  }

  /** Blocks of the pool that are reserved for transfers. */
  get transferBlocks(): number {
    return this.#transferBlocks
  }

  /** States in the pool. */
  get states(): number {
    return this.#states
  }

  /** Full-attention blocks evicted so far. */
  get blockEvictions(): number {
    return this.#blockEvictions
  }

  /** States evicted so far, alone or with their block. */
  get stateEvictions(): number {
    return this.#stateEvictions
  }

  /** How many of the prompt's blocks a prefill can skip. Changes nothing. */
  matchBlocks(ids: Int32Array, start: number, end: number): number {
    const isAnyBoundary = this.#stateBlocks === 0
    let match = 0
    for (let index = start; index < end; index++) {
      const slot = this.#slots.get(ids[index] ?? 0)
      if (slot < 0) break
      if (isAnyBoundary || this.#partners[slot] !== 0) match = index + 1 - start
    }
    return match
  }

  /**
   * What a prefill of the whole prompt leaves: every block, touched or inserted in order, the state at the end and those
   * at the checkpoints. `reusedBlocks` is the match that the prefill began with (now, unless given): the state there was
   * used, those before it were neither used nor computed and stay as they are. What the pool has no room for, even
   * after evicting all prefixes, is left out.
   */
  admit(ids: Int32Array, start: number, end: number, reusedBlocks = this.matchBlocks(ids, start, end)): void {
    const hasStates = this.#stateBlocks > 0
    let parent = -1
    for (let index = start; index < end; index++) {
      const id = ids[index] ?? 0
      let slot = this.#slots.get(id)
      if (slot >= 0) this.#policy.touched(slot)
      else {
        // Everything is in transfer; what is cached behind is still in use.
        if (this.capacityBlocks === this.#transferBlocks) continue
        slot = this.#insertBlock(id, parent)
        if (slot < 0) return
      }
      parent = slot
      if (!hasStates) continue
      const boundary = index + 1 - start
      if (boundary === reusedBlocks) this.#touchState(slot)
      else if (boundary > reusedBlocks && (index + 1 === end || this.#isCheckpoint(boundary))) this.#keepState(slot, id)
    }
  }

  /**
   * Takes blocks out of the pool for a transfer, evicting prefixes until they fit. False, and nothing changes, when they
   * cannot: what other transfers leave is too little.
   */
  reserveTransfer(blocks: number): boolean {
    assert(Number.isInteger(blocks) && blocks >= 0, 'a transfer takes whole blocks')
    if (!this.#makeRoom(blocks)) return false
    this.#transferBlocks += blocks
    return true
  }

  /** Gives blocks of `reserveTransfer` back, in the same portions or others. */
  releaseTransfer(blocks: number): void {
    assert(Number.isInteger(blocks) && blocks >= 0, 'a transfer takes whole blocks')
    assert(blocks <= this.#transferBlocks, 'no more is released than was reserved')
    this.#transferBlocks -= blocks
  }

  #isCheckpoint(boundary: number): boolean {
    return this.#checkpointBlocks > 0 && boundary % this.#checkpointBlocks === 0
  }

  #touchState(blockSlot: number): void {
    const partner = this.#partners[blockSlot] ?? 0
    if (partner !== 0) this.#policy.touched(partner - 1)
  }

  /** The slot, or -1 when the policy does not let it in. */
  #insertBlock(id: number, parent: number): number {
    if (!this.#makeRoomFor(1, id, parent)) return -1
    const slot = this.#takeSlot()
    this.#slots.set(id, slot)
    this.#idOfSlot[slot] = id
    this.#blocks += 1
    this.#policy.inserted(slot, id, parent, 1)
    return slot
  }

  #keepState(blockSlot: number, id: number): void {
    const partner = this.#partners[blockSlot] ?? 0
    if (partner !== 0) {
      this.#policy.touched(partner - 1)
      return
    }
    // Together with its block, or evicting for the state could never end well.
    if (this.#stateBlocks + 1 > this.capacityBlocks - this.#transferBlocks) return
    const key = keyOfState(id)
    if (!this.#makeRoomFor(this.#stateBlocks, key, blockSlot)) return
    const slot = this.#takeSlot()
    this.#partners[blockSlot] = slot + 1
    this.#partners[slot] = -1 - blockSlot
    this.#states += 1
    this.#policy.inserted(slot, key, blockSlot, 1)
  }

  /** Evicts until a new entry fits. False when the policy does not let it in, or only its parent is left to go. */
  #makeRoomFor(blocks: number, key: number, parent: number): boolean {
    const roomMax = this.capacityBlocks - this.#transferBlocks - blocks
    if (this.usedBlocks <= roomMax) return true
    let victim = this.#policy.victimFor(key, parent, 1, NORMAL_PRIORITY)
    while (victim >= 0) {
      this.#evict(victim)
      if (this.usedBlocks <= roomMax) return true
      victim = this.#policy.victim()
      if (victim === parent) return false
    }
    return false
  }

  /** Evicts until so many blocks are free. False, and nothing is evicted, when transfers hold too much for that. */
  #makeRoom(blocks: number): boolean {
    const roomMax = this.capacityBlocks - this.#transferBlocks - blocks
    if (roomMax < 0) return false
    while (this.usedBlocks > roomMax) this.#evict(this.#policy.victim())
    return true
  }

  #evict(slot: number): void {
    const partner = this.#partners[slot] ?? 0
    if (partner < 0) {
      this.#dropState(slot, -1 - partner)
      return
    }
    if (partner > 0) this.#dropState(partner - 1, slot)
    this.#slots.delete(this.#idOfSlot[slot] ?? 0)
    this.#blocks -= 1
    this.#blockEvictions += 1
    this.#freeSlot(slot)
  }

  #dropState(slot: number, blockSlot: number): void {
    this.#partners[slot] = 0
    this.#partners[blockSlot] = 0
    this.#states -= 1
    this.#stateEvictions += 1
    this.#freeSlot(slot)
  }

  #freeSlot(slot: number): void {
    this.#policy.removed(slot)
    this.#freeSlots[this.#freeCount] = slot
    this.#freeCount += 1
  }

  #takeSlot(): number {
    if (this.#freeCount > 0) {
      this.#freeCount -= 1
      return this.#freeSlots[this.#freeCount] ?? 0
    }
    this.#slotsEverUsed += 1
    return this.#slotsEverUsed - 1
  }
}

/** Entries are known to a policy by keys of 31 bits; a state's is far from those of the blocks around. */
function keyOfState(id: number): number {
  return id ^ 0x40000000
}
