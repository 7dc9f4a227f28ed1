import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, describe, expect, test } from 'vitest'
import type { CredentialsDocument } from '../api/credentials-schema.ts'
import { mergeServerConfig } from '../api/merge-server-config.ts'
import type { ServerConfig } from '../api/server-schema.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { newTenantSaltSecret, newToken } from './credentials.ts'
import { auditPathOf, openSecurity, type SecurityPorts } from './security.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-security-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
const TLS = { tlsCertFile: certFile, tlsKeyFile: keyFile }

async function writeCertificate(commonName: string): Promise<void> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: commonName }], { algorithm: 'sha256' })
  writeFileSync(certFile, cert)
  writeFileSync(keyFile, key, { mode: 0o600 })
}

function configOf(settings: Readonly<Record<string, unknown>>): ServerConfig {
  const values = new Map(Object.entries(settings).map(([key, value]) => [key, { value, origin: `flag ${key}` }]))
  return mergeServerConfig([{ kind: 'flags', values }]).config
}

function portsOf(document: () => CredentialsDocument): SecurityPorts {
  return {
    readCredentials: async () => ({ document: document(), notes: [] }),
    clock: { nowMs: Date.now },
    stopwatch: { seconds: () => 0 },
  }
}

const nothing = portsOf(() => {
  throw new Error('not asked for')
})
const { token, tokenHash } = newToken()
const DOCUMENT: CredentialsDocument = {
  tenantSaltSecret: newTenantSaltSecret(),
  credentials: [{ name: 'ci', tenant: 'alice', role: 'writer', tokenHash }],
}
const certificate = { fingerprint256: 'AA:BB', commonName: 'node-7' }

describe('a server', () => {
  test('that only this machine reaches lets it do everything, with any token or none', async () => {
    const { authenticator, limiter, tls, notes } = await openSecurity(configOf({}), nothing)
    expect(authenticator.anonymous).toMatchObject({ tenant: DEFAULT_TENANT, role: 'local' })
    expect(authenticator.byToken('sk-anything')).toEqual(authenticator.anonymous)
    expect({ limiter, tls, notes }).toEqual({ limiter: null, tls: null, notes: [] })
  })

  test('with credentials lets in who has one, over sockets too', async () => {
    const config = configOf({ credentialsFile: 'c.yaml' })
    const { authenticator, socketAuthenticator, saltOf } = await openSecurity(
      config,
      portsOf(() => DOCUMENT),
    )
    expect(authenticator.anonymous).toBeNull()
    expect(socketAuthenticator.anonymous).toBeNull()
    expect(authenticator.byToken(token)?.tenant).toBe('alice')
    expect(authenticator.byToken('sk-anything')).toBeNull()
    expect(saltOf(DEFAULT_TENANT)).toMatch(/^[0-9a-f]{64}$/)
  })

  test('with client certificates alone lets them write and administer nothing; its socket is local all the same', async () => {
    await writeCertificate('localhost')
    const config = configOf({ ...TLS, tlsClientCaFile: certFile, host: '0.0.0.0' })
    const { authenticator, socketAuthenticator } = await openSecurity(config, nothing)
    expect(authenticator.anonymous).toBeNull()
    expect(authenticator.byToken('x')).toBeNull()
    expect(authenticator.byCertificate(certificate)).toEqual({ name: 'node-7', tenant: DEFAULT_TENANT, role: 'writer' })
    expect(authenticator.byCertificate({ ...certificate, commonName: 'a\nb' })?.name).toBe('AA:BB')
    expect(socketAuthenticator.anonymous?.role).toBe('local')
  })

  test('that strangers reach does not start', async () => {
    await expect(openSecurity(configOf({ host: '0.0.0.0' }), nothing)).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
  })

  test('with rates slows callers down', async () => {
    const { limiter } = await openSecurity(configOf({ requestsPerSecondMax: 1 }), nothing)
    const caller = { name: 'a', tenant: DEFAULT_TENANT, role: 'admin' } as const
    limiter?.take(caller, 0)
    expect(() => limiter?.take(caller, 0)).toThrow(/more requests/)
  })
})

describe('a reload', () => {
  test('takes up new credentials and new certificates, and says which', async () => {
    await writeCertificate('before')
    let document = DOCUMENT
    const security = await openSecurity(
      configOf({ ...TLS, credentialsFile: 'c' }),
      portsOf(() => document),
    )
    expect(await security.reload()).toEqual({ credentials: { added: [], removed: [] }, tls: null, notes: [] })
    document = { ...DOCUMENT, credentials: [] }
    await writeCertificate('after')
    const { credentials, tls } = await security.reload()
    expect(credentials).toEqual({ added: [], removed: ['ci'] })
    expect(tls?.cert).toContain('BEGIN CERTIFICATE')
    expect(security.authenticator.byToken(token)).toBeNull()
    expect((await security.reload()).tls).toBeNull()
  })

  test('of what cannot be used changes nothing', async () => {
    await writeCertificate('good')
    let document = DOCUMENT
    const security = await openSecurity(
      configOf({ ...TLS, credentialsFile: 'c', host: '0.0.0.0' }),
      portsOf(() => document),
    )
    document = { ...DOCUMENT, credentials: [] }
    writeFileSync(keyFile, 'damaged')
    await expect(security.reload()).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    expect(security.authenticator.byToken(token)?.name).toBe('ci')
    await writeCertificate('good')
    document = { ...DOCUMENT, anonymous: { tenant: 'default', role: 'admin' } }
    await expect(security.reload()).rejects.toThrow(/who sends no credential/)
    expect(security.authenticator.anonymous).toBeNull()
  })
})

test('what is administered is written down in the data directory, unless a file is named', () => {
  expect(auditPathOf({ auditFile: null, dataDir: '/d' })).toBe(join('/d', 'audit.jsonl'))
  expect(auditPathOf({ auditFile: '/a', dataDir: '/d' })).toBe('/a')
  expect(auditPathOf({ auditFile: null, dataDir: null })).toBeNull()
})
