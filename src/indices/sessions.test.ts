import { describe, expect, test } from 'vitest'
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
    expect(sessions.sessionsOf('x')).toEqual([{ ...A, turns: 2, isClosed: false }])
  })
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

test('bounds are whole numbers', () => {
  expect(() => new Sessions({ sessionsMax: 0 })).toThrow('sessionsMax is a whole number')
})
