import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  DEFAULT_EVICTION_POLICY,
  EVICTION_POLICIES,
  type EvictionPolicyName,
  parseEvictionPolicy,
} from './evict-policies.ts'
import type { EvictionPolicy, EvictionPriority } from './evict.ts'
import { runs } from '../../test/effort.ts'

const NAMES = Object.keys(EVICTION_POLICIES) as EvictionPolicyName[]
/** These name no entry that a cached one builds upon. */
const BY_CHAINS: readonly EvictionPolicyName[] = ['leaf-lru', 'chain-lhd']
const CAPACITY = 9

const slot = fc.nat(CAPACITY - 1)
const priority = fc.constantFrom<EvictionPriority>(0, 1, 2)
const call = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('insert' as const),
      key: fc.nat(40),
      parent: fc.integer({ min: -1, max: CAPACITY - 1 }),
      density: fc.constantFrom(0.001, 1, 1.5, 3, 1000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('touch' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pin' as const), slot, isPinned: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('prioritize' as const), slot, priority }) },
)
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never
const calls = fc.array(call, { maxLength: 120, size: 'max' })

describe.each(NAMES)('the eviction policy %s, whatever happens,', (name) => {
  const isByChains = BY_CHAINS.includes(name)

  it('names a victim that is filled, not pinned, of the lowest priority, and none only when there is none', () => {
    fc.assert(
      fc.property(calls, (calls) => {
        const cache = new Cache(name)
        for (const call of calls) {
          cache.do(call)
          const victim = cache.policy.victim()
          expect(cache.policy.victim()).toBe(victim)
          const candidates = cache.candidates(isByChains)
          if (victim < 0) expect(candidates).toEqual([])
          else {
            expect(candidates).toContain(victim)
            // What is closed goes first, whatever its priority; but a policy may know more of chains than it was told.
            const lowest = Math.min(...candidates.map((slot) => cache.priority(slot)))
            if (!cache.wasClosed) expect(cache.priority(victim)).toBe(lowest)
          }
        }
      }),
      { numRuns: runs(300, 5000) },
    )
  })

  it('gives the same victims for the same calls', () => {
    fc.assert(
      fc.property(calls, (calls) => {
        const [first, second] = [new Cache(name), new Cache(name)]
        for (const call of calls) {
          first.do(call)
          second.do(call)
          expect(second.policy.victim()).toBe(first.policy.victim())
        }
      }),
    )
  })

  it('forgets everything that is removed: emptied by its own victims, it has none', () => {
    fc.assert(
      fc.property(calls, (calls) => {
        const cache = new Cache(name)
        for (const call of calls) cache.do(call)
        for (let slot = 0; slot < CAPACITY; slot++) if (cache.isFilled(slot)) cache.policy.pin(slot, false)
        let left = cache.filled
        for (; left > 0; left--) {
          const victim = cache.policy.victim()
          expect(cache.isFilled(victim)).toBe(true)
          cache.do({ kind: 'remove', slot: victim })
        }
        expect(cache.policy.victim()).toBe(-1)
      }),
    )
  })

  it('lets a new entry push out nothing of a higher priority, and nothing that is pinned', () => {
    const policy = filled(name, 3)
    for (const slot of [0, 1, 2]) policy.prioritized(slot, 2)
    expect(policy.victimFor(9, -1, 1000, 1)).toBe(-1)
    policy.prioritized(1, 0)
    expect(policy.victimFor(9, -1, 0.001, 1)).toBe(1)
    policy.pin(1, true)
    expect(policy.victimFor(9, -1, 1000, 1)).toBe(-1)
    policy.pin(1, false)
    expect(policy.victimFor(9, -1, 1000, 2)).toBe(1)
  })

  it('lets what is closed leave first, until it is used again', () => {
    const policy = filled(name, 4)
    policy.prioritized(2, 2)
    policy.closed(2)
    expect(policy.victim()).toBe(2)
    policy.touched(2)
    expect(policy.victim()).not.toBe(2)
  })

  it('keeps what is pinned however old it is, and nothing but that', () => {
    const policy = filled(name, 2)
    policy.pin(0, true)
    policy.touched(1)
    expect(policy.victim()).toBe(1)
    policy.removed(1)
    expect(policy.victim()).toBe(-1)
    policy.touched(0)
    expect(policy.victim()).toBe(-1)
    policy.pin(0, false)
    expect(policy.victim()).toBe(0)
  })

  it('names no victim without slots', () => {
    const policy = EVICTION_POLICIES[name](0)
    expect([policy.victim(), policy.victimFor(1, -1, 1, 2)]).toEqual([-1, -1])
  })
})

describe.each(BY_CHAINS)('the eviction policy %s by chains', (name) => {
  it('lets a chain leave from its tail on, and never for its own growth', () => {
    const policy = EVICTION_POLICIES[name](3)
    for (const slot of [0, 1, 2]) policy.inserted(slot, slot, slot - 1, 1)
    expect(policy.victimFor(3, 2, 1, 1)).toBe(-1)
    const left = []
    for (let victim = policy.victim(); victim >= 0; victim = policy.victim()) {
      left.push(victim)
      policy.removed(victim)
    }
    expect(left).toEqual([2, 1, 0])
  })

  it('keeps the whole chain of what is pinned', () => {
    const policy = EVICTION_POLICIES[name](4)
    for (const slot of [0, 1, 2]) policy.inserted(slot, slot, slot - 1, 1)
    policy.inserted(3, 3, -1, 1)
    policy.pin(2, true)
    expect(policy.victim()).toBe(3)
    policy.removed(3)
    expect(policy.victim()).toBe(-1)
  })

  it('closes a chain as far as nothing else builds upon it, at once or later', () => {
    // 0 - 1 - 2, and upon 1 also 3; then another chain, 4 - 5.
    const policy = EVICTION_POLICIES[name](6)
    for (const slot of [4, 0, 1, 3]) policy.inserted(slot, slot, slot === 0 || slot === 4 ? -1 : slot === 1 ? 0 : 1, 1)
    policy.inserted(2, 2, 1, 1)
    policy.inserted(5, 5, 4, 1)
    policy.closed(2)
    expect(leaving(policy, 1)).toEqual([2])
    policy.inserted(2, 2, 1, 1)
    policy.closed(2)
    policy.closed(3)
    expect(leaving(policy, 4).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
  })

  it('closes a head that was shared once all that is not closed upon it has left', () => {
    // 0 - 1, which closes, and 0 - 2; then 3, older than both.
    const policy = EVICTION_POLICIES[name](4)
    policy.inserted(3, 3, -1, 1)
    for (const slot of [0, 1, 2]) policy.inserted(slot, slot, slot === 0 ? -1 : 0, 1)
    policy.closed(1)
    policy.removed(2)
    expect(leaving(policy, 3)).toEqual([1, 0, 3])
  })

  it('opens a closed chain again that is gone on with', () => {
    const policy = EVICTION_POLICIES[name](4)
    policy.inserted(3, 30, -1, 1)
    for (const slot of [0, 1]) policy.inserted(slot, slot, slot - 1, 1)
    policy.closed(1)
    expect(policy.victim()).toBe(1)
    policy.touched(0)
    policy.touched(1)
    policy.inserted(2, 2, 1, 1)
    expect(policy.victim()).toBe(3)
  })

  it('takes what built upon something that was dropped for heads, even when the slot is used again', () => {
    const policy = EVICTION_POLICIES[name](3)
    for (const slot of [0, 1]) policy.inserted(slot, slot, slot - 1, 1)
    policy.removed(0)
    policy.inserted(0, 7, -1, 1)
    policy.inserted(2, 8, 0, 1)
    policy.removed(1)
    expect(policy.victim()).toBe(2)
    policy.removed(2)
    expect(policy.victim()).toBe(0)
  })
})

describe('the eviction policies', () => {
  it('are found by name', () => {
    for (const name of NAMES) expect(parseEvictionPolicy(name)).toBe(name)
    expect(NAMES).toContain(DEFAULT_EVICTION_POLICY)
  })

  it.each(['LRU', 'fifo', '', 'toString'])('reject %j and name the known ones', (name) => {
    expect(() => parseEvictionPolicy(name)).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: `There is no eviction policy ${JSON.stringify(name)}, expected ${NAMES.join(', ')}.`,
      }),
    )
  })
})

