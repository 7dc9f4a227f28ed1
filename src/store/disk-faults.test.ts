import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { bytesOf, expectFragment, fragmentOf, rejectsWith, TEST_HASHERS } from '../../test/contracts/store-fixtures.ts'
import { openSimulated } from '../../test/faults/simulated-disk.ts'
import { UnsyncedFiles } from '../../test/faults/unsynced-files.ts'
import { VirtualTimers } from '../../test/faults/virtual-timers.ts'
import { type DiskStore, openDiskStore } from './disk.ts'

let directory = ''
afterEach(() => {
  if (directory === '') return
  chmodSync(directory, 0o700)
  rmSync(directory, { recursive: true, force: true })
  directory = ''
})

function newDirectory(): string {
  directory = mkdtempSync(join(tmpdir(), 'membrane-faults-'))
  return directory
}

function open(path: string): Promise<DiskStore> {
  return openDiskStore({ directory: path, hashers: TEST_HASHERS })
}

describe('DiskStore, on a device that is full', () => {
  test('refuses what does not fit with STORE_FULL, keeps the rest, and leaves nothing half-written', async () => {
    const files = new UnsyncedFiles()
    const store = await openSimulated(files)
    const held = [fragmentOf('a', bytesOf(1000, 1)), fragmentOf('b', bytesOf(5000, 2))]
    for (const put of held) await store.put(put)
    const before = files.usedBytes()
    files.capacityBytes = before + 600
    await rejectsWith(store.put(fragmentOf('c', bytesOf(900, 3))), 'STORE_FULL')
    await rejectsWith(store.put(fragmentOf('d', bytesOf(9000, 4))), 'STORE_FULL')
    await rejectsWith(store.put(fragmentOf('a', bytesOf(900, 3))), 'STORE_FULL')
    expect(files.usedBytes()).toBe(before)
    await store.put(fragmentOf('e', bytesOf(300, 5)))
    for (const put of held) expectFragment(await store.get(put.key), put)
    await store.close()
    const again = await openSimulated(files)
    for (const put of held) expectFragment(await again.get(put.key), put)
    expect(await again.has(['c', 'd', 'e'])).toEqual([false, false, true])
    expect(again.diskStats().recovery).toMatchObject({ droppedRecords: 0, removedLeftovers: 0 })
    await again.close()
  })

  test('can always remove, and takes puts again in what that has freed', async () => {
    const files = new UnsyncedFiles()
    const store = await openSimulated(files, { durability: 'power' })
    const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`)
    for (const key of keys) await store.put(fragmentOf(key, bytesOf(key.length % 2 === 0 ? 2000 : 500)))
    files.capacityBytes = files.usedBytes()
    expect(await store.remove(keys)).toBe(20)
    const put = fragmentOf('new', bytesOf(2000, 7))
    expect(await store.put(put)).toBe('stored')
    await store.close()
    const again = await openSimulated(files)
    expectFragment(await again.get('new'), put)
    expect(again.stats().entries).toBe(1)
    await again.close()
  })

  test('keeps everything when a compaction does not fit', async () => {
    const files = new UnsyncedFiles()
    const store = await openSimulated(files)
    const puts = Array.from({ length: 6 }, (_, index) => fragmentOf(`key-${index}`, bytesOf(800, index)))
    for (const put of puts) await store.put(put)
    await store.remove(['key-0'])
    await store.sync()
    files.capacityBytes = files.usedBytes() + 500
    await rejectsWith(store.compact(), 'STORE_FULL')
    for (const put of puts.slice(1)) expectFragment(await store.get(put.key), put)
    files.capacityBytes = Number.POSITIVE_INFINITY
    await store.compact()
    expect(store.diskStats().deadBytes).toBe(0)
    for (const put of puts.slice(1)) expectFragment(await store.get(put.key), put)
    await store.close()
  })
})

describe('DiskStore, on a device that fails', () => {
  test('takes nothing more once a sync has failed, and still reads', async () => {
    const files = new UnsyncedFiles()
    const store = await openSimulated(files, { durability: 'power' })
    const put = fragmentOf('a', bytesOf(100))
    await store.put(put)
    files.syncError = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    await rejectsWith(store.put(fragmentOf('b', bytesOf(100, 1))), 'FILE_UNREADABLE')
    files.syncError = null
    await rejectsWith(store.put(fragmentOf('c', bytesOf(100, 1))), 'FILE_UNREADABLE')
    await rejectsWith(store.remove(['a']), 'FILE_UNREADABLE')
    await rejectsWith(store.sync(), 'FILE_UNREADABLE')
    expectFragment(await store.get('a'), put)
    await rejectsWith(store.close(), 'FILE_UNREADABLE')
    await rejectsWith(store.get('a'), 'STORE_CLOSED')
  })

  test('learns of a sync that failed when nobody waited for it', async () => {
    const files = new UnsyncedFiles()
    const timers = new VirtualTimers()
    const store = await openSimulated(files, { alarm: timers })
    await store.put(fragmentOf('a', bytesOf(100)))
    files.syncError = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    await timers.advance(1000, () => false)
    await rejectsWith(store.put(fragmentOf('b', bytesOf(100))), 'FILE_UNREADABLE')
  })
})

describe('DiskStore, in a directory that it cannot have', () => {
  test('says who has it open, and opens it when that has ended', async () => {
    const first = await open(newDirectory())
    await expect(open(directory)).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      message: expect.stringContaining(`process ${process.pid} on `),
    })
    await first.put(fragmentOf('a', bytesOf(10)))
    await first.close()
    const second = await open(directory)
    expect(await second.has(['a'])).toEqual([true])
    await second.close()
  })

  test('is told apart from one whose process was killed', async () => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('../../test/faults/crash-child.ts', import.meta.url)), newDirectory(), '1', 'process'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    await new Promise((resolve) => child.stdout.once('data', resolve))
    await expect(open(directory)).rejects.toMatchObject({ code: 'STORE_LOCKED', details: { directory } })
    const isOver = new Promise((resolve) => child.once('close', resolve))
    child.stdout.resume()
    child.kill('SIGKILL')
    await isOver
    const store = await open(directory)
    await store.close()
  }, 30_000)

  test('names both formats when another version wrote it, and changes nothing', async () => {
    await (await open(newDirectory())).close()
    const format = join(directory, 'FORMAT')
    for (const version of [0, 2, 17]) {
      const body = readFileSync(format, 'latin1')
        .slice(0, -9)
        .replace(/disk [0-9]+/, `disk ${version}`)
      writeFileSync(format, `${body}${crc32(body).toString(16).padStart(8, '0')}\n`)
      const written = readFileSync(format)
      await expect(open(directory)).rejects.toMatchObject({
        code: 'STORE_FORMAT',
        details: { found: version, expected: 1 },
        message: expect.stringMatching(new RegExp(`format ${version} .* format 1`)),
      })
      expect(readFileSync(format).equals(written)).toBe(true)
    }
  })

  test('is refused when it holds something else, and left as it is', async () => {
    writeFileSync(join(newDirectory(), 'thesis.txt'), 'Chapter 1')
    await rejectsWith(open(directory), 'FILE_UNREADABLE')
    expect(readdirSync(directory)).toEqual(['thesis.txt'])
  })

  test('is refused when it is a file', async () => {
    const path = join(newDirectory(), 'file')
    writeFileSync(path, '')
    await rejectsWith(open(path), 'FILE_UNREADABLE')
    await rejectsWith(open(join(path, 'below')), 'FILE_UNREADABLE')
  })

  test('names the directory when permission is missing', async () => {
    const parent = join(newDirectory(), 'data')
    mkdirSync(parent)
    chmodSync(parent, 0o500)
    // Of all files only the kernel's own are forbidden to root.
    const path = process.getuid?.() === 0 ? '/sys/membrane' : join(parent, 'other')
    await expect(open(path)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining(path),
    })
  })

  test.each(['EACCES', 'EROFS', 'EPERM'])('says what to do about %s, at opening and at a put', async (code) => {
    const refuse = (): never => {
      throw Object.assign(new Error(code), { code })
    }
    const files = new UnsyncedFiles()
    const store = await openSimulated(files)
    const openFile = files.open.bind(files)
    files.open = (path, mode) => (mode === 'create' ? refuse() : openFile(path, mode))
    const expected = { code: 'FILE_UNREADABLE', message: expect.stringContaining(code), remedy: expect.any(String) }
    await expect(store.put(fragmentOf('a', bytesOf(10)))).rejects.toMatchObject(expected)
    files.open = refuse
    await expect(openSimulated(files)).rejects.toMatchObject({
      ...expected,
      message: expect.stringContaining(files.root),
    })
  })
})
