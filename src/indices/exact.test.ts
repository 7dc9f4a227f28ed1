import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { BlockHashes } from '../core/block-hashes.ts'
import { seededRandom } from '../core/random.ts'
import { ExactIndex } from './exact.ts'
import { TIER_BIT, type Tier, TIERS } from './tiers.ts'

const PAIRS_MAX = 100_000

function newIndex({ pairsMax = PAIRS_MAX, seed = 7 } = {}): ExactIndex {
  return new ExactIndex({ pairsMax, seed })
}

/** Hashes that differ in one byte only, where asked: bad ones, which the index has to spread itself. */
function hashesOf(numbers: readonly number[], digestBytes = 32, atByte = 0): BlockHashes {
  const bytes = new Uint8Array(numbers.length * digestBytes)
  for (const [index, number] of numbers.entries()) {
    bytes[index * digestBytes + atByte] = number & 255
    bytes[index * digestBytes + ((atByte + 1) % digestBytes)] = number >> 8
  }
  return { chain: 'b3', digestBytes, count: numbers.length, bytes }
}

function randomHashes(count: number, { seed = 1, digestBytes = 32 } = {}): BlockHashes {
  const random = seededRandom(seed)
  const bytes = Uint8Array.from({ length: count * digestBytes }, () => Math.floor(256 * random()))
  return { chain: 'b3', digestBytes, count, bytes }
}

const NUMBERS = fc.array(fc.nat({ max: 400 }), { maxLength: 40 })
const OPERATIONS = fc.array(
  fc.record({
    kind: fc.constantFrom('add', 'add', 'add', 'remove', 'removeTier', 'removeHolder', 'removeFromNamespace'),
    namespace: fc.nat({ max: 2 }),
    numbers: NUMBERS,
    holder: fc.constantFrom(0, 1, 2, 40),
    tier: fc.constantFrom(...TIERS),
  }),
  { maxLength: 40 },
)

