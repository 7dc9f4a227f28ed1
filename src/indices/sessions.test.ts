import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { DEFAULT_TENANT, parseTenantId } from '../core/ids.ts'
import { Sessions } from './sessions.ts'

const A = { tenant: DEFAULT_TENANT, session: 'a' }
const B = { tenant: DEFAULT_TENANT, session: 'b' }

describe('a session', () => {
  test('has what it touched in order, the latest at the end', () => {
    const sessions = new Sessions()
    sessions.touch(A, ['x', 'y', 'z'], 10)
    sessions.touch(A, ['x', 'w'], 20)
    expect(sessions.get(A)).toEqual({
      ...A,
      turns: 2,
      firstAtMs: 10,
      lastAtMs: 20,
      isClosed: false,
      touched: [
        { key: 'y', turn: 1 },
        { key: 'z', turn: 1 },
        { key: 'x', turn: 2 },
        { key: 'w', turn: 2 },
      ],
    })
  })

  test('is its tenant’s', () => {
    const sessions = new Sessions()
    sessions.touch(A, ['x'], 10)
    expect(sessions.get({ ...A, tenant: parseTenantId('other') })).toBeNull()
  })

  test('forgets the keys touched longest ago beyond its bound', () => {
    const sessions = new Sessions({ keysPerSessionMax: 2 })
    sessions.touch(A, ['x', 'y', 'x', 'z'], 10)
    expect(sessions.get(A)?.touched.map(({ key }) => key)).toEqual(['x', 'z'])
    expect(sessions.prospect('y')).toEqual({ kind: 'unknown' })
  })

  test('leaves when it was touched longest ago and there are too many', () => {
    const sessions = new Sessions({ sessionsMax: 2 })
    sessions.touch(A, ['x'], 10)
    sessions.touch(B, ['x', 'y'], 20)
    sessions.touch(A, ['x'], 30)
    sessions.touch({ ...A, session: 'c' }, ['z'], 40)
    expect([sessions.count, sessions.get(B), sessions.prospect('y')]).toEqual([2, null, { kind: 'unknown' }])
    expect(sessions.sessionsOf('x', { limit: 9 })).toEqual([{ ...A, turns: 2, isClosed: false }])
  })
})

test('sessions leave when they have too many keys together, but not the one that brings them', () => {
  const sessions = new Sessions({ keysMax: 4 })
  sessions.touch(A, ['x', 'y'], 10)
  sessions.touch(B, ['x', 'z'], 20)
  sessions.remove('z')
  sessions.touch(B, ['w'], 30)
  expect(sessions.count).toBe(2)
  sessions.touch(B, ['v'], 40)
  expect([sessions.count, sessions.get(A)]).toEqual([1, null])
  sessions.touch(B, ['s', 't', 'u'], 50)
  expect(sessions.get(B)?.touched).toHaveLength(6)
})

test('a session’s name has a bound', () => {
  expect(() => new Sessions().touch({ ...A, session: 'a'.repeat(1000) }, ['x'], 10)).toThrow('at most 512 characters')
})

describe('the prospect of a key', () => {
  test('is open while one session that touched it is', () => {
    const sessions = new Sessions()
    sessions.touch(A, ['shared', 'mine'], 10)
    for (const atMs of [10, 20, 30]) sessions.touch(B, ['shared'], atMs)
    expect(sessions.prospect('shared')).toEqual({ kind: 'open', openSessions: 2, turnsMax: 3 })
    sessions.close(A)
    expect(sessions.prospect('mine')).toEqual({ kind: 'closed' })
    expect(sessions.prospect('shared')).toEqual({ kind: 'open', openSessions: 1, turnsMax: 3 })
    sessions.close(B)
    expect(sessions.prospect('shared')).toEqual({ kind: 'closed' })
    sessions.touch(A, ['shared'], 40)
    expect(sessions.prospect('mine')).toEqual({ kind: 'open', openSessions: 1, turnsMax: 2 })
  })

  test('is unknown for a fragment that is gone, in every session', () => {
    const sessions = new Sessions()
    sessions.touch(A, ['x', 'y'], 10)
    sessions.touch(B, ['x'], 10)
    expect([sessions.remove('x'), sessions.remove('x')]).toEqual([true, false])
    expect(sessions.prospect('x')).toEqual({ kind: 'unknown' })
    expect(sessions.get(A)?.touched).toEqual([{ key: 'y', turn: 1 }])
    expect(sessions.get(B)?.touched).toEqual([])
  })

  test('needs a session that is known to be closed', () => {
    expect(new Sessions().close(A)).toBe(false)
  })
})

test('prospects are what a walk over all sessions finds, whatever happens', () => {
  const step = fc.record({
    do: fc.constantFrom('touch' as const, 'touch' as const, 'close' as const, 'remove' as const),
    session: fc.constantFrom('a', 'b', 'c', 'd'),
    keys: fc.array(fc.constantFrom('u', 'v', 'w', 'x', 'y'), { minLength: 1, maxLength: 4 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const sessions = new Sessions({ sessionsMax: 3, keysPerSessionMax: 3 })
      for (const [index, { do: what, session, keys }] of steps.entries()) {
        if (what === 'touch') sessions.touch({ ...A, session }, keys, index)
        else if (what === 'close') sessions.close({ ...A, session })
        else sessions.remove(keys[0] ?? '')
        const views = ['a', 'b', 'c', 'd']
          .map((name) => sessions.get({ ...A, session: name }))
          .filter((view) => view !== null)
        expect(views.length).toBe(sessions.count)
        for (const key of ['u', 'v', 'w', 'x', 'y']) {
          const those = views.filter(({ touched }) => touched.some((one) => one.key === key))
          const open = those.filter(({ isClosed }) => !isClosed)
          const turnsMax = Math.max(...open.map(({ turns }) => turns))
          const expected =
            those.length === 0
              ? { kind: 'unknown' }
              : open.length === 0
                ? { kind: 'closed' }
                : { kind: 'open', openSessions: open.length, turnsMax }
          expect(sessions.prospect(key)).toEqual(expected)
          expect(sessions.sessionsOf(key, { limit: 9 })).toHaveLength(those.length)
        }
      }
    }),
    { numRuns: runs(100) },
  )
})

test('bounds are whole numbers', () => {
  expect(() => new Sessions({ sessionsMax: 0 })).toThrow('sessionsMax is a whole number')
})
