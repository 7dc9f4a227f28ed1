import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EVICTION_POLICIES, parseEvictionPolicy } from '../policy/evict-policies.ts'
import { HybridCache, type HybridCacheOptions } from './hybrid-cache.ts'
import { PrefixCache } from './prefix-cache.ts'

type Size = Omit<HybridCacheOptions, 'policy'>

function poolOf(size: Size): HybridCache {
  return new HybridCache({ ...size, policy: 'lru' })
}

function admit(pool: HybridCache, ids: readonly number[], reusedBlocks?: number): void {
  pool.admit(Int32Array.from(ids), 0, ids.length, reusedBlocks)
}

function match(pool: HybridCache, ids: readonly number[]): number {
  return pool.matchBlocks(Int32Array.from(ids), 0, ids.length)
}

/** Prompts as paths in a tree, with an id for each node: an id names the block and everything before it. */
const path = fc.array(fc.integer({ min: 1, max: 2 }), { maxLength: 6 })
function idsOf(path: readonly number[]): readonly number[] {
  let node = 0
  return path.map((step) => (node = 3 * node + step))
}

const size = fc.record({
  capacityBlocks: fc.nat(20),
  stateBlocks: fc.nat(4),
  checkpointBlocks: fc.nat(3),
})
const change = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('admit' as const), path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('admit from' as const), path, reusedBlocks: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reserve' as const), blocks: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const) }) },
)
const changes = fc.array(change, { maxLength: 60 })

