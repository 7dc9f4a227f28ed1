import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createS3Fifo } from './evict-s3-fifo.ts'

const CAPACITY = 20
const KEYS = Array.from({ length: 61 }, (_, key) => key)

describe('S3-FIFO', () => {
  it('keeps what is used in spite of a scan', () => {
    const cache = cacheOf(CAPACITY)
    for (let round = 0; round < 3; round++) for (let key = 0; key < 10; key++) cache.use(key)
    for (let key = 100; key < 200; key++) cache.use(key)
    for (let key = 0; key < 10; key++) expect(cache.has(key)).toBe(true)
  })

  it('agrees with its definition, three lists of keys, for any uses', () => {
    const key = fc.oneof(fc.nat(12), fc.nat(60))
    fc.assert(
      fc.property(fc.array(key, { maxLength: 300, size: 'max' }), (keys) => {
        const cache = cacheOf(CAPACITY)
        const model = new S3FifoModel(CAPACITY)
        for (const used of keys) {
          cache.use(used)
          model.use(used)
          expect(KEYS.filter(cache.has)).toEqual(KEYS.filter((other) => model.has(other)))
        }
      }),
    )
  })
})

/** Entries without chains, in slots that are given out again. */
function cacheOf(capacity: number) {
  const policy = createS3Fifo(capacity)
  const slots = new Map<number, number>()
  const free = Array.from({ length: capacity }, (_, slot) => slot)
  return {
    has: (key: number) => slots.has(key),
    use: (key: number) => {
      const known = slots.get(key)
      if (known !== undefined) {
        policy.touched(known)
        return
      }
      if (free.length === 0) {
        const victim = policy.victimFor(key, -1, 1, 1)
        const [left] = [...slots].find(([, slot]) => slot === victim) ?? expect.unreachable('a victim is filled')
        slots.delete(left)
        policy.removed(victim)
        free.push(victim)
      }
      const slot = free.pop() ?? expect.unreachable('there is room')
      slots.set(key, slot)
      policy.inserted(slot, key, -1, 1)
    },
  }
}

/** Algorithm 1 of the paper, with lists whose first is the oldest. */
class S3FifoModel {
  readonly #capacity: number
  #small: number[] = []
  #main: number[] = []
  #ghosts: number[] = []
  readonly #uses = new Map<number, number>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  has(key: number): boolean {
    return this.#uses.has(key)
  }

  use(key: number): void {
    const uses = this.#uses.get(key)
    if (uses !== undefined) {
      this.#uses.set(key, Math.min(3, uses + 1))
      return
    }
    if (this.#small.length + this.#main.length === this.#capacity) this.#evict()
    if (this.#ghosts.includes(key)) this.#main.push(key)
    else this.#small.push(key)
    this.#uses.set(key, 0)
  }

  #evict(): void {
    for (;;) {
      const isFromSmall = this.#main.length === 0 || this.#small.length >= 0.1 * this.#capacity
      const key = (isFromSmall ? this.#small : this.#main).shift() ?? expect.unreachable('full')
      const uses = this.#uses.get(key) ?? 0
      if (isFromSmall ? uses > 1 : uses > 0) {
        this.#main.push(key)
        this.#uses.set(key, isFromSmall ? 0 : uses - 1)
        continue
      }
      this.#uses.delete(key)
      if (isFromSmall)
        this.#ghosts = [...this.#ghosts.filter((ghost) => ghost !== key), key].slice(-0.9 * this.#capacity)
      return
    }
  }
}