function filled(name: EvictionPolicyName, entries: number): EvictionPolicy {
  const policy = EVICTION_POLICIES[name](entries)
  for (let slot = 0; slot < entries; slot++) policy.inserted(slot, slot, -1, 1)
  return policy
}

function leaving(policy: EvictionPolicy, entries: number): readonly number[] {
  return Array.from({ length: entries }, () => {
    const victim = policy.victim()
    policy.removed(victim)
    return victim
  })
}

interface Entry {
  readonly parent: Entry | null
  readonly slot: number
  priority: EvictionPriority
  isPinned: boolean
}

/** A cache from the definition: entries that know their parents. It evicts one for an insertion when it is full. */
class Cache {
  readonly policy: EvictionPolicy
  readonly #entries = new Map<number, Entry>()
  wasClosed = false

  constructor(name: EvictionPolicyName) {
    this.policy = EVICTION_POLICIES[name](CAPACITY)
  }

  get filled(): number {
    return this.#entries.size
  }

  isFilled(slot: number): boolean {
    return this.#entries.has(slot)
  }

  priority(slot: number): EvictionPriority {
    return this.#entries.get(slot)?.priority ?? expect.unreachable('filled')
  }

  /** Slots that may leave. */
  candidates(isByChains: boolean): readonly number[] {
    const entries = [...this.#entries.values()]
    const isLeaf = (entry: Entry) => entries.every(({ parent }) => parent !== entry)
    return entries.filter((entry) => !entry.isPinned && (!isByChains || isLeaf(entry))).map(({ slot }) => slot)
  }

  do(call: Call): void {
    if (call.kind === 'insert') {
      this.#insert(call)
      return
    }
    const entry = this.#entries.get(call.slot)
    if (entry === undefined) return
    if (call.kind === 'touch') {
      this.policy.touched(call.slot)
    } else if (call.kind === 'remove') {
      this.policy.removed(call.slot)
      this.#entries.delete(call.slot)
    } else if (call.kind === 'close') {
      this.policy.closed(call.slot)
      this.wasClosed = true
    } else if (call.kind === 'pin') {
      this.policy.pin(call.slot, call.isPinned)
      entry.isPinned = call.isPinned
    } else {
      this.policy.prioritized(call.slot, call.priority)
      entry.priority = call.priority
    }
  }

  #insert({ key, parent, density }: Extract<Call, { kind: 'insert' }>): void {
    const parentSlot = this.#entries.has(parent) ? parent : -1
    if (this.#entries.size === CAPACITY) {
      const victim = this.policy.victimFor(key, parentSlot, density, 1)
      if (victim < 0) return
      this.policy.removed(victim)
      this.#entries.delete(victim)
    }
    const slot = Array.from({ length: CAPACITY }, (_, slot) => slot).find((slot) => !this.#entries.has(slot)) ?? -1
    const parentEntry = this.#entries.get(parentSlot) ?? null
    this.policy.inserted(slot, key, parentEntry === null ? -1 : parentSlot, density)
    this.#entries.set(slot, { parent: parentEntry, slot, priority: 1, isPinned: false })
  }
}
