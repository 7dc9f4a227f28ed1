import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { exponential, seededRandom, standardNormal } from '../core/random.ts'
import { ReusePredictor } from './reuse-predictor.ts'
import { Sessions } from './sessions.ts'

const UNKNOWN = { kind: 'unknown' } as const
const CLOSED = { kind: 'closed' } as const
const afterTurn = (turnsMax: number) => ({ kind: 'open', openSessions: 1, turnsMax }) as const
const START_MS = 1_700_000_000_000

describe('the reuse predictor', () => {
  test('says nothing of a key that it does not know, and 0 before anything was used again', () => {
    const predictor = new ReusePredictor()
    predictor.used('a', UNKNOWN, START_MS)
    expect(predictor.probability('b', { atMs: START_MS, horizonMs: 1000 })).toBeNull()
    expect(predictor.probability('a', { atMs: START_MS + 1000, horizonMs: 1000 })).toBe(0)
    predictor.remove('a', START_MS + 1000)
    expect(predictor.probability('a', { atMs: START_MS + 1000, horizonMs: 1000 })).toBeNull()
  })

  test('learns a constant rate, and that waiting changes nothing then', () => {
    const predictor = new ReusePredictor()
    const random = seededRandom(1)
    const gaps = Array.from({ length: 4000 }, (_, key) => ({ key, atMs: START_MS + 60_000 * exponential(random) }))
    for (const { key } of gaps) predictor.used(`${key}`, UNKNOWN, START_MS)
    for (const { key, atMs } of gaps.sort((a, b) => a.atMs - b.atMs)) predictor.used(`${key}`, UNKNOWN, atMs)
    const atMs = START_MS + 3_600_000
    predictor.used('new', UNKNOWN, atMs)
    const fresh = predictor.probability('new', { atMs, horizonMs: 60_000 })
    const later = predictor.probability('new', { atMs: atMs + 30_000, horizonMs: 60_000 })
    for (const chance of [fresh, later]) expect(Math.abs((chance ?? 0) - (1 - Math.exp(-1)))).toBeLessThan(0.03)
  })

  test('counts what never comes back: half of all keys leave the chance below a half', () => {
    const predictor = new ReusePredictor()
    for (let key = 0; key < 1000; key++) predictor.used(`${key}`, UNKNOWN, START_MS)
    for (let key = 0; key < 500; key++) predictor.used(`${key}`, UNKNOWN, START_MS + 10_000)
    const atMs = START_MS + 600_000
    predictor.used('new', UNKNOWN, atMs)
    expect(predictor.probability('new', { atMs, horizonMs: 60_000 })).toBeCloseTo(0.5, 1)
    expect(predictor.probability('new', { atMs: atMs + 60_000, horizonMs: 60_000 })).toBeLessThan(0.01)
  })

  test('counts what is still waiting with the time that it has waited', () => {
    const predictor = new ReusePredictor()
    for (let key = 0; key < 1000; key++) predictor.used(`${key}`, UNKNOWN, START_MS)
    for (let key = 0; key < 10; key++) predictor.used(`${key}`, UNKNOWN, START_MS + 23_000)
    // Of the same age as those that were used, nobody is older yet.
    const atMs = START_MS + 25_000
    expect(predictor.probability('500', { atMs, horizonMs: 60_000 })).toBeLessThan(0.1)
  })

  test('tells sessions apart by their turns, and closed ones from open ones', () => {
    const predictor = new ReusePredictor()
    for (let key = 0; key < 400; key++) {
      const atMs = START_MS + key * 100
      predictor.used(`young ${key}`, afterTurn(1), atMs)
      predictor.used(`old ${key}`, afterTurn(8), atMs)
      predictor.used(`closed ${key}`, afterTurn(8), atMs)
    }
    for (let key = 0; key < 400; key++) predictor.changed(`closed ${key}`, CLOSED, START_MS + 50_000)
    const random = seededRandom(4)
    const returns = Array.from({ length: 400 }, (_, key) => ({ key, atMs: START_MS + 50_000 + 100_000 * random() }))
    for (const { key, atMs } of returns.sort((a, b) => a.atMs - b.atMs)) {
      if (key % 10 < 2) predictor.used(`young ${key}`, afterTurn(2), atMs)
      if (key % 10 < 8) predictor.used(`old ${key}`, afterTurn(9), atMs)
    }
    const atMs = START_MS + 600_000
    const chance = (turns: number) => {
      predictor.used('new', afterTurn(turns), atMs)
      const open = predictor.probability('new', { atMs, horizonMs: 240_000 }) ?? 0
      predictor.changed('new', CLOSED, atMs)
      const closed = predictor.probability('new', { atMs, horizonMs: 240_000 }) ?? 1
      predictor.remove('new', atMs)
      return { open, closed }
    }
    expect(chance(1).open).toBeLessThan(0.35)
    expect(chance(8).open).toBeGreaterThan(0.65)
    expect(chance(8).closed).toBeLessThan(0.1)
  })

  test('forgets yesterday, by half a half-life', () => {
    const halfLifeMs = 3_600_000
    const predictor = new ReusePredictor({ halfLifeMs })
    const hour = (startMs: number, gapMs: number) => {
      for (let key = 0; key < 200; key++) predictor.used(`${startMs} ${key}`, UNKNOWN, startMs)
      for (let key = 0; key < 200; key++) predictor.used(`${startMs} ${key}`, UNKNOWN, startMs + gapMs)
      for (let key = 0; key < 200; key++) predictor.remove(`${startMs} ${key}`, startMs + gapMs)
    }
    hour(START_MS, 10_000)
    for (let late = 10; late < 20; late++) hour(START_MS + late * halfLifeMs, 100_000)
    const atMs = START_MS + 20 * halfLifeMs
    predictor.used('new', UNKNOWN, atMs)
    expect(predictor.probability('new', { atMs, horizonMs: 30_000 })).toBeLessThan(0.05)
  })

  test('waits for so many keys and no more: the one used longest ago leaves', () => {
    const predictor = new ReusePredictor({ keysMax: 2 })
    for (const [key, seconds] of [
      ['a', 0],
      ['b', 100],
      ['a', 200],
      ['c', 300],
    ] as const) {
      predictor.used(key, UNKNOWN, START_MS + 1000 * seconds)
    }
    const isKnown = (key: string) => predictor.probability(key, { atMs: START_MS + 300_000, horizonMs: 1 }) !== null
    expect([predictor.count, isKnown('a'), isKnown('b'), isKnown('c')]).toEqual([2, true, false, true])
  })

  test('is a chance that rises with the horizon, whatever happens', () => {
    const step = fc.record({
      do: fc.constantFrom('used' as const, 'changed' as const, 'remove' as const),
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      prospect: fc.constantFrom(UNKNOWN, CLOSED, afterTurn(1), afterTurn(4), {
        kind: 'open',
        openSessions: 3,
        turnsMax: 9,
      } as const),
      // Back in time too.
      passedMs: fc.oneof(fc.integer({ min: -1000, max: 5000 }), fc.integer({ min: 0, max: 100_000_000 })),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const predictor = new ReusePredictor({ keysMax: 3, halfLifeMs: 3_600_000 })
        let atMs = START_MS
        for (const { do: what, key, prospect, passedMs } of steps) {
          atMs += passedMs
          if (what === 'remove') predictor.remove(key, atMs)
          else predictor[what](key, prospect, atMs)
          let least = 0
          for (const horizonMs of [0, 1, 1000, 60_000, 1e9]) {
            const chance = predictor.probability(key, { atMs, horizonMs })
            if (chance === null) break
            expect(chance).toBeGreaterThanOrEqual(least)
            expect(chance).toBeLessThanOrEqual(1)
            least = chance
          }
        }
      }),
      { numRuns: runs(100) },
    )
  })
})

