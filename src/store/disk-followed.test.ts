import { describe, expect, test } from 'vitest'
import {
  bytesOf,
  expectFragment,
  fragmentOf,
  isSameBytes,
  rejectsWith,
  TEST_HASHERS,
} from '../../test/contracts/store-fixtures.ts'
import { openSimulated } from '../../test/faults/simulated-disk.ts'
import { UnsyncedFiles } from '../../test/faults/unsynced-files.ts'
import type { StoreFile } from './files.ts'
import { VerifiedStore } from './verified.ts'

const MB = 2 ** 20

/** A disk whose later reads are answered by `read`, which is told how many there were. */
async function opened() {
  const files = new UnsyncedFiles()
  const reads = {
    count: 0,
    fail: (_count: number): void => {},
    change: (_count: number, _piece: Uint8Array): void => {},
  }
  const open = files.open.bind(files)
  files.open = (path, mode): StoreFile => {
    const file = open(path, mode)
    return {
      ...file,
      readLater: async (targets, position) => {
        const count = reads.count++
        await Promise.resolve()
        reads.fail(count)
        const bytes = await file.readLater(targets, position)
        reads.change(count, targets.at(-1) ?? expect.unreachable())
        return bytes
      },
    }
  }
  const disk = await openSimulated(files)
  return { reads, disk, verified: new VerifiedStore({ store: disk, hashers: TEST_HASHERS, quarantine: null }) }
}

describe('a large payload that is followed while it is read', () => {
  test.each([MB + 1, 1.5 * MB, 3 * MB, 3 * MB + 17])('comes in order, each byte once: %i bytes', async (bytes) => {
    const { disk, verified } = await opened()
    const put = fragmentOf('k', bytesOf(bytes, 3))
    await disk.put(put)
    const pieces: Uint8Array[] = []
    let told = ''
    const follow = ({ contentHash }: { readonly contentHash: string }) => {
      told = contentHash
      return (piece: Uint8Array) => void pieces.push(piece.slice())
    }
    expectFragment(await disk.get('k', { follow }), put)
    expect(told).toBe(put.contentHash)
    expect(isSameBytes(Buffer.concat(pieces), put.payload)).toBe(true)
    expect(pieces.length).toBeGreaterThan(1)
    const into = new Uint8Array(bytes)
    expect((await verified.get('k', { into }))?.payload.buffer).toBe(into.buffer)
    expect(isSameBytes(into, put.payload)).toBe(true)
    expectFragment(await verified.get('k', { span: { start: 0, end: bytes } }), put)
  })

  test.each([0, 1, 3, 5])('is a miss when piece %i of six has another byte', async (index) => {
    const { reads, disk, verified } = await opened()
    await disk.put(fragmentOf('k', bytesOf(3 * MB, 4)))
    reads.change = (count, piece) => {
      if (count === index) piece[7] = (piece[7] ?? 0) ^ 1
    }
    expect(await verified.get('k')).toBeNull()
    expect(verified.stats().corruptEntries).toBe(1)
  })

  test('is a miss when the device cannot read some of it, and an error when something else fails', async () => {
    const { reads, disk, verified } = await opened()
    await disk.put(fragmentOf('k', bytesOf(3 * MB, 5)))
    // One after the other and all at once: a failure behind the one that is waited for is nobody's surprise.
    for (const isFailing of [(count: number) => count === 2, (count: number) => count > 1]) {
      reads.count = 0
      reads.fail = (count) => {
        if (isFailing(count)) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
      }
      expect(await verified.get('k')).toBeNull()
      reads.fail = () => {}
      await disk.put(fragmentOf('k', bytesOf(3 * MB, 5)))
    }
    reads.count = 0
    reads.fail = (count) => {
      if (count > 0) throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
    }
    await rejectsWith(verified.get('k'), 'FILE_UNREADABLE')
  })
})
