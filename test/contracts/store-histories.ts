/** Part of the contract of fragment stores: listing, and any history of calls against a model of what a store is. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FragmentPut, FragmentStore } from '../../src/core/ports.ts'
import { runs } from '../effort.ts'
import {
  bytesOf,
  collect,
  expectEntry,
  expectFragment,
  fragmentOf,
  isSameBytes,
  piecesOf,
  type StoreUnderTest,
  toArray,
  VirtualClock,
  type WithStore,
} from './store-fixtures.ts'

type Put = FragmentPut & { readonly payload: Uint8Array }
/** Small, so that a history that breaks the contract can be printed. */
interface PutPlan {
  readonly key: string
  readonly size: number
  readonly seed: number
  readonly headBytes: number
}
type Step =
  | { readonly kind: 'put'; readonly plan: PutPlan; readonly inPieces: boolean }
  | { readonly kind: 'get' | 'stream' | 'head' | 'has' | 'remove'; readonly key: string }

const KEYS = ['a', 'b', 'ab', 'ü/*', '{a}']

const plans: fc.Arbitrary<PutPlan> = fc.record({
  key: fc.constantFrom(...KEYS),
  size: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(4096, 65_537, 200_000)),
  seed: fc.integer({ min: 0, max: 3 }),
  headBytes: fc.constantFrom(0, 0, 1, 5000),
})

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), plan: plans, inPieces: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom('get' as const, 'stream' as const, 'head' as const, 'has' as const, 'remove' as const),
    key: fc.constantFrom(...KEYS),
  }),
)

export function describeStoreHistories(withStore: WithStore, subject: StoreUnderTest): void {
  test(
    'lists every entry whose key begins with a prefix',
    withStore(async (store) => {
      const keys = ['', '*', '[a]', '\\', 'ü/', '🧠', '?', '^', '{}'].flatMap((prefix) => [`${prefix}x`, `${prefix}y`])
      const all = keys.map((key, index) => fragmentOf(key, bytesOf(index), { head: bytesOf(index * 150) }))
      for (const put of all) await store.put(put)
      await store.put(fragmentOf('gone', bytesOf(4)))
      await store.remove(['gone'])
      for (const prefix of [undefined, '', 'x', '*', '[', '[a', '[a]', '\\', 'ü', '🧠', '?', '^', '{}', 'none']) {
        const expected = all.filter((put) => put.key.startsWith(prefix ?? ''))
        const listed = await toArray(store.list(prefix))
        const byKey = new Map(listed.map((entry) => [entry.key, entry]))
        expect([...byKey.keys()].sort(), prefix).toEqual(expected.map((put) => put.key).sort())
        for (const put of expected) expectEntry(byKey.get(put.key), put)
        if (subject.maySayTwice !== true) expect(listed.length).toBe(expected.length)
      }
    }),
  )

  test(
    'lists all that stays, while others come and go and the reader removes what it sees',
    withStore(async (store) => {
      const staying = Array.from({ length: 300 }, (_, index) => fragmentOf(`stays/${index}`, bytesOf(index % 9, index)))
      const leaving = Array.from({ length: 50 }, (_, index) => fragmentOf(`leaves/${index}`, bytesOf(index)))
      await Promise.all([...staying, ...leaving].map((put) => store.put(put)))
      const seen = new Set<string>()
      let count = 0
      for await (const { key } of store.list()) {
        seen.add(key)
        if (key.startsWith('leaves/')) await store.remove([key])
        if (count < 100) await store.put(fragmentOf(`comes/${count}`, bytesOf(3, count)))
        count += 1
      }
      for (const { key } of staying) expect(seen.has(key)).toBe(true)
      for await (const _ of store.list('stays/')) break
      expect(await toArray(store.list('leaves/'))).toEqual([])
    }),
  )

  test('answers as its model does, call after call', async () => {
    const history = fc.array(steps, { minLength: 1, maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const clock = new VirtualClock()
        const store = await subject.open(clock)
        try {
          const model = new Map<string, Put>()
          for (const step of steps) await checkStep(store, model, step)
          const payloadBytes = [...model.values()].reduce((sum, put) => sum + put.payloadBytes, 0)
          expect(store.stats()).toEqual({ entries: model.size, payloadBytes, corruptEntries: 0 })
        } finally {
          await store.close()
          await subject.cleanUp?.()
        }
      }),
      { numRuns: runs(15) },
    )
  })

  test('answers calls that come at once with whole puts, and ends with one of them', async () => {
    const rounds = fc.array(fc.array(steps, { minLength: 2, maxLength: 12 }), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(rounds, async (rounds) => {
        const store = await subject.open(new VirtualClock())
        try {
          let before = new Map<string, Put | null>(KEYS.map((key) => [key, null]))
          for (const round of rounds) before = await checkRound(store, before, round)
          const left = [...before.values()].filter((put) => put !== null)
          const payloadBytes = left.reduce((sum, put) => sum + put.payloadBytes, 0)
          expect(store.stats()).toEqual({ entries: left.length, payloadBytes, corruptEntries: 0 })
        } finally {
          await store.close()
          await subject.cleanUp?.()
        }
      }),
      { numRuns: runs(15) },
    )
  })
}

