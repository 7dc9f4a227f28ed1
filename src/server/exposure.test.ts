import { describe, expect, test } from 'vitest'
import { mergeServerConfig } from '../api/merge-server-config.ts'
import { MembraneError } from '../core/errors.ts'
import { checkExposure, type CredentialFacts, isLoopback } from './exposure.ts'

const NONE = { hasCredentials: false, hasAnonymous: false }
const TOKENS = { hasCredentials: true, hasAnonymous: false }
const OPEN = { hasCredentials: true, hasAnonymous: true }

function check(settings: Readonly<Record<string, unknown>>, facts: CredentialFacts): readonly string[] {
  const values = new Map(Object.entries(settings).map(([key, value]) => [key, { value, origin: `flag ${key}` }]))
  return checkExposure(mergeServerConfig([{ kind: 'flags', values }]).config, facts)
}

test.each([
  ['127.0.0.1', true],
  ['127.8.9.10', true],
  ['::1', true],
  ['0:0:0:0:0:0:0:1', true],
  ['localhost', true],
  ['LOCALHOST', true],
  ['::ffff:127.0.0.1', true],
  ['0.0.0.0', false],
  ['::', false],
  ['10.0.0.1', false],
  ['127.0.0.1.example.com', false],
  ['localhost.example.com', false],
  ['::ffff:10.0.0.1', false],
  ['127.1', false],
])('%s is loopback: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected)
})

const AWAY = { host: '0.0.0.0' }
const TLS = { tlsCertFile: 'c', tlsKeyFile: 'k' }
const MTLS = { ...TLS, tlsClientCaFile: 'a' }

describe('a server that other machines reach', () => {
  test.each([
    ['no credentials', AWAY, NONE, /http on 0\.0\.0\.0: other machines reach it, and no credential/],
    ['no credentials under TLS', { ...AWAY, ...TLS }, NONE, /no credential/],
    ['no credentials for RESP', { ...AWAY, respPort: 1 }, NONE, /http, resp on/],
    ['credentials that let in who sends none', { ...AWAY, ...TLS }, OPEN, /who sends no credential/],
    ['lm:// behind tokens', { ...AWAY, ...TLS, lmPort: 1 }, TOKENS, /lm on 0\.0\.0\.0.*carries no token/],
  ])('is refused with %s', (_, settings, facts, message) => {
    expect(() => check(settings, facts)).toThrow(message)
    try {
      check(settings, facts)
    } catch (error) {
      expect(error).toBeInstanceOf(MembraneError)
      expect(error).toMatchObject({ code: 'INVALID_CONFIG', remedy: expect.stringContaining('127.0.0.1') })
    }
  })

  test('starts with tokens under TLS, or with client certificates alone, whatever the doors', () => {
    expect(check({ ...AWAY, ...TLS, respPort: 1, grpcPort: 2 }, TOKENS)).toEqual([])
    expect(check({ ...AWAY, ...MTLS, lmPort: 1 }, NONE)).toEqual([])
    expect(check({ ...AWAY, ...MTLS, lmPort: 1 }, OPEN)).toEqual([])
  })

  test('warns of tokens that cross the network in plain text', () => {
    expect(check(AWAY, TOKENS)).toEqual([expect.stringContaining('unencrypted')])
  })
})

describe('a server that only this machine reaches', () => {
  test('needs no credentials', () => {
    expect(check({ respPort: 1, lmPort: 2, grpcPort: 3, respSocket: '/run/x' }, NONE)).toEqual([])
    expect(check({ host: '::1' }, NONE)).toEqual([])
  })

  test('opens lm:// only if somebody could use it', () => {
    expect(() => check({ lmPort: 1 }, TOKENS)).toThrow(/lets? nobody in|let nobody in/)
    expect(check({ lmPort: 1 }, OPEN)).toEqual([])
    expect(check({ lmPort: 1, ...MTLS }, TOKENS)).toEqual([])
    expect(check({ respPort: 1 }, TOKENS)).toEqual([])
  })
})
