import { PassThrough, Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteDescription } from '../core/fragment-bytes.ts'
import { MembraneError } from '../core/errors.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from '../server/fabric.ts'
import type { TenantFabric } from '../server/tenant-fabric.ts'
import { MemoryStore } from '../store/memory.ts'
import { bytesOf, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { runs } from '../../test/effort.ts'
import { readArchive } from './archive-read.ts'
import { writeArchive } from './archive-write.ts'

const { hashers } = await loadContentHashers()

async function newFabric(payloadBytesMax = Infinity): Promise<TenantFabric> {
  const clock = new VirtualClock()
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store: new MemoryStore(clock),
    hashers,
    clock,
    seed: 1,
    bound: { payloadBytesMax, entriesMax: 100 },
  })
  return fabric.of(DEFAULT_TENANT)
}

async function put(own: TenantFabric, name: string, payload: Uint8Array): Promise<string> {
  const description = byteDescription('opaque', undefined, { text: `text of ${name}` })
  return (await own.put({ description, payload, foreignKey: new TextEncoder().encode(name) })).key
}

async function archiveOf(own: TenantFabric, keys: readonly string[] | null = null): Promise<Buffer> {
  const target = new PassThrough()
  const [bytes] = await Promise.all([collect(target), writeArchive(own, keys, target)])
  return bytes
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function payloadsOf(own: TenantFabric): Promise<Map<string, string>> {
  const payloads = new Map<string, string>()
  for await (const { key } of own.list()) {
    payloads.set(key, Buffer.from((await own.get(key))?.payload ?? []).toString('hex'))
  }
  return payloads
}

/** Three fragments, two of them with equal bytes, and one without any. */
async function sample(): Promise<{ readonly own: TenantFabric; readonly archive: Buffer }> {
  const own = await newFabric()
  await put(own, 'one', bytesOf(700, 1))
  await put(own, 'two', bytesOf(700, 1))
  await put(own, 'three', bytesOf(90, 3))
  await put(own, 'empty', new Uint8Array(0))
  return { own, archive: await archiveOf(own) }
}

describe('an archive', () => {
  test('brings everything over, equal bytes once', async () => {
    const { own, archive } = await sample()
    const target = await newFabric()
    expect(await readArchive(Readable.from([archive]), target, 0)).toEqual({
      fragments: 4,
      payloadBytes: 790,
      stored: 4,
      present: 0,
      refused: 0,
      expired: 0,
    })
    expect(await payloadsOf(target)).toEqual(await payloadsOf(own))
  })

  test('leaves out what has expired, and what is gone', async () => {
    const { own } = await sample()
    const description = (await own.head('opaque/=one'))?.description ?? expect.unreachable()
    const foreignKey = new TextEncoder().encode('short')
    await own.put({ description, foreignKey, payload: bytesOf(8), expiresAtMs: 9_000_000_000_000 })
    const archive = await archiveOf(own, ['opaque/=short', 'opaque/=gone', 'opaque/=three'])
    const target = await newFabric()
    expect(await readArchive(Readable.from([archive]), target, 9_000_000_000_000)).toMatchObject({
      stored: 1,
      expired: 1,
    })
    expect([...(await payloadsOf(target)).keys()]).toEqual(['opaque/=three'])
  })

  test('brings over bytes that it holds with what has expired since', async () => {
    const own = await newFabric()
    await put(own, 'one', bytesOf(700, 1))
    const description = (await own.head('opaque/=one'))?.description ?? expect.unreachable()
    await own.remove(['opaque/=one'])
    const foreignKey = new TextEncoder().encode('short')
    await own.put({ description, foreignKey, payload: bytesOf(700, 1), expiresAtMs: 9_000_000_000_000 })
    await put(own, 'one', bytesOf(700, 1))
    for (const keys of [null, ['opaque/=short', 'opaque/=one']]) {
      const target = await newFabric()
      const archive = await archiveOf(own, keys)
      const counts = await readArchive(Readable.from([archive]), target, 9_000_000_000_000)
      expect(counts).toMatchObject({ fragments: 2, payloadBytes: 700, stored: 1, expired: 1 })
      expect([...(await payloadsOf(target)).keys()]).toEqual(['opaque/=one'])
    }
  })

  test('counts what a bound keeps out, with all that has the same bytes', async () => {
    const own = await newFabric()
    for (const [name, seed] of [
      ['a', 1],
      ['b', 2],
      ['c', 1],
      ['d', 3],
    ] as const)
      await put(own, name, bytesOf(700, seed))
    const archive = await archiveOf(own)
    // Room for one: the bytes of `a` have left when `c` comes.
    const counts = await readArchive(Readable.from([archive]), await newFabric(700), 0)
    expect(counts).toMatchObject({ fragments: 4, stored: 3, refused: 1 })
  })

  test('whose members would command a terminal is refused without saying them', async () => {
    const { archive } = await sample()
    const name = 'fragments/0.json'
    const evil = 'fragments/\u001b[2Jno'
    const changed = Buffer.from(archive.toString('latin1').replace(name, evil), 'latin1')
    const at = changed.indexOf(evil)
    // The checksum of a header counts its own place as spaces.
    changed.fill(' ', at + 148, at + 156)
    const sum = changed.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
    changed.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
    const error: unknown = await readArchive(Readable.from([changed]), await newFabric(), 0).catch(
      (error: unknown) => error,
    )
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', message: expect.stringContaining('u001b') as string })
    expect(String(error)).not.toContain('\u001b')
  })

  test('of a newer format is refused by name', async () => {
    const { archive } = await sample()
    // The manifest is the first member; its length stays.
    const newer = Buffer.from(archive.toString('latin1').replace('"format":1', '"format":7'), 'latin1')
    await expect(readArchive(Readable.from([newer]), await newFabric(), 0)).rejects.toMatchObject({
      code: 'STORE_FORMAT',
      message: expect.stringContaining('format 7') as string,
    })
  })

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('no tar at all, but long enough to be a header '.repeat(30))],
    ['an empty tar', Buffer.alloc(1024)],
  ])('that is %s is refused', async (_, bytes) => {
    await expect(readArchive(Readable.from([bytes]), await newFabric(), 0)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
  })

  test('that was changed anywhere never brings in other bytes, and fails only with an error of ours', async () => {
    const { own, archive } = await sample()
    const right = await payloadsOf(own)
    const contents = new Set(right.values())
    const change = fc.oneof(
      fc.record({ kind: fc.constant('flip'), at: fc.nat(archive.length - 1), to: fc.integer({ min: 1, max: 255 }) }),
      fc.record({ kind: fc.constant('cut'), at: fc.nat(archive.length - 1), to: fc.constant(0) }),
      fc.record({
        kind: fc.constant('swap'),
        at: fc.nat(archive.length / 512 - 1),
        to: fc.nat(archive.length / 512 - 1),
      }),
      fc.record({
        kind: fc.constant('drop'),
        at: fc.nat(archive.length / 512 - 1),
        to: fc.integer({ min: 1, max: 4 }),
      }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const target = await newFabric()
        const changed = changes.reduce(apply, Buffer.from(archive))
        const error = await readArchive(Readable.from([changed]), target, 0).then(
          () => null,
          (error: unknown) => error,
        )
        if (error !== null) expect(error).toBeInstanceOf(MembraneError)
        for (const payload of (await payloadsOf(target)).values()) expect(contents.has(payload)).toBe(true)
      }),
      { numRuns: runs(300, 20_000) },
    )
  })
})

function apply(
  bytes: Buffer,
  { kind, at, to }: { readonly kind: string; readonly at: number; readonly to: number },
): Buffer {
  if (at >= bytes.length) return bytes
  if (kind === 'cut') return bytes.subarray(0, at)
  const block = (index: number): Buffer => Buffer.from(bytes.subarray(512 * index, 512 * (index + 1)))
  if (kind === 'flip') {
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] ?? 0) ^ to
    return flipped
  }
  if (kind === 'drop') return Buffer.concat([bytes.subarray(0, 512 * at), bytes.subarray(512 * (at + to))])
  const swapped = Buffer.from(bytes)
  const [a, b] = [block(at), block(to)]
  swapped.set(b, Math.min(512 * at, bytes.length - b.length))
  swapped.set(a, Math.min(512 * to, bytes.length - a.length))
  return swapped
}
