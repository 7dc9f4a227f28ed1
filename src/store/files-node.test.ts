import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nodeFiles } from './files-node.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'membrane-files-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

describe('a directory', () => {
  it('is made with those above it, for its owner only', async () => {
    await nodeFiles(join(root, 'a/b')).makeDirectory('c')
    for (const made of ['a', 'a/b', 'a/b/c']) {
      const found = statSync(join(root, made))
      expect(found.isDirectory()).toBe(true)
      if (process.platform !== 'win32') expect(found.mode & 0o777).toBe(0o700)
    }
  })

  it('that is there stays as it is', async () => {
    mkdirSync(join(root, 'a'), { mode: 0o755 })
    writeFileSync(join(root, 'a/kept'), 'kept')
    await nodeFiles(root).makeDirectory('a')
    expect(statSync(join(root, 'a/kept')).size).toBe(4)
  })

  it.each(['file', 'file/below'])('is refused where a file stands in the way: %s', async (path) => {
    writeFileSync(join(root, 'file'), '')
    await expect(nodeFiles(root).makeDirectory(path)).rejects.toThrow(/EEXIST|ENOTDIR/)
  })

  it.runIf(process.platform === 'linux')('is refused at once where the system lets nobody make one', async () => {
    await expect(nodeFiles('/proc').makeDirectory('membrane/data')).rejects.toThrow('ENOENT')
  })
})
