import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ROLE_NAMES, type CredentialsDocument } from '../api/credentials-schema.ts'
import { DEFAULT_TENANT, parseTenantId } from '../core/ids.ts'
import { ROLES } from './caller.ts'
import { Credentials, newTenantSaltSecret, newToken } from './credentials.ts'

const SALT = 'ab'.repeat(32)
const FINGERPRINT = 'AB:'.repeat(31) + 'CD'

function documentOf(credentials: CredentialsDocument['credentials'], salt = SALT): CredentialsDocument {
  return { tenantSaltSecret: salt, credentials }
}

const alice = newToken()
const bob = newToken()
const ALICE = { name: 'alice-ci', tenant: 'alice', role: 'writer', tokenHash: alice.tokenHash } as const
const BOB = { name: 'bob', tenant: 'bob', role: 'reader', tokenHash: bob.tokenHash } as const

describe('a token', () => {
  test('is 256 random bits behind a prefix that scanners for leaked secrets can know', () => {
    expect(alice.token).toMatch(/^mbr_[A-Za-z0-9_-]{43}$/)
    expect(new Set(Array.from({ length: 100 }, () => newToken().token)).size).toBe(100)
  })

  test('leads to the caller of its credential, and any other text to nobody', () => {
    const credentials = new Credentials(documentOf([ALICE, BOB]))
    expect(credentials.byToken(alice.token)).toEqual({ name: 'alice-ci', tenant: 'alice', role: 'writer' })
    expect(credentials.byToken(bob.token)).toMatchObject({ tenant: 'bob', role: 'reader' })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.nat(46).map((at) => changedAt(alice.token, at)),
        ),
        (text) => {
          expect(credentials.byToken(text)).toBeNull()
        },
      ),
    )
    // What the file holds opens nothing.
    expect(credentials.byToken(alice.tokenHash)).toBeNull()
    expect(credentials.byToken(alice.token.padEnd(10_000, 'x'))).toBeNull()
  })

  test('does the same work whether it is known or not: the digests of all are compared, one each', () => {
    const credentials = new Credentials(documentOf([]))
    expect(credentials.byToken('')).toBeNull()
    expect(credentials.anonymous).toBeNull()
  })
})

function changedAt(token: string, at: number): string {
  return `${token.slice(0, at)}${token[at] === 'x' ? 'y' : 'x'}${token.slice(at + 1)}`
}

describe('a certificate', () => {
  test('is known by its fingerprint however that is written, then by its common name', () => {
    const credentials = new Credentials(
      documentOf([
        { name: 'pinned', tenant: 'a', role: 'admin', certificateFingerprint: FINGERPRINT },
        { name: 'named', tenant: 'b', role: 'writer', certificateCommonName: 'node-7' },
      ]),
    )
    const fingerprint256 = FINGERPRINT.replaceAll(':', '').toLowerCase()
    expect(credentials.byCertificate({ fingerprint256, commonName: 'node-7' })?.name).toBe('pinned')
    expect(credentials.byCertificate({ fingerprint256: FINGERPRINT, commonName: '' })?.name).toBe('pinned')
    expect(credentials.byCertificate({ fingerprint256: '00', commonName: 'node-7' })?.name).toBe('named')
    expect(credentials.byCertificate({ fingerprint256: '00', commonName: 'node-8' })).toBeNull()
  })
})

describe('credentials', () => {
  test.each([
    ['two of one name', [ALICE, { ...BOB, name: ALICE.name }], /its name is that of another one/],
    ['two of one token', [ALICE, { ...BOB, tokenHash: ALICE.tokenHash }], /token or certificate is that of another/],
    ['one without token and certificate', [{ name: 'x', tenant: 'x', role: 'admin' }], /neither a token nor/],
  ] as const)('with %s are refused', (_, entries, message) => {
    expect(() => new Credentials(documentOf([...entries]))).toThrow(message)
  })

  test('have the roles that operations know, and no others', () => {
    // Nodes have a secret of their own, and whoever is on this machine needs no file.
    expect([...ROLE_NAMES, 'local', 'node'].toSorted()).toEqual(Object.keys(ROLES).toSorted())
  })

  test('give each tenant a salt of its own, the same wherever the file is the same', () => {
    const salts = ['alice', 'bob'].map((name) => new Credentials(documentOf([])).saltOf(parseTenantId(name)))
    expect(new Set(salts).size).toBe(2)
    expect(new Credentials(documentOf([ALICE])).saltOf(parseTenantId('alice'))).toBe(salts[0])
    const other = new Credentials(documentOf([], newTenantSaltSecret()))
    expect(other.saltOf(parseTenantId('alice'))).not.toBe(salts[0])
  })

  test('do not print', () => {
    const credentials = new Credentials(documentOf([ALICE]))
    const printed = `${inspect(credentials, { depth: 9, showHidden: true })} ${JSON.stringify(credentials)}`
    expect(printed).not.toContain(SALT)
    expect(printed).not.toContain(alice.tokenHash.slice(7))
  })

  test('who sends none is nobody unless the file says who', () => {
    expect(new Credentials(documentOf([ALICE])).anonymous).toBeNull()
    const open = new Credentials({ ...documentOf([]), anonymous: { tenant: 'default', role: 'reader' } })
    expect(open.anonymous).toEqual({ name: 'anonymous', tenant: DEFAULT_TENANT, role: 'reader' })
  })
})

describe('a reload', () => {
  test('holds from the next look-up on, and says who came and went', () => {
    const credentials = new Credentials(documentOf([ALICE]))
    expect(credentials.replace(documentOf([BOB]))).toEqual({ added: ['bob'], removed: ['alice-ci'] })
    expect(credentials.byToken(alice.token)).toBeNull()
    expect(credentials.byToken(bob.token)?.name).toBe('bob')
    expect([...credentials.names]).toEqual(['bob'])
  })

  test('that is refused changes nothing', () => {
    const credentials = new Credentials(documentOf([ALICE]))
    expect(() => credentials.replace(documentOf([BOB, BOB]))).toThrow(/name/)
    expect(() => credentials.replace(documentOf([BOB], newTenantSaltSecret()))).toThrow(/cannot change/)
    expect(credentials.byToken(alice.token)?.name).toBe('alice-ci')
    expect(credentials.byToken(bob.token)).toBeNull()
  })
})
