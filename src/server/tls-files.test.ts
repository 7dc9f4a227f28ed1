import { createPrivateKey } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { loadTls, type TlsPaths } from './tls-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-tls-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const DAY_MS = 86_400_000
const FROM_MS = Date.UTC(2026, 0, 1)
const TO_MS = FROM_MS + 100 * DAY_MS
const middle = { nowMs: () => FROM_MS + 50 * DAY_MS }
let paths: TlsPaths
let otherKey: string

async function write(name: string, commonName: string): Promise<TlsPaths> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: commonName }], {
    notBeforeDate: new Date(FROM_MS),
    notAfterDate: new Date(TO_MS),
    algorithm: 'sha256',
  })
  const files = { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`), clientCaFile: null }
  writeFileSync(files.certFile, cert)
  writeFileSync(files.keyFile, key, { mode: 0o600 })
  return files
}

beforeAll(async () => {
  paths = await write('own', 'localhost')
  otherKey = (await write('other', 'elsewhere')).keyFile
})

async function refusal(of: TlsPaths, nowMs = middle.nowMs()): Promise<MembraneError> {
  try {
    await loadTls(of, { nowMs: () => nowMs })
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

describe('certificates of a server', () => {
  test('are read, with the time at which they expire', async () => {
    const loaded = await loadTls({ ...paths, clientCaFile: paths.certFile }, middle)
    const cert = readFileSync(paths.certFile, 'utf8')
    expect(loaded.material).toEqual({ cert, key: readFileSync(paths.keyFile, 'utf8'), clientCa: cert })
    expect(loaded.expiresAtMs).toBe(TO_MS)
    expect(loaded.notes).toEqual([])
  })

  test('that expire within two weeks are worth a warning, and no other', async () => {
    const notesAt = async (daysLeft: number) => (await loadTls(paths, { nowMs: () => TO_MS - daysLeft * DAY_MS })).notes
    expect(await notesAt(15)).toEqual([])
    expect(await notesAt(13.5)).toEqual([expect.stringContaining('expires in 13 days')])
  })

  test('whose key others can read are worth one as well', async () => {
    const keyFile = file('open.key', readFileSync(paths.keyFile, 'utf8'))
    chmodSync(keyFile, 0o644)
    expect((await loadTls({ ...paths, keyFile }, middle)).notes).toEqual([expect.stringContaining('chmod 600')])
  })

  test('are refused before they are valid, and once they have expired', async () => {
    expect((await refusal(paths, TO_MS)).message).toMatch(/expired on/)
    expect((await refusal(paths, FROM_MS - 1)).message).toMatch(/is valid from/)
  })

  test('are refused with the key of another one', async () => {
    expect((await refusal({ ...paths, keyFile: otherKey })).message).toMatch(/is not the key of the certificate/)
  })

  test('are refused with a key that needs a passphrase', async () => {
    const key = createPrivateKey(readFileSync(paths.keyFile))
    const options = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const
    const keyFile = file('locked.key', String(key.export(options)))
    expect((await refusal({ ...paths, keyFile })).message).toMatch(/passphrase/)
  })

  test('that are none are refused, and nothing of a key is repeated', async () => {
    const key = readFileSync(paths.keyFile, 'utf8')
    const damaged = key.replace(/.{20}\n-----END/, '-----END')
    const inside = key.split('\n')[3] ?? ''
    for (const broken of [
      { ...paths, certFile: file('a', 'no certificate') },
      { ...paths, certFile: paths.keyFile },
      { ...paths, certFile: file('b', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n') },
      { ...paths, keyFile: file('c', damaged) },
      { ...paths, keyFile: paths.certFile },
      { ...paths, clientCaFile: file('d', '') },
    ]) {
      const error = await refusal(broken)
      expect(error.code).toBe('INVALID_CONFIG')
      expect(`${error.message}${error.remedy}${JSON.stringify(error.details)}${String(error.cause)}`).not.toContain(
        inside,
      )
    }
    expect((await refusal({ ...paths, keyFile: join(folder, 'absent') })).code).toBe('FILE_UNREADABLE')
    expect((await refusal({ ...paths, keyFile: folder })).code).toBe('FILE_UNREADABLE')
  })
})
