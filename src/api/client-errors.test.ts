import { describe, expect, test } from 'vitest'
import { errorOfConnection } from './client-errors.ts'

describe('a connection that fails', () => {
  test('is named by its code', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
    expect(errorOfConnection(refused, 'http://node').message).toBe(
      'http://node cannot be reached, or broke off: ECONNREFUSED.',
    )
  })

  test('because the other side speaks no HTTP, is named by what was wrong', () => {
    // As the HTTP package throws it: the field is there and holds nothing.
    const foreign = Object.assign(new Error('Expected HTTP/'), { code: undefined })
    expect(errorOfConnection(foreign, 'http://node').message).toBe(
      'http://node cannot be reached, or broke off: Expected HTTP/.',
    )
  })
})
