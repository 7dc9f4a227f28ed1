import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Credentials, newToken } from '../server/credentials.ts'
import { editCredentialsFile, readCredentialsFile } from './credentials-file.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'membrane-credentials-'))
  path = join(folder, 'credentials.yaml')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function entryOf(name: string, tokenHash = newToken().tokenHash) {
  return { name, tenant: 'alice', role: 'writer', tokenHash } as const
}

const add = (name: string) => editCredentialsFile(path, { add: [entryOf(name)], remove: [] })
const remove = (...names: readonly string[]) => editCredentialsFile(path, { add: [], remove: names })
const names = async () => (await readCredentialsFile(path)).document.credentials.map(({ name }) => name)

describe.each(['credentials.yaml', 'credentials.json'])('%s', (name) => {
  beforeEach(() => {
    path = join(folder, name)
  })

  test('is made for this user alone, and lets in who has the token', async () => {
    const { token, tokenHash } = newToken()
    await editCredentialsFile(path, { add: [entryOf('ci', tokenHash)], remove: [] })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const text = readFileSync(path, 'utf8')
    expect(text).not.toContain(token)
    expect(text).toContain(tokenHash)
    const { document, notes } = await readCredentialsFile(path)
    expect(notes).toEqual([])
    expect(new Credentials(document).byToken(token)?.name).toBe('ci')
  })

  test('grows and shrinks, keeping its salt', async () => {
    await add('a')
    const { tenantSaltSecret } = (await readCredentialsFile(path)).document
    await add('b')
    await remove('a', 'b')
    expect(await names()).toEqual([])
    await add('c')
    expect(await names()).toEqual(['c'])
    expect((await readCredentialsFile(path)).document.tenantSaltSecret).toBe(tenantSaltSecret)
  })
})

describe('a credentials file', () => {
  test('keeps its comments, its mode and everything else that is in it', async () => {
    await add('a')
    writeFileSync(
      path,
      `# ours\n${readFileSync(path, 'utf8')}anonymous: # the laptop\n  tenant: default\n  role: reader\n`,
    )
    chmodSync(path, 0o640)
    await add('b')
    const text = readFileSync(path, 'utf8')
    expect(text).toMatch(/^# ours\n/)
    expect(text).toContain('# the laptop')
    expect(statSync(path).mode & 0o777).toBe(0o640)
    const { document, notes } = await readCredentialsFile(path)
    expect(document.anonymous).toEqual({ tenant: 'default', role: 'reader' })
    expect(notes).toEqual([expect.stringContaining('others can read it')])
  })

  test('that others may write is refused: they could let themselves in', async () => {
    await add('a')
    chmodSync(path, 0o620)
    await expect(readCredentialsFile(path)).rejects.toThrow(/let themselves in/)
    await expect(add('b')).rejects.toThrow(/let themselves in/)
  })

  test('stays as it was when a change is refused, and leaves nothing beside it', async () => {
    await add('a')
    const before = readFileSync(path, 'utf8')
    await expect(add('a')).rejects.toThrow(/its name is that of another/)
    await expect(
      editCredentialsFile(path, { add: [{ ...entryOf('x'), tenant: 'no tenant' }], remove: [] }),
    ).rejects.toThrow()
    expect(readFileSync(path, 'utf8')).toBe(before)
    expect(existsSync(`${path}.new`)).toBe(false)
  })

  test('is changed by one at a time', async () => {
    await add('a')
    writeFileSync(`${path}.new`, '')
    await expect(add('b')).rejects.toThrow(/another change is under way/)
    expect(existsSync(`${path}.new`)).toBe(true)
    expect(await names()).toEqual(['a'])
  })

  test('that is damaged is refused, and nothing of it is repeated', async () => {
    for (const text of [
      'tenantSaltSecret: hunter2\ncredentials: []',
      'tenantSaltSecret: *hunter2',
      'x: [hunter2',
      '"hunter2"',
    ]) {
      writeFileSync(path, text, { mode: 0o600 })
      const act = readCredentialsFile(path)
      await expect(act).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
      await expect(act).rejects.toThrow(/^(?!.*hunter2)/s)
    }
  })
})