/** Chance of another turn after the first, second, … (Mooncake conversation trace: 0.33, rising to 0.78), the last for all further. */
const CONTINUES = [0.33, 0.48, 0.6, 0.7, 0.78]

interface Access {
  readonly session: string
  readonly keys: readonly string[]
  readonly atMs: number
  readonly isClosing: boolean
}

/** Sessions that begin once a second, share one of five system prompts, and grow by a fragment a turn; some say that they end. */
function agentAccesses(seconds: number, seed: number): Access[] {
  const random = seededRandom(seed)
  const accesses: Access[] = []
  for (let number = 0, startMs = 0; startMs < seconds * 1000; number++) {
    startMs += 1000 * exponential(random)
    const session = `s${number}`
    const keys = [`system ${Math.floor(5 * random() ** 3)}`, `${session} 0`]
    let atMs = startMs
    for (let turn = 1; ; turn++) {
      keys.push(`${session} ${turn}`)
      accesses.push({ session, keys: [...keys], atMs, isClosing: false })
      if (random() >= (CONTINUES[turn - 1] ?? 0.78)) break
      // Median 2 minutes, the tenth percentile 45 s.
      atMs += 120_000 * Math.exp(0.765 * standardNormal(random))
    }
    if (random() < 0.3) accesses.push({ session, keys, atMs: atMs + 1000, isClosing: true })
  }
  return accesses.filter(({ atMs }) => atMs < seconds * 1000).sort((a, b) => a.atMs - b.atMs)
}

