import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesOf, TEST_HASHERS } from '../../test/contracts/store-fixtures.ts'
import { runs } from '../../test/effort.ts'
import { UnsyncedFiles } from '../../test/faults/unsynced-files.ts'
import { type DiskEntry, DiskIndex } from './disk-index.ts'
import { readSnapshot, writeSnapshot } from './disk-snapshot.ts'
import { replaceWhole } from './files.ts'

const SALT = bytesOf(8, 3)

async function written(entries: ReadonlyMap<string, DiskEntry>): Promise<UnsyncedFiles> {
  const files = new UnsyncedFiles()
  const index = new DiskIndex()
  for (const [key, entry] of entries) index.set(key, entry)
  const segment = { id: 7, isOwn: false, bytes: 900, liveBytes: 1, killBytes: 0, isSealed: true, isCondemned: false }
  const segments = [
    { ...segment, killers: new Map([[9, 88]]) },
    { ...segment, id: 8, isOwn: true, killers: new Map() },
  ]
  await writeSnapshot(files, TEST_HASHERS.b3, { salt: SALT, nextSegment: 12, lastSequence: 345, segments, index })
  return files
}

const entries = fc.dictionary(
  fc.string({ minLength: 1, unit: 'grapheme' }),
  fc.record({
    sequence: fc.nat(),
    segment: fc.nat(),
    offset: fc.nat(),
    metaBytes: fc.nat(),
    payloadBytes: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    expiresAtMs: fc.option(fc.nat()),
  }),
)

describe('A snapshot', () => {
  test('says what it was told', async () => {
    await fc.assert(
      fc.asyncProperty(entries, async (dictionary) => {
        const expected = new Map(Object.entries(dictionary))
        const snapshot = readSnapshot(await written(expected), TEST_HASHERS.b3, SALT)
        if (typeof snapshot === 'string') throw new Error(`The snapshot is ${snapshot}.`)
        expect(snapshot).toMatchObject({ nextSegment: 12, lastSequence: 345, entries: expected.size })
        expect(snapshot.segments.get(7)).toEqual({ id: 7, isOwn: false, bytes: 900, killers: new Map([[9, 88]]) })
        expect(snapshot.segments.get(8)?.isOwn).toBe(true)
        const found = new Map<string, DiskEntry>()
        snapshot.forEach((key, entry) => found.set(key, entry))
        expect(found).toEqual(expected)
      }),
    )
  })

  test('counts as damaged when it is anything else', async () => {
    const files = await written(new Map())
    const whole = files.contents().get('snapshot') ?? expect.unreachable()
    expect(readSnapshot(files, TEST_HASHERS.b3, bytesOf(8, 4))).toBe('damaged')
    expect(readSnapshot(new UnsyncedFiles(), TEST_HASHERS.b3, SALT)).toBe('none')
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.nat(), fc.nat(), async (noise, at, length) => {
        const bytes = whole.slice(0, length % 3 === 0 ? length % whole.length : undefined)
        if (noise.length > 0 && bytes.length > 0)
          bytes.set(noise.slice(0, bytes.length - (at % bytes.length)), at % bytes.length)
        if (Buffer.compare(bytes, whole) === 0) return
        for (const content of [bytes, noise]) {
          await replaceWhole(files, 'snapshot', [content])
          expect(readSnapshot(files, TEST_HASHERS.b3, SALT)).toBe('damaged')
        }
      }),
      { numRuns: runs(200, 20_000) },
    )
  })
})
