import { expect, test } from 'vitest'
import { authenticate, type Authenticator } from './caller.ts'

test('who sends no credential where one is needed is told where it comes from', () => {
  const nobody: Authenticator = { anonymous: null, byToken: () => null, byCertificate: () => null }
  expect(() => authenticate(nobody, null)).toThrow(
    expect.objectContaining({ code: 'UNAUTHENTICATED', remedy: expect.stringContaining('MEMBRANE_TOKEN') }) as Error,
  )
  expect(() => authenticate(nobody, 'wrong')).toThrow(
    expect.objectContaining({ message: 'The credential is not known.' }) as Error,
  )
})
