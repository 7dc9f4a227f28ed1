import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bytesOf, expectFragment, fragmentOf, TEST_HASHERS } from '../../test/contracts/store-fixtures.ts'
import { openSimulated, SMALL_SEGMENTS } from '../../test/faults/simulated-disk.ts'
import { UnsyncedFiles } from '../../test/faults/unsynced-files.ts'
import { settle, VirtualTimers } from '../../test/faults/virtual-timers.ts'
import { openDiskStore } from './disk.ts'

const HOUR_MS = 3_600_000

describe('DiskStore', () => {
  test('takes at most twice what is live, and two segments, however much comes and goes', async () => {
    const files = new UnsyncedFiles()
    const timers = new VirtualTimers()
    const store = await openSimulated(files, { alarm: timers })
    for (let round = 0; round < 30; round++) {
      // Something in each segment stays.
      await store.put(fragmentOf(`stays-${round}`, bytesOf(100, round)))
      for (let index = 0; index < 12; index++) {
        await store.put(fragmentOf(`key-${(7 * index + round) % 40}`, bytesOf(50 + 40 * index, round)))
      }
      await store.remove([`key-${round}`, `key-${(3 * round) % 40}`])
      // A sync deletes, the next one lets kills go, and so on: a few of them leave only what compaction leaves.
      for (let sync = 0; sync < 6; sync++) {
        await timers.advance(1000, () => false)
        await settle()
      }
      const { liveBytes, deadBytes } = store.diskStats()
      expect(deadBytes).toBeLessThanOrEqual(liveBytes + 2 * SMALL_SEGMENTS.segmentBytesMax)
      expect((await store.scrub()).orphanBytes).toBe(0)
    }
    for (let round = 0; round < 30; round++) {
      expectFragment(await store.get(`stays-${round}`), fragmentOf(`stays-${round}`, bytesOf(100, round)))
    }
    expect(store.diskStats().failedCompactions).toBe(0)
    await store.close()
  })

  test('deletes the file of a large payload when it is removed, and copies nothing', async () => {
    const files = new UnsyncedFiles()
    const store = await openSimulated(files)
    const before = files.usedBytes()
    await store.put(fragmentOf('large', bytesOf(100_000)))
    expect(files.usedBytes()).toBeGreaterThan(before + 100_000)
    await store.remove(['large'])
    await store.sync()
    expect(files.usedBytes()).toBeLessThan(before + 1000)
    await store.close()
  })

  test('leaves not a byte when everything has been removed', async () => {
    const files = new UnsyncedFiles()
    const store = await openSimulated(files)
    const keys = Array.from({ length: 60 }, (_, index) => `key-${index}`)
    for (const [index, key] of keys.entries()) await store.put(fragmentOf(key, bytesOf((index % 9) * 300, index)))
    for (const key of keys.slice(0, 30)) await store.put(fragmentOf(key, bytesOf(77)))
    expect(await store.remove(keys)).toBe(60)
    await store.compact()
    expect(store.diskStats()).toMatchObject({ entries: 0, segments: 0, liveBytes: 0, deadBytes: 0 })
    expect([...files.contents().keys()].filter((name) => name.startsWith('segments/'))).toEqual([])
    await store.close()
  })

  test('frees what has expired, though nobody asks for it', async () => {
    const files = new UnsyncedFiles()
    const timers = new VirtualTimers()
    const store = await openSimulated(files, { alarm: timers })
    await store.put(fragmentOf('large', bytesOf(100_000), { expiresAtMs: timers.nowMs() + HOUR_MS }))
    await timers.advance(HOUR_MS + 20_000, () => false)
    await timers.advance(5000, () => false)
    expect(store.stats().entries).toBe(0)
    expect([...files.contents().values()].every((bytes) => bytes.length < 100_000)).toBe(true)
    await store.close()
  })

  test('goes on reading a stream whose segment is compacted and deleted meanwhile', async () => {
    const files = new UnsyncedFiles()
    const store = await openSimulated(files, { ownSegmentBytesMin: 5_000_000, segmentBytesMax: 10_000_000 })
    const put = fragmentOf('k', bytesOf(3_000_000, 1))
    await store.put(fragmentOf('dead', bytesOf(100)))
    await store.put(put)
    await store.remove(['dead'])
    const chunks: Uint8Array[] = []
    for await (const chunk of (await store.stream('k'))?.chunks ?? []) {
      chunks.push(chunk.slice())
      if (chunks.length === 1) await store.compact()
      if (chunks.length === 2) await store.remove(['k'])
    }
    expect(Buffer.compare(Buffer.concat(chunks), put.payload)).toBe(0)
    await store.close()
  })

  test('lets timers run between calls that never wait', async () => {
    const store = await openSimulated(new UnsyncedFiles())
    let hasRung = false
    setImmediate(() => {
      hasRung = true
    })
    for (let count = 0; count < 100; count++) await store.put(fragmentOf('k', bytesOf(10, count)))
    expect(hasRung).toBe(true)
    await store.close()
  })
})

describe('Purging', () => {
  test('leaves no byte of payloads, heads and keys that were removed in any file, whatever had become of them', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'membrane-purge-'))
    const options = { ...SMALL_SEGMENTS, directory, hashers: TEST_HASHERS }
    let store = await openDiskStore(options)
    const secret = (text: string, size: number) => {
      const payload = Buffer.alloc(size, `payload of ${text}, `)
      return fragmentOf(`key of ${text}`, payload, { head: Buffer.from(`head of ${text}`) })
    }
    const kept = Array.from({ length: 30 }, (_, index) => fragmentOf(`kept-${index}`, bytesOf(300, index)))
    const secrets = ['large', 'small', 'replaced', 'removed', 'closed over']
    for (const [index, put] of kept.entries()) {
      await store.put(put)
      if (index === 5) await store.put(secret('replaced', 400))
      if (index === 10) await store.put(secret('removed', 400))
      if (index === 15) await store.put(secret('closed over', 500))
    }
    await store.put(secret('large', 10_000))
    await store.put(secret('replaced', 2000))
    await store.remove(['key of removed'])
    await store.close()
    store = await openDiskStore(options)
    await store.put(secret('small', 700))
    expect(filesWith(directory, 'small').length).toBeGreaterThan(0)
    expect(filesWith(directory, 'closed over').length).toBeGreaterThan(1)
    expect(await store.remove([...secrets.map((text) => `key of ${text}`), 'key of nothing'])).toBe(4)
    await store.purge()
    for (const text of secrets) expect(filesWith(directory, text), text).toEqual([])
    for (const put of kept) expectFragment(await store.get(put.key), put)
    await store.close()
    for (const text of secrets) expect(filesWith(directory, text), text).toEqual([])
    store = await openDiskStore(options)
    for (const put of kept) expectFragment(await store.get(put.key), put)
    expect(store.stats().entries).toBe(kept.length)
    await store.close()
    rmSync(directory, { recursive: true })
  })
})

function filesWith(directory: string, text: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => {
    const path = join(directory, name)
    // Opening and closing it would give the lock away.
    if (name === 'LOCK' || statSync(path).isDirectory()) return false
    return readFileSync(path).includes(`of ${text}`)
  })
}
