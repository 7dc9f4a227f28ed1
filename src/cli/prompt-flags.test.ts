import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { promptOf } from './prompt-flags.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-prompt-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('a prompt from a file', () => {
  test('is taken as it is', async () => {
    const path = join(folder, 'prompt.txt')
    writeFileSync(path, '\uFEFFä\u0000 \n')
    expect(await promptOf({ promptFile: path })).toBe('\uFEFFä\u0000 \n')
  })

  test('that never ends is refused at the bound', async () => {
    await expect(promptOf({ promptFile: '/dev/zero' })).rejects.toMatchObject({ code: 'LIMIT_REACHED' })
  })

  test('that is no text, empty, or no file is refused', async () => {
    const path = join(folder, 'bytes')
    writeFileSync(path, Uint8Array.of(0xed, 0xa0, 0x80))
    await expect(promptOf({ promptFile: path })).rejects.toThrow(/not UTF-8/)
    await expect(promptOf({ promptFile: '/dev/null' })).rejects.toThrow(/empty/)
    for (const missing of [folder, join(folder, 'none')])
      await expect(promptOf({ promptFile: missing })).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })
})
