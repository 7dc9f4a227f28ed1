import { describe, expect, it } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { createChainLhd } from './evict-chain-lhd.ts'
import { createLeafLru } from './evict-leaf-lru.ts'
import type { EvictionPolicy } from './evict.ts'

/** Hit blocks over blocks asked for: each prompt is a list of ids, of which each names all before it. */
function hitRatio(policy: EvictionPolicy, capacity: number, prompts: readonly (readonly number[])[]): number {
  const slots = new Map<number, number>()
  const ids: number[] = []
  let [hits, asked] = [0, 0]
  for (const prompt of prompts) {
    asked += prompt.length
    let [parent, isRun] = [-1, true]
    for (const id of prompt) {
      let slot = slots.get(id)
      if (slot === undefined) {
        isRun = false
        slot = ids.length < capacity ? ids.length : policy.victimFor(id, parent, 1, 1)
        if (slot < 0) break
        if (ids.length === capacity) {
          policy.removed(slot)
          slots.delete(ids[slot] ?? -1)
        }
        ids[slot] = id
        slots.set(id, slot)
        policy.inserted(slot, id, parent, 1)
      } else policy.touched(slot)
      if (isRun) hits += 1
      parent = slot
    }
  }
  return hits / asked
}

function compared(capacity: number, prompts: readonly (readonly number[])[]) {
  return {
    lhd: hitRatio(createChainLhd(capacity), capacity, prompts),
    lru: hitRatio(createLeafLru(capacity), capacity, prompts),
  }
}

describe('least hit density by chains', () => {
  it('holds on to a part of a loop that is larger than the cache, where LRU has nothing', () => {
    const loop = Array.from({ length: 40_000 }, (_, use) => [use % 1000])
    const { lhd, lru } = compared(500, loop)
    expect(lru).toBe(0)
    expect(lhd).toBeGreaterThan(0.4)
  })

  it('is not emptied by a scan', () => {
    const random = seededRandom(1)
    let next = 1000
    const uses = Array.from({ length: 40_000 }, (_, use) =>
      use % 2000 < 1000 ? [Math.floor(300 * random())] : [next++],
    )
    const { lhd, lru } = compared(300, uses)
    expect(lhd).toBeGreaterThan(1.05 * lru)
  })

  it('loses next to nothing to LRU where the recent is what comes back', () => {
    const random = seededRandom(2)
    const uses: number[] = []
    let next = 0
    for (let use = 0; use < 40_000; use++) {
      const back = Math.floor(-Math.log(1 - random()) * 150)
      uses.push(random() < 0.2 || back >= uses.length ? next++ : (uses.at(-1 - back) ?? 0))
    }
    const { lhd, lru } = compared(
      100,
      uses.map((id) => [id]),
    )
    expect(lhd).toBeGreaterThan(lru - 0.01)
  })

  it('keeps chains that were gone on with, whole, instead of all for a moment', () => {
    const { lhd, lru } = compared(600, sessions())
    expect(lhd).toBeGreaterThan(1.3 * lru)
  })

  it('remembers how often what left, or was refused, had come back', () => {
    // Of a thousand keys a hundred come back again and again, each time after more others than the cache holds.
    const random = seededRandom(4)
    let next = 1000
    const uses = Array.from({ length: 60_000 }, (_, use) => [use % 4 === 0 ? Math.floor(100 * random()) : next++])
    const { lhd } = compared(100, uses)
    expect(lhd).toBeGreaterThan(0.2)
  })

  it('lets what saves more for its room stay', () => {
    const policy = createChainLhd(3)
    for (const slot of [0, 1, 2]) policy.inserted(slot, slot, -1, slot === 1 ? 1 : 1000)
    expect(policy.victim()).toBe(1)
    // Not even for what has just been used, when that saves less.
    expect(policy.victimFor(9, -1, 0.1, 1)).toBe(-1)
    expect(policy.victimFor(9, -1, 1000, 1)).toBe(1)
  })
})

/** Two sessions in three end with their first turn; others go on with nine turns in ten, a hundred requests later. */
function sessions(): readonly (readonly number[])[] {
  const random = seededRandom(3)
  const due = new Map<number, number[][]>()
  const prompts: number[][] = []
  let next = 1
  for (let now = 0; prompts.length < 15_000; now++) {
    const fresh = [0, ...Array.from({ length: 10 }, () => next++)]
    for (const prompt of [...(due.get(now) ?? []), fresh]) {
      prompts.push(prompt)
      if (random() >= (prompt === fresh ? 0.33 : 0.9)) continue
      const later = now + 60 + Math.floor(80 * random())
      const longer = [...prompt, next++, next++]
      due.set(later, [...(due.get(later) ?? []), longer])
    }
    due.delete(now)
  }
  return prompts
}
