import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { Deadline } from './client-deadline.ts'
import { errorOfAnswer, isRetryable } from './client-errors.ts'
import { delayBeforeNext, withRetries } from './client-retry.ts'

const OPTIONS = { retriesMax: 5, retryDelayMs: 10, retryDelayMsMax: 100 }
const LOST = new MembraneError('PEER_UNAVAILABLE', 'The connection broke off.')
const UNSENT = new MembraneError('PEER_UNAVAILABLE', 'No connection.', { details: { isUnsent: true } })
const BUSY = errorOfAnswer({ status: 429, body: '', retryAfter: '2' })

describe('the wait before a try', () => {
  test('doubles to its bound, and half of it is chance', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.double({ min: 0, max: 1, noNaN: true }), (tries, chance) => {
        const delayMs = delayBeforeNext(LOST, tries, OPTIONS, { isIdempotent: true, random: () => chance })
        const fullMs = Math.min(100, 10 * 2 ** (tries - 1))
        expect(delayMs).toBeGreaterThanOrEqual(fullMs / 2)
        expect(delayMs).toBeLessThanOrEqual(fullMs)
      }),
    )
  })

  test.each([
    ['a lost answer of a call that may be repeated', LOST, true, true],
    ['a lost answer of a call that may not', LOST, false, false],
    ['a call that was never sent', UNSENT, false, true],
    ['a call that was refused for now', BUSY, false, true],
    ['a deadline of this side', new MembraneError('DEADLINE_EXCEEDED', 'Over.'), true, false],
    ['a call that was cancelled', new MembraneError('ABORTED', 'Cancelled.'), true, false],
    ['bytes that are others', new MembraneError('CONTENT_MISMATCH', 'Others.'), true, false],
  ])('of %s', (_, error, isIdempotent, isTriedAgain) => {
    const delayMs = delayBeforeNext(error, 1, OPTIONS, { isIdempotent, random: () => 0 })
    expect(delayMs !== null).toBe(isTriedAgain)
  })

  test('is what the server asks for, when that is longer', () => {
    expect(delayBeforeNext(BUSY, 1, OPTIONS, { isIdempotent: true, random: () => 1 })).toBe(2000)
  })

  test('ends with the tries', () => {
    expect(delayBeforeNext(LOST, 6, OPTIONS, { isIdempotent: true, random: () => 1 })).toBeNull()
  })
})

describe('a call', () => {
  const options = { retriesMax: 5, retryDelayMs: 0, retryDelayMsMax: 0 }
  const call = (deadline: Deadline) => ({ deadline, isIdempotent: true, random: () => 0 })

  test('ends with the first success', async () => {
    const deadline = new Deadline(60_000, undefined)
    let tries = 0
    const attempt = async (): Promise<number> => {
      tries += 1
      if (tries < 3) throw LOST
      return tries
    }
    expect(await withRetries(attempt, options, call(deadline))).toBe(3)
    deadline.close()
  })

  test('says how often it was tried', async () => {
    const deadline = new Deadline(60_000, undefined)
    const attempt = () => Promise.reject(LOST)
    await expect(withRetries(attempt, options, call(deadline))).rejects.toMatchObject({
      code: 'PEER_UNAVAILABLE',
      details: { tries: 6 },
    })
    deadline.close()
  })

  test('does not wait beyond its deadline', async () => {
    const deadline = new Deadline(1000, undefined)
    let tries = 0
    const attempt = (): Promise<never> => {
      tries += 1
      return Promise.reject(BUSY)
    }
    await expect(withRetries(attempt, options, call(deadline))).rejects.toBe(BUSY)
    expect(tries).toBe(1)
    deadline.close()
  })

  test('that is cancelled ends while it waits', async () => {
    const cancel = new AbortController()
    const deadline = new Deadline(60_000, cancel.signal)
    const attempt = (): Promise<never> => {
      cancel.abort()
      return Promise.reject(BUSY)
    }
    await expect(withRetries(attempt, options, call(deadline))).rejects.toMatchObject({ code: 'ABORTED' })
    deadline.close()
  })
})

describe('an error of a server', () => {
  test('keeps its code, its words and whether it may pass', () => {
    const body = JSON.stringify({
      error: {
        code: 'QUOTA_EXCEEDED',
        message: 'Full.',
        remedy: 'Remove.',
        retryable: false,
        details: { a: 1 },
        requestId: 'r',
      },
    })
    const error = errorOfAnswer({ status: 507, body, retryAfter: null })
    expect(error).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      message: 'Full.',
      remedy: 'Remove.',
      details: { a: 1, status: 507, requestId: 'r' },
    })
    expect(isRetryable(error)).toBe(false)
  })

  test('of a newer version goes by its status and its own word', () => {
    const body = JSON.stringify({ error: { code: 'NEWER', message: 'New.', retryable: true } })
    const error = errorOfAnswer({ status: 503, body, retryAfter: null })
    expect(error).toMatchObject({ code: 'PEER_UNAVAILABLE', details: { serverCode: 'NEWER' } })
    expect(isRetryable(error)).toBe(true)
  })

  test('that is not ours goes by its status', () => {
    expect(errorOfAnswer({ status: 502, body: '<html>', retryAfter: null })).toMatchObject({ code: 'PEER_UNAVAILABLE' })
    expect(errorOfAnswer({ status: 404, body: '', retryAfter: null })).toMatchObject({ code: 'NOT_FOUND' })
  })
})
