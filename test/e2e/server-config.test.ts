/** The settings of a server as its user sees them: shown, checked, refused; and the credentials that it reads. */
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openCommand } from './command.ts'

const { folder, write, membrane, json } = openCommand('server-config')

describe('membrane config --show', () => {
  test('prints settings with where they came from, in a form that it reads again', () => {
    const path = write('server.yaml', 'port: 9000\nstore: memory\n')
    chmodSync(path, 0o600)
    const { code, out, err } = membrane('config', '--show', '--config', path)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^port: 9000 +# file .*server\.yaml, line 1$/m)
    expect(out).toMatch(/^host: "127\.0\.0\.1" +# default$/m)
    const again = json('config', '--show', '--config', write('again.yaml', out))
    expect(again.settings.port.value).toBe(9000)
    expect(again.settings.store.value).toBe('memory')
  })

  test('says of a secret that it is there', () => {
    const path = write('secret.yaml', 'compute: openai\nllmModel: m\nllmApiKey: hunter2\n')
    chmodSync(path, 0o644)
    const { code, out, err } = membrane('config', '--show', '--config', path)
    expect(code).toBe(0)
    expect(out).toMatch(/llmApiKey: +\(set, from file .*, line 3\)/)
    expect(err).toMatch(/others can read it: chmod 600/)
    expect(json('config', '--show', '--config', path).settings.llmApiKey.value).toBe('(set)')
    expect(`${out}${err}`).not.toContain('hunter2')
  })

  test('refuses what a scenario would take', () => {
    const { code, err } = membrane('config', '--show', '--link-gbps', '3')
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/--link-gbps is of scenarios/) })
  })

  test('names the setting that was meant', () => {
    const { code, err } = membrane('config', '--show', '--config', write('slip.yaml', 'respport: 1\n'))
    expect(code).toBe(1)
    expect(err).toMatch(/slip\.yaml, line 1: there is no setting "respport"\. Did you mean respPort\?/)
  })
})

describe('membrane config --check', () => {
  test('refuses a server that strangers would reach, and takes it with credentials', () => {
    const open = write('open.yaml', 'host: 0.0.0.0\n')
    expect(membrane('config', '--check', '--config', open).err).toMatch(/other machines reach it.*membrane token new/)
    membrane('token', 'new', '--name', 'ci', '--file', 'who.yaml')
    const closed = write('closed.yaml', 'host: 0.0.0.0\ncredentialsFile: who.yaml\n')
    const { code, out, err } = membrane('config', '--check', '--config', closed)
    expect({ code, out }).toEqual({ code: 0, out: 'The settings can be used.\n' })
    expect(err).toMatch(/unencrypted/)
  })
})

describe('membrane token', () => {
  test('prints a token alone and once, keeps its hash, lists it without anything secret, and removes it', () => {
    const { code, out, err } = membrane('token', 'new', '--name', 'alice-ci', '--tenant', 'alice', '--role', 'reader')
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^mbr_[A-Za-z0-9_-]{43}\n$/) })
    expect(err).toMatch(/shown this once/)
    const stored = readFileSync(join(folder, 'credentials.yaml'), 'utf8')
    expect(stored).toContain('tokenHash: sha256:')
    expect(stored).not.toContain(out.trim())
    const listed = json('token', 'ls')
    expect(listed.credentials).toEqual([{ name: 'alice-ci', tenant: 'alice', role: 'reader', knownBy: 'token' }])
    expect(membrane('token', 'ls').out).toMatch(/alice-ci +alice +reader +token/)
    expect(membrane('token', 'rm', 'nobody')).toMatchObject({ code: 1 })
    expect(membrane('token', 'rm', 'alice-ci').code).toBe(0)
    expect(json('token', 'ls').credentials).toEqual([])
  })

  test('refuses a name that is taken, and a role that there is not', () => {
    membrane('token', 'new', '--name', 'twice', '--file', 'twice.json')
    expect(membrane('token', 'new', '--name', 'twice', '--file', 'twice.json')).toMatchObject({ code: 1, out: '' })
    expect(membrane('token', 'new', '--name', 'x', '--role', 'owner').err).toMatch(/reader, writer, monitor, admin/)
  })
})
