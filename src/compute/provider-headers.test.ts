import { expect, test } from 'vitest'
import { rateLimits, requestId, retryAfterMs } from './provider-headers.ts'

const NOW_MS = Date.parse('2026-11-22T12:00:00Z')

test.each([
  [{}, null],
  [{ 'retry-after': '20' }, 20_000],
  [{ 'retry-after': '0.5' }, 500],
  [{ 'retry-after': 'Sun, 22 Nov 2026 12:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Sun, 22 Nov 2026 11:00:00 GMT' }, 0],
  [{ 'retry-after': 'soon' }, null],
  [{ 'retry-after': '-5' }, null],
  [{ 'retry-after-ms': '750', 'retry-after': '1' }, 750],
  [{ 'retry-after-ms': 'NaN', 'retry-after': '1' }, 1000],
  [{ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '6m0s' }, 360_000],
  [{ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '1m30.5s' }, 90_500],
  [{ 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '20ms' }, 20],
  [{ 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '12' }, 12_000],
  [{ 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': 'later' }, null],
  [{ 'x-ratelimit-remaining-tokens': '0' }, null],
  [{ 'x-ratelimit-remaining-tokens': '900', 'x-ratelimit-reset-tokens': '59s' }, null],
  [
    {
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1s',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '4s',
    },
    4000,
  ],
  [
    {
      'anthropic-ratelimit-input-tokens-remaining': '0',
      'anthropic-ratelimit-input-tokens-reset': '2026-11-22T12:00:07Z',
    },
    7000,
  ],
] as const)('%j asks for a wait of %s ms', (headers, expected) => {
  expect(retryAfterMs({ ...headers }, NOW_MS)).toBe(expected)
})

test('says what is left as the service says it', () => {
  const limits = { 'x-ratelimit-limit-tokens': '30000', 'anthropic-ratelimit-requests-reset': 'x' }
  expect(rateLimits({ ...limits, 'content-type': 'text/plain' })).toEqual(limits)
})

test('names a request as the service does', () => {
  expect([requestId({ 'x-request-id': 'a' }), requestId({ 'request-id': 'b' }), requestId({})]).toEqual([
    'a',
    'b',
    null,
  ])
})