describe('the exact index', () => {
  test('answers as a map of maps does, whatever was done to it', () => {
    const digests = fc.constantFrom([32, 0], [32, 12], [16, 14], [8, 0], [8, 6], [5, 3], [13, 11])
    const property = fc.property(OPERATIONS, NUMBERS, digests, fc.nat(), (operations, asked, [bytes, at], seed) => {
      const index = newIndex({ seed })
      const model = new Model()
      for (const { kind, namespace, numbers, holder, tier } of operations) {
        const range = { namespace, hashes: hashesOf(numbers, bytes, at) }
        if (kind === 'add') {
          expect(index.add(range, holder, tier)).toBe(0)
          model.add(namespace, numbers, holder, tier)
        } else if (kind === 'removeHolder') {
          expect(index.removeHolder(holder)).toBe(model.removeHolder(holder, null))
        } else if (kind === 'removeFromNamespace') {
          expect(index.removeHolder(holder, namespace)).toBe(model.removeHolder(holder, namespace))
        } else {
          const from = kind === 'remove' ? null : tier
          expect(index.remove(range, holder, from)).toBe(model.remove(namespace, numbers, holder, from))
        }
      }
      expect([index.blocks, index.pairs]).toEqual([model.blocks, model.pairs])
      for (const namespace of [0, 1, 2, 3]) {
        const hashes = hashesOf(asked, bytes, at)
        expect(index.longestPrefix(namespace, hashes)).toEqual(model.longestPrefix(namespace, asked))
        expect(index.pairsOfNamespace(namespace)).toBe(model.pairsOfNamespace(namespace))
        const tiers = new Uint8Array(asked.length)
        for (const holder of [null, 0, 40]) {
          index.tiersOf({ namespace, hashes }, holder, tiers)
          expect([...tiers]).toEqual(asked.map((number) => model.tiersOf(namespace, number, holder)))
        }
      }
      expect(listed(index)).toEqual(model.listed(bytes, at))
    })
    fc.assert(property, { numRuns: runs(200) })
  })

  test('finds where a prompt stops being held, near the start and far from it', () => {
    const index = newIndex()
    const hashes = randomHashes(1000)
    index.add({ namespace: 0, hashes }, 3, 'memory')
    for (const block of [0, 1, 4, 5, 63, 64, 65, 255, 256, 257, 640, 999]) {
      const range = { namespace: 0, hashes, start: block, end: block + 1 }
      index.remove(range, 3, null)
      expect(index.longestPrefix(0, hashes).blocks).toBe(block)
      index.add(range, 3, 'memory')
    }
    expect(index.longestPrefix(0, hashes).blocks).toBe(1000)
  })

  test('tells blocks apart whose mixed words agree, of which there are some among so many', () => {
    const index = newIndex({ pairsMax: 300_000 })
    const hashes = randomHashes(300_000, { digestBytes: 16 })
    index.add({ namespace: 0, hashes }, 0, 'memory')
    expect(index.blocks).toBe(300_000)
    expect(index.longestPrefix(0, hashes).blocks).toBe(300_000)
  })

  test('takes its hashes from where they lie in a larger array', () => {
    const hashes = hashesOf([1, 2, 3])
    const shifted = new Uint8Array(hashes.bytes.length + 5)
    shifted.set(hashes.bytes, 5)
    const index = newIndex()
    index.add({ namespace: 0, hashes: { ...hashes, bytes: shifted.subarray(5) } }, 0, 'memory')
    expect(index.longestPrefix(0, hashes).blocks).toBe(3)
  })

  test('adds and removes the blocks of a range only', () => {
    const hashes = hashesOf([1, 2, 3, 4, 5])
    const index = newIndex()
    index.add({ namespace: 0, hashes, start: 1, end: 4 }, 0, 'memory')
    index.remove({ namespace: 0, hashes, start: 2, end: 3 }, 0, null)
    const tiers = new Uint8Array(4)
    expect(index.tiersOf({ namespace: 0, hashes, start: 1 }, 0, tiers)).toBe(2)
    expect([...tiers]).toEqual([TIER_BIT.memory, 0, TIER_BIT.memory, 0])
  })

  test('tells a prefix that all hold together from what each holds', () => {
    const hashes = randomHashes(6)
    const index = newIndex()
    index.add({ namespace: 0, hashes, end: 4 }, 3, 'disk')
    index.add({ namespace: 0, hashes, end: 2 }, 3, 'memory')
    index.add({ namespace: 0, hashes, end: 1 }, 5, 'device')
    index.add({ namespace: 0, hashes, start: 3 }, 9, 'remote')
    expect(index.longestPrefix(0, hashes)).toEqual({
      blocks: 6,
      runs: [
        { holder: 3, blocks: 4, blocksByTier: [0, 2, 2, 0] },
        { holder: 5, blocks: 1, blocksByTier: [1, 0, 0, 0] },
      ],
    })
  })

  test('refuses pairs above its bound, counts them, and keeps the others', () => {
    const hashes = randomHashes(10)
    const index = newIndex({ pairsMax: 8 })
    expect(index.add({ namespace: 0, hashes }, 0, 'memory')).toBe(2)
    expect(index.add({ namespace: 0, hashes, end: 1 }, 1, 'memory')).toBe(1)
    expect(index.add({ namespace: 0, hashes, end: 8 }, 0, 'disk')).toBe(0)
    expect([index.pairs, index.longestPrefix(0, hashes).blocks]).toEqual([8, 8])
  })

  test('keeps its size while blocks come and go, and gives memory back when all have gone', () => {
    const index = newIndex()
    const all = randomHashes(60_000, { digestBytes: 16 })
    const kept = 5000
    for (let round = 0; round < 8; round++) {
      for (let start = 0; start < all.count; start += 100) {
        index.add({ namespace: 0, hashes: all, start, end: start + 100 }, 0, 'memory')
        const old = (start - kept + all.count) % all.count
        index.remove({ namespace: 0, hashes: all, start: old, end: old + 100 }, 0, null)
      }
      expect(index.byteLength / index.pairs).toBeLessThan(80)
    }
    expect(index.removeHolder(0)).toBe(kept)
    expect(index.byteLength).toBeLessThan(newIndex().byteLength + 1000)
  })

  test('takes at most 64 bytes for a block and holder once most of 200,000 have gone and others have come', () => {
    const index = newIndex({ pairsMax: 300_000 })
    const all = randomHashes(400_000, { digestBytes: 16 })
    index.add({ namespace: 0, hashes: all, end: 200_000 }, 0, 'memory')
    index.remove({ namespace: 0, hashes: all, end: 180_000 }, 0, null)
    index.add({ namespace: 0, hashes: all, start: 200_000, end: 380_000 }, 0, 'memory')
    expect(index.byteLength / index.pairs).toBeLessThanOrEqual(64)
  })

  test('takes at most 64 bytes for a block and holder, at every size from 20,000 on', () => {
    const index = newIndex({ pairsMax: 200_000 })
    const hashes = randomHashes(200_000, { digestBytes: 16 })
    for (let start = 0; start < 200_000; start += 2000) {
      index.add({ namespace: 0, hashes, start, end: start + 2000 }, 0, 'memory')
      if (start >= 18_000) expect(index.byteLength / index.pairs).toBeLessThanOrEqual(64)
    }
  })

  test('sweeps all of a holder even when others come and go between its steps', () => {
    const hashes = randomHashes(40_000, { digestBytes: 16 })
    const others = randomHashes(40_000, { digestBytes: 16, seed: 2 })
    const index = newIndex()
    // Pages that were split, merged and are free again lie among those that are swept.
    index.add({ namespace: 0, hashes: others }, 1, 'memory')
    index.add({ namespace: 0, hashes, end: 20_000 }, 0, 'memory')
    index.remove({ namespace: 0, hashes: others, end: 38_000 }, 1, null)
    let at = 0
    for (const _ of index.sweepHolder(0)) {
      index.add({ namespace: 0, hashes: others, start: at, end: at + 2000 }, 1, 'disk')
      index.remove({ namespace: 0, hashes: others, start: at - 1000 < 0 ? 0 : at - 1000, end: at }, 1, null)
      at += 2000
    }
    let left = 0
    index.forEach((_, __, holder) => {
      if (holder === 0) left += 1
    })
    expect(left).toBe(0)
  })

  test('lets others look up between two steps of a sweep', () => {
    const hashes = randomHashes(20_000)
    const index = newIndex()
    index.add({ namespace: 0, hashes }, 0, 'memory')
    index.add({ namespace: 0, hashes }, 1, 'memory')
    let removed = 0
    for (const step of index.sweepHolder(0)) {
      removed += step
      expect(index.longestPrefix(0, hashes).blocks).toBe(20_000)
      expect(index.pairs).toBe(40_000 - removed)
    }
    expect(removed).toBe(20_000)
  })
})

