import { expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { diskError } from '../store/disk-errors.ts'
import { redisError } from '../store/redis-errors.ts'
import { toldError } from './told-error.ts'

const request = { requestId: 'r' }

function tell(error: unknown): { readonly told: MembraneError; readonly lines: readonly object[] } {
  if (!(error instanceof MembraneError)) throw new Error('An error of the store was expected.')
  const lines: object[] = []
  const warn = (line: object): void => {
    lines.push(line)
  }
  return { told: toldError(error, { warn } as Parameters<typeof toldError>[1], request), lines }
}

test.each([
  ['STORE_FULL', diskError(Object.assign(new Error('x'), { code: 'ENOSPC' }), '/var/lib/hidden', 'write to')],
  ['FILE_UNREADABLE', diskError(Object.assign(new Error('x'), { code: 'EIO' }), '/var/lib/hidden', 'write to')],
  ['STORE_FULL', redisError(new Error('OOM command not allowed'), 'store it', 'hidden.internal:6379')],
  ['STORE_UNAVAILABLE', redisError(new Error('LOADING'), 'store it', 'hidden.internal:6379')],
])('%s does not say where the node keeps its bytes; the log does', (code, error) => {
  const { told, lines } = tell(error)
  expect([told.code, told.details]).toEqual([code, {}])
  expect(`${told.message} ${told.remedy}`).not.toMatch(/hidden|ENOSPC|Redis/)
  expect(lines).toEqual([{ err: error, requestId: 'r' }])
})

test('the name under which a store counts a tenant stays inside, and figures do not', () => {
  const details = { owner: 'hidden', payloadBytes: 5, payloadBytesMax: 4 }
  const { told, lines } = tell(new MembraneError('STORE_FULL', 'Too large.', { details, remedy: 'Smaller.' }))
  expect(told).toMatchObject({ code: 'STORE_FULL', message: 'Too large.', remedy: 'Smaller.' })
  expect(told.details).toEqual({ payloadBytes: 5, payloadBytesMax: 4 })
  expect(lines).toHaveLength(1)
})

test('any other error is told as it is', () => {
  const error = new MembraneError('NOT_FOUND', 'There is no such key.', { details: { key: 'artifact/=x' } })
  const { told, lines } = tell(error)
  expect(told).toBe(error)
  expect(lines).toEqual([])
})