// Seconds of work where a machine is busy.
test('on agent sessions its chances come true, and tell more than the mean does', { timeout: 60_000 }, () => {
  const [seconds, horizonMs] = [5400, 180_000]
  const accesses = agentAccesses(seconds, 11)
  const usesOf = new Map<string, number[]>()
  for (const { keys, atMs } of accesses.filter(({ isClosing }) => !isClosing)) {
    for (const key of keys) {
      const uses = usesOf.get(key)
      if (uses === undefined) usesOf.set(key, [atMs])
      else uses.push(atMs)
    }
  }
  const [sessions, predictor, random] = [new Sessions(), new ReusePredictor(), seededRandom(2)]
  const recent: string[] = []
  const samples: { readonly chance: number; readonly isUsed: number }[] = []
  for (const { session, keys, atMs, isClosing } of accesses) {
    const name = { tenant: DEFAULT_TENANT, session }
    if (isClosing) sessions.close(name)
    else sessions.touch(name, keys, atMs)
    for (const key of keys) {
      if (isClosing) predictor.changed(key, sessions.prospect(key), atMs)
      else predictor.used(key, sessions.prospect(key), atMs)
    }
    // System prompts are used all the time: too easy.
    recent.push(...keys.slice(1))
    // Asked of what was used in the last accesses, once enough is known; what comes after the end is not known.
    if (atMs < 1_800_000 || atMs > seconds * 1000 - horizonMs) continue
    const key = recent[recent.length - 1 - Math.floor(random() * Math.min(recent.length, 2000))] ?? ''
    const chance = predictor.probability(key, { atMs, horizonMs }) ?? Number.NaN
    const isUsed = (usesOf.get(key) ?? []).some((useMs) => useMs > atMs && useMs <= atMs + horizonMs)
    samples.push({ chance, isUsed: isUsed ? 1 : 0 })
  }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  expect(samples.length).toBeGreaterThan(5000)
  for (let decile = 0; decile < 10; decile++) {
    const those = samples.filter(({ chance }) => Math.min(9, Math.floor(10 * chance)) === decile)
    if (those.length < 500) continue
    const [predicted, observed] = [mean(those.map(({ chance }) => chance)), mean(those.map(({ isUsed }) => isUsed))]
    expect(Math.abs(predicted - observed), `of ${those.length} with about ${predicted.toFixed(2)}`).toBeLessThan(0.06)
  }
  const base = mean(samples.map(({ isUsed }) => isUsed))
  const brier = mean(samples.map(({ chance, isUsed }) => (chance - isUsed) ** 2))
  const brierOfBase = base * (1 - base)
  expect(brier).toBeLessThan(0.8 * brierOfBase)
})
