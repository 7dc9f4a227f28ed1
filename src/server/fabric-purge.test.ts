import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseTenantId } from '../core/ids.ts'
import type { FragmentStore } from '../core/ports.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { openDiskStore } from '../store/disk.ts'
import { MemoryStore } from '../store/memory.ts'
import { BYTES } from '../../test/contracts/fabric-fixtures.ts'
import { bytesOf, HOUR_MS, toArray, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from './fabric.ts'

const ANN = parseTenantId('ann')
const { hashers } = await loadContentHashers()

/** A fabric that holds `kept` for good and `secret` for an hour, when the hour is over. */
async function expiredIn(store: FragmentStore, clock: VirtualClock, secret: Uint8Array): Promise<Fabric> {
  const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, clock, hashers, seed: 1 })
  const own = fabric.of(ANN)
  const expiresAtMs = clock.nowMs() + HOUR_MS
  await own.put({ description: BYTES, payload: bytesOf(50, 1) })
  await own.put({ description: { ...BYTES, text: 'secret' }, payload: secret, expiresAtMs })
  clock.advance(HOUR_MS)
  return fabric
}

describe('a fabric', () => {
  test.each([
    ['purged', (fabric: Fabric) => fabric.purge(), 1],
    ['rid of a tenant', (fabric: Fabric) => fabric.erase(ANN), 0],
  ] as const)('has nothing of what expired when it is %s', async (_, act, kept) => {
    const clock = new VirtualClock()
    const store = new MemoryStore(clock)
    const fabric = await expiredIn(store, clock, bytesOf(100, 2))
    await act(fabric)
    expect((await toArray(store.list())).map(({ key }) => key.slice(0, 2))).toEqual(['b/', 'r/'].slice(0, 2 * kept))
    expect(fabric.stats()).toMatchObject({ fragments: kept, contentBytes: 50 * kept, expirations: 1 })
    expect([...fabric.indices.fragments()]).toHaveLength(kept)
  })

  test('has no byte of what expired in any file when it is purged', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'membrane-purge-'))
    const clock = new VirtualClock()
    const store = await openDiskStore({ directory, hashers, clock })
    const secret = Buffer.alloc(5000, 'a secret of five thousand bytes ')
    const fabric = await expiredIn(store, clock, secret)
    expect(filesWith(directory, secret.subarray(0, 32))).not.toEqual([])
    await fabric.purge()
    expect(filesWith(directory, secret.subarray(0, 32))).toEqual([])
    await fabric.close()
    rmSync(directory, { recursive: true })
  })
})

function filesWith(directory: string, bytes: Buffer): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => {
    const path = join(directory, name)
    // Opening and closing it would give the lock away.
    if (name === 'LOCK' || statSync(path).isDirectory()) return false
    return readFileSync(path).includes(bytes)
  })
}
