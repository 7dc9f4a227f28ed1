/**
 * HOT: a bounded cache of full-attention blocks by id. An id names a block and everything before it, so a prompt's hit
 * is the leading run of its ids that are cached. Budget: 50 ns for a block that is admitted, when most evict another; and
 * 0.1 µs in a process that has just started, which is why `admit` is one function over local variables.
 */
import { EVICTION_POLICIES, type EvictionPolicyName } from '../policy/evict-policies.ts'
import { type EvictionPolicy, NORMAL_PRIORITY } from '../policy/evict.ts'
import { IntMap } from './int-map.ts'
import { checkedBlocks } from './prefix-cache-size.ts'

export interface PrefixCacheOptions {
  /** 0 to LIMITS.cacheBlocksMax; 0 caches nothing. */
  readonly cacheBlocks: number
  readonly policy: EvictionPolicyName
}

/** Ids are whole numbers from 0 to 2^31 - 1; `[start, end)` of a list of ids is one prompt. */
export class PrefixCache {
  readonly #cacheBlocks: number
  readonly #policy: EvictionPolicy
  readonly #slots = new IntMap()
  readonly #idOfSlot: Int32Array
  #used = 0
  #evictions = 0

  /** Throws INVALID_CONFIG when the size is no number of blocks. */
  constructor({ cacheBlocks, policy }: PrefixCacheOptions) {
    this.#cacheBlocks = checkedBlocks('cacheBlocks', cacheBlocks)
    this.#policy = EVICTION_POLICIES[policy](this.#cacheBlocks)
    this.#idOfSlot = new Int32Array(this.#cacheBlocks)
  }

  /** Blocks in the cache. */
  get used(): number {
    return this.#used
  }

  get insertions(): number {
    return this.#used + this.#evictions
  }

  get evictions(): number {
    return this.#evictions
  }

  /** How many of the prompt's blocks are cached, counted from its start to the first that is not. Changes nothing. */
  leadingRun(ids: Int32Array, start: number, end: number): number {
    let index = start
    while (index < end && this.#slots.get(ids[index] ?? 0) >= 0) index += 1
    return index - start
  }

  /**
   * Touches or inserts every block of the prompt, in order; a full cache evicts one block for each that it inserts. What
   * the policy does not let in stays out, with all that follows. Gives the leading run that there was before: nothing is evicted until the first block that is not cached.
   */
  admit(ids: Int32Array, start: number, end: number): number {
    const cacheBlocks = this.#cacheBlocks
    if (cacheBlocks === 0) return 0
    const slots = this.#slots
    const policy = this.#policy
    const idOfSlot = this.#idOfSlot
    let used = this.#used
    let evictions = 0
    let runEnd = -1
    let parent = -1
    for (let index = start; index < end; index++) {
      const id = ids[index] ?? 0
      let slot = slots.get(id)
      if (slot >= 0) {
        policy.touched(slot)
        parent = slot
        continue
      }
      if (runEnd < 0) runEnd = index
      if (used < cacheBlocks) slot = used++
      else {
        slot = policy.victimFor(id, parent, 1, NORMAL_PRIORITY)
        if (slot < 0) break
        policy.removed(slot)
        slots.delete(idOfSlot[slot] ?? 0)
        evictions += 1
      }
      slots.set(id, slot)
      idOfSlot[slot] = id
      policy.inserted(slot, id, parent, 1)
      parent = slot
    }
    this.#used = used
    this.#evictions += evictions
    return runEnd < 0 ? end - start : runEnd - start
  }

  /** No prompt will go on from this one: what no other chain shares with it leaves first, until it is used again. */
  close(ids: Int32Array, start: number, end: number): void {
    const run = this.leadingRun(ids, start, end)
    if (run > 0) this.#policy.closed(this.#slots.get(ids[start + run - 1] ?? 0))
  }
}