describe('the hybrid pool, whatever happens to it,', () => {
  it('agrees with a naive model: contents, order of eviction, counts', () => {
    fc.assert(
      fc.property(size, changes, (size, changes) => {
        const pool = poolOf(size)
        const model = new HybridModel(size)
        for (const change of changes) {
          if (change.kind === 'reserve') {
            expect(pool.reserveTransfer(change.blocks)).toBe(model.reserve(change.blocks))
          } else if (change.kind === 'release') {
            pool.releaseTransfer(pool.transferBlocks)
            model.transferBlocks = 0
          } else {
            const ids = idsOf(change.path)
            const reused = change.kind === 'admit' ? undefined : change.reusedBlocks
            expect(match(pool, ids)).toBe(model.match(ids))
            admit(pool, ids, reused)
            model.admit(ids, reused ?? model.match(ids))
          }
          expect(pool.usedBlocks).toBe(model.usedBlocks())
          expect(pool.transferBlocks).toBe(model.transferBlocks)
          expect(pool.usedBlocks + pool.transferBlocks).toBeLessThanOrEqual(size.capacityBlocks)
          expect([pool.blockEvictions, pool.stateEvictions]).toEqual([model.blockEvictions, model.stateEvictions])
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('matches only what was admitted before, up to an end or a checkpoint of it', () => {
    fc.assert(
      fc.property(size, fc.array(path, { maxLength: 60 }), (size, paths) => {
        const pool = poolOf({ ...size, capacityBlocks: 10 * size.capacityBlocks })
        const boundaries = new Set<string>()
        for (const path of paths) {
          const blocks = match(pool, idsOf(path))
          if (blocks > 0) expect(boundaries).toContain(path.slice(0, blocks).join())
          admit(pool, idsOf(path))
          for (const [index] of path.entries()) {
            const isCheckpoint = size.checkpointBlocks > 0 && (index + 1) % size.checkpointBlocks === 0
            if (size.stateBlocks === 0 || isCheckpoint || index + 1 === path.length)
              boundaries.add(path.slice(0, index + 1).join())
          }
        }
      }),
    )
  })

  it.each(Object.keys(EVICTION_POLICIES).map(parseEvictionPolicy))(
    'keeps to its capacity under %s, and finds what it holds',
    (policy) => {
      fc.assert(
        fc.property(size, changes, (size, changes) => {
          const pool = new HybridCache({ ...size, policy })
          for (const change of changes) {
            if (change.kind === 'reserve') {
              const fits = pool.transferBlocks + change.blocks <= size.capacityBlocks
              expect(pool.reserveTransfer(change.blocks)).toBe(fits)
            } else if (change.kind === 'release') pool.releaseTransfer(pool.transferBlocks)
            else {
              const ids = idsOf(change.path)
              const before = match(pool, ids)
              admit(pool, ids)
              // Under a policy by chains what was matched is needed for the rest, so it does not leave for it.
              if (policy === 'leaf-lru' || policy === 'chain-lhd') {
                if (size.stateBlocks === 0) expect(match(pool, ids)).toBeGreaterThanOrEqual(before)
              }
            }
            expect(pool.usedBlocks + pool.transferBlocks).toBeLessThanOrEqual(size.capacityBlocks)
          }
          // All of it can go again.
          pool.releaseTransfer(pool.transferBlocks)
          expect(pool.reserveTransfer(size.capacityBlocks)).toBe(true)
          expect([pool.usedBlocks, pool.states]).toEqual([0, 0])
        }),
      )
    },
  )

  it('is a plain prefix cache when the model has no states', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.array(path, { maxLength: 60 }), (capacityBlocks, paths) => {
        const pool = poolOf({ capacityBlocks, stateBlocks: 0, checkpointBlocks: 0 })
        const cache = new PrefixCache({ cacheBlocks: capacityBlocks, policy: 'lru' })
        for (const ids of paths.map((path) => Int32Array.from(idsOf(path)))) {
          expect(pool.matchBlocks(ids, 0, ids.length)).toBe(cache.leadingRun(ids, 0, ids.length))
          pool.admit(ids, 0, ids.length)
          cache.admit(ids, 0, ids.length)
          expect([pool.usedBlocks, pool.blockEvictions]).toEqual([cache.used, cache.evictions])
        }
      }),
    )
  })
})

/** The same pool from its definition: a list of what is in it, oldest use first, and sums and searches over it. */
class HybridModel {
  readonly #size: Size
  #oldestFirst: string[] = []
  transferBlocks = 0
  blockEvictions = 0
  stateEvictions = 0

  constructor(size: Size) {
    this.#size = size
  }

  usedBlocks(): number {
    const states = this.#oldestFirst.filter((entry) => entry.startsWith('state')).length
    return this.#oldestFirst.length - states + states * this.#size.stateBlocks
  }

  match(ids: readonly number[]): number {
    for (let boundary = ids.length; boundary > 0; boundary--) {
      const hasBlocks = ids.slice(0, boundary).every((id) => this.#oldestFirst.includes(`block ${id}`))
      const hasState = this.#size.stateBlocks === 0 || this.#oldestFirst.includes(`state ${ids[boundary - 1]}`)
      if (hasBlocks && hasState) return boundary
    }
    return 0
  }

  admit(ids: readonly number[], reusedBlocks: number): void {
    const { capacityBlocks, stateBlocks, checkpointBlocks } = this.#size
    for (const [index, id] of ids.entries()) {
      if (!this.#touch(`block ${id}`) && !this.#insert(`block ${id}`, 1)) continue
      if (stateBlocks === 0) continue
      const boundary = index + 1
      const isKept = boundary === ids.length || (checkpointBlocks > 0 && boundary % checkpointBlocks === 0)
      if (boundary === reusedBlocks) this.#touch(`state ${id}`)
      if (boundary <= reusedBlocks || !isKept || this.#touch(`state ${id}`)) continue
      if (stateBlocks + 1 + this.transferBlocks <= capacityBlocks) this.#insert(`state ${id}`, stateBlocks)
    }
  }

  reserve(blocks: number): boolean {
    if (!this.#makeRoom(blocks)) return false
    this.transferBlocks += blocks
    return true
  }

  #touch(entry: string): boolean {
    if (!this.#oldestFirst.includes(entry)) return false
    this.#oldestFirst = [...this.#oldestFirst.filter((other) => other !== entry), entry]
    return true
  }

  #insert(entry: string, blocks: number): boolean {
    if (!this.#makeRoom(blocks)) return false
    this.#oldestFirst.push(entry)
    return true
  }

  #makeRoom(blocks: number): boolean {
    if (this.transferBlocks + blocks > this.#size.capacityBlocks) return false
    while (this.usedBlocks() + this.transferBlocks + blocks > this.#size.capacityBlocks) this.#evict()
    return true
  }

  #evict(): void {
    const [kind, id] = this.#oldestFirst.shift()?.split(' ') ?? []
    if (kind === 'state') {
      this.stateEvictions += 1
      return
    }
    this.blockEvictions += 1
    const others = this.#oldestFirst.filter((entry) => entry !== `state ${id}`)
    this.stateEvictions += this.#oldestFirst.length - others.length
    this.#oldestFirst = others
  }
}