async function checkStep(store: FragmentStore, model: Map<string, Put>, step: Step): Promise<void> {
  if (step.kind === 'put') {
    const put = putOf(step.plan)
    const before = model.get(put.key)
    const outcome = before === undefined ? 'stored' : isSamePut(before, put) ? 'present' : 'replaced'
    expect(await store.put(inPieces(step))).toBe(outcome)
    model.set(put.key, put)
    return
  }
  const { kind, key } = step
  const expected = model.get(key)
  if (kind === 'has') expect(await store.has([key])).toEqual([expected !== undefined])
  else if (kind === 'remove') expect(await store.remove([key])).toBe(model.delete(key) ? 1 : 0)
  else if (expected === undefined) expect(await store[kind](key)).toBeNull()
  else if (kind === 'get') expectFragment(await store.get(key), expected)
  else if (kind === 'head') expectEntry(await store.head(key), expected)
  else {
    const stream = (await store.stream(key)) ?? expect.unreachable('the entry should be there')
    expectFragment({ ...stream, payload: await collect(stream.chunks) }, expected)
  }
}

/** Starts all steps at once. Returns what each key holds afterwards. */
async function checkRound(
  store: FragmentStore,
  before: ReadonlyMap<string, Put | null>,
  round: readonly Step[],
): Promise<Map<string, Put | null>> {
  const changes = (key: string): (Put | null)[] =>
    round.flatMap((step) => {
      if (step.kind === 'put') return step.plan.key === key ? [putOf(step.plan)] : []
      return step.kind === 'remove' && step.key === key ? [null] : []
    })
  await Promise.all(
    round.map((step) => checkAnswer(store, [before.get(keyOf(step)) ?? null, ...changes(keyOf(step))], step)),
  )
  const after = new Map<string, Put | null>()
  for (const key of KEYS) {
    const made = changes(key)
    const candidates = made.length === 0 ? [before.get(key) ?? null] : made
    const found = await store.get(key)
    const put = candidates.find((candidate) => (candidate === null ? found === null : isFound(found, candidate)))
    if (put === undefined) expect.unreachable(`${JSON.stringify(key)} holds what nobody put there`)
    after.set(key, put)
  }
  return after
}

/** During a round, each answer is one of `candidates`: what the key held before, and what the round does to it. */
async function checkAnswer(store: FragmentStore, candidates: readonly (Put | null)[], step: Step): Promise<void> {
  if (step.kind === 'put') {
    expect(['stored', 'replaced', 'present']).toContain(await store.put(inPieces(step)))
    return
  }
  const { kind, key } = step
  if (kind === 'get' || kind === 'head') {
    const found = await store[kind](key)
    const isOne = candidates.some((put) => (put === null ? found === null : isFound(found, put)))
    expect(isOne, `${kind} of ${JSON.stringify(key)} answers something that nobody put there`).toBe(true)
  } else if (kind === 'stream') {
    const stream = await store.stream(key)
    if (stream === null) expect(candidates).toContain(null)
    else {
      const payload = await collect(stream.chunks).catch((error: { code?: string }) => error.code)
      if (payload === 'STORE_UNAVAILABLE') return
      if (!(payload instanceof Uint8Array)) expect.unreachable(`a stream ended with ${payload}`)
      else expect(candidates.some((put) => put !== null && isFound({ ...stream, payload }, put))).toBe(true)
    }
  } else if (kind === 'has') expect((await store.has([key])).length).toBe(1)
  else expect(await store.remove([key])).toBeLessThanOrEqual(1)
}

function isFound(
  found: (Awaited<ReturnType<FragmentStore['head']>> & { payload?: Uint8Array }) | null,
  put: Put,
): boolean {
  if (found === null || found.contentHash !== put.contentHash || !isSameBytes(found.head, put.head)) return false
  return found.payload === undefined || isSameBytes(found.payload, put.payload)
}

function isSamePut(a: Put, b: Put): boolean {
  return a.contentHash === b.contentHash && isSameBytes(a.head, b.head)
}

function putOf({ key, size, seed, headBytes }: PutPlan): Put {
  return fragmentOf(key, bytesOf(size, seed), { head: bytesOf(headBytes, seed) })
}

function inPieces({ plan, inPieces }: Step & { readonly kind: 'put' }): FragmentPut {
  const put = putOf(plan)
  return inPieces ? { ...put, payload: piecesOf(put.payload, 50_000) } : put
}

function keyOf(step: Step): string {
  return step.kind === 'put' ? step.plan.key : step.key
}