/** A map of maps, and the questions answered word by word. */
class Model {
  readonly #tiers = new Map<string, Map<number, number>>()

  get blocks(): number {
    return this.#tiers.size
  }

  get pairs(): number {
    return [...this.#tiers.values()].reduce((sum, holders) => sum + holders.size, 0)
  }

  add(namespace: number, numbers: readonly number[], holder: number, tier: Tier): void {
    for (const number of numbers) {
      const holders = this.#tiers.get(`${namespace}/${number}`) ?? new Map<number, number>()
      holders.set(holder, (holders.get(holder) ?? 0) | TIER_BIT[tier])
      this.#tiers.set(`${namespace}/${number}`, holders)
    }
  }

  remove(namespace: number, numbers: readonly number[], holder: number, tier: Tier | null): number {
    let removed = 0
    for (const number of numbers) {
      const bits = this.#tiers.get(`${namespace}/${number}`)?.get(holder) ?? 0
      const left = tier === null ? 0 : bits & ~TIER_BIT[tier]
      if (left !== bits) removed += 1
      this.#set(`${namespace}/${number}`, holder, left)
    }
    return removed
  }

  removeHolder(holder: number, namespace: number | null): number {
    const before = this.pairs
    const names = Array.from(this.#tiers.keys())
    for (const name of names) if (namespace === null || name.startsWith(`${namespace}/`)) this.#set(name, holder, 0)
    return before - this.pairs
  }

  pairsOfNamespace(namespace: number): number {
    const lists = [...this.#tiers].filter(([name]) => name.startsWith(`${namespace}/`))
    return lists.reduce((sum, [, holders]) => sum + holders.size, 0)
  }

  tiersOf(namespace: number, number: number, holder: number | null): number {
    const holders = this.#tiers.get(`${namespace}/${number}`) ?? new Map<number, number>()
    return holder !== null ? (holders.get(holder) ?? 0) : [...holders.values()].reduce((all, bits) => all | bits, 0)
  }

  longestPrefix(namespace: number, numbers: readonly number[]): ReturnType<ExactIndex['longestPrefix']> {
    const run = (holder: number | null): number => {
      const end = numbers.findIndex((number) => this.tiersOf(namespace, number, holder) === 0)
      return end < 0 ? numbers.length : end
    }
    const holders = [0, 1, 2, 40].filter((holder) => run(holder) > 0)
    const runsOf = holders.map((holder) => {
      const blocksByTier = TIERS.map(() => 0)
      for (const number of numbers.slice(0, run(holder))) {
        const bits = this.tiersOf(namespace, number, holder)
        const fastest = TIERS.findIndex((tier) => (bits & TIER_BIT[tier]) !== 0)
        blocksByTier[fastest] = (blocksByTier[fastest] ?? 0) + 1
      }
      return { holder, blocks: run(holder), blocksByTier }
    })
    return { blocks: run(null), runs: runsOf.sort((a, b) => b.blocks - a.blocks || a.holder - b.holder) }
  }

  listed(digestBytes: number, atByte: number): string[] {
    const lines = [...this.#tiers].flatMap(([name, holders]) => {
      const [namespace = 0, number = 0] = name.split('/').map(Number)
      const digest = new Uint8Array(16)
      digest.set(hashesOf([number], digestBytes, atByte).bytes.subarray(0, 16))
      return [...holders].map(([holder, bits]) => lineOf(namespace, digest, holder, bits))
    })
    return lines.sort()
  }

  #set(name: string, holder: number, bits: number): void {
    const holders = this.#tiers.get(name)
    if (bits !== 0) holders?.set(holder, bits)
    else holders?.delete(holder)
    if (holders?.size === 0) this.#tiers.delete(name)
  }
}

function listed(index: ExactIndex): string[] {
  const lines: string[] = []
  index.forEach((namespace, digest, holder, bits) => lines.push(lineOf(namespace, digest, holder, bits)))
  return lines.sort()
}

function lineOf(namespace: number, digest: Uint8Array, holder: number, bits: number): string {
  return `${namespace} ${[...digest].join(',')} ${holder} ${bits}`
}
