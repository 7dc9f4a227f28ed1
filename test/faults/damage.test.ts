import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import type { StoredFragment } from '../../src/core/ports.ts'
import { SALT_BYTES } from '../../src/store/record.ts'
import { recordBytes, scanSegment } from '../../src/store/segment-scan.ts'
import { parseSegmentName } from '../../src/store/segment.ts'
import { VerifiedStore } from '../../src/store/verified.ts'
import { bytesOf, fragmentOf, isSameBytes, TEST_HASHERS } from '../contracts/store-fixtures.ts'
import { runs } from '../effort.ts'
import { openSimulated } from './simulated-disk.ts'
import { UnsyncedFiles } from './unsynced-files.ts'

type Put = ReturnType<typeof fragmentOf>

/** By key, what was put under it, the last one last; null: it was removed. */
const histories = new Map<string, (Put | null)[]>()
const healthy = new UnsyncedFiles()

beforeAll(async () => {
  const store = await openSimulated(healthy)
  const put = async (key: string, size: number, seed: number): Promise<void> => {
    const made = fragmentOf(key, bytesOf(size, seed), { head: bytesOf(seed % 60, seed) })
    await store.put(made)
    histories.set(key, [...(histories.get(key) ?? []), made])
  }
  for (let index = 0; index < 24; index++)
    await put(`key-${index}`, [0, 5, 300, 900, 1600, 4000][index % 6] ?? 0, index)
  for (let index = 0; index < 24; index += 4) await put(`key-${index}`, [100, 700, 2000][index % 3] ?? 0, 100 + index)
  for (let index = 1; index < 24; index += 8) {
    await store.remove([`key-${index}`])
    histories.get(`key-${index}`)?.push(null)
  }
  await store.close()
})

/** Only ends what hangs. */
const TIMEOUT_MS = runs(60_000, 3_600_000)

const damages = fc.record({
  kind: fc.constantFrom('flip' as const, 'truncate' as const, 'swap' as const, 'zero' as const),
  file: fc.nat(),
  at: fc.nat(),
  otherAt: fc.nat(),
  bytes: fc.integer({ min: 1, max: 600 }),
  bit: fc.integer({ min: 0, max: 7 }),
  /** Whether what the last close wrote down about all segments is there. */
  hasSnapshot: fc.boolean(),
})
type Damage = typeof damages extends fc.Arbitrary<infer Value> ? Value : never

describe('A damaged data directory', () => {
  test(
    'is served except for what is damaged, which is missing and counted',
    async () => {
      await fc.assert(
        fc.asyncProperty(damages, async (damage) => {
          const { files, damagedFile } = damagedCopy(damage)
          // A shared segment that ends with a whole record has nothing that says what came after it, except the snapshot.
          const isCutBetweenRecords =
            damage.kind === 'truncate' && !damage.hasSnapshot && endsWithRecord(files, damagedFile)
          const disk = await openSimulated(files)
          const store = new VerifiedStore({ store: disk, hashers: TEST_HASHERS, quarantine: null })
          let missing = 0
          for (const [key, history] of histories) {
            const found = await store.get(key)
            expect(found === null || history.some((put) => put !== null && isFound(found, put)), key).toBe(true)
            const last = history.at(-1) ?? null
            if (last !== null && (found === null || !isFound(found, last))) missing += 1
          }
          const { recovery } = disk.diskStats()
          const counted = store.stats().corruptEntries + recovery.droppedRecords + recovery.removedLeftovers
          if (missing > 0 && !isCutBetweenRecords) expect(counted).toBeGreaterThan(0)
          // One byte spoils one record. What is beside the segments spoils none.
          if (damage.kind === 'flip') expect(missing).toBeLessThanOrEqual(1)
          if (!damagedFile.startsWith('segments/')) expect(missing).toBe(0)
          await store.close()
        }),
        { numRuns: runs(300, 20_000) },
      )
    },
    TIMEOUT_MS,
  )

  test(
    'is healed by a scrub: what it finds is missing, and puts go on',
    async () => {
      await fc.assert(
        fc.asyncProperty(damages, async (damage) => {
          const { files } = damagedCopy(damage)
          const store = await openSimulated(files)
          const kept: string[] = []
          const report = await store.scrub({
            quarantine: {
              keep: async ({ key }) => {
                kept.push(key)
              },
              clear: async () => {},
            },
          })
          expect(report.isComplete).toBe(true)
          expect(report.damaged).toEqual(expect.arrayContaining(kept))
          expect(store.stats().corruptEntries).toBeGreaterThanOrEqual(report.damaged.length)
          expect((await store.scrub()).damaged).toEqual([])
          const put = fragmentOf('key-0', bytesOf(500, 9))
          expect(['stored', 'replaced']).toContain(await store.put(put))
          await store.close()
          const again = await openSimulated(files)
          expect(isFound(await again.get('key-0'), put)).toBe(true)
          expect((await again.scrub()).damaged).toEqual([])
          await again.close()
        }),
        { numRuns: runs(60, 2000) },
      )
    },
    TIMEOUT_MS,
  )
})

function damagedCopy({ kind, file, at, otherAt, bytes, bit, hasSnapshot }: Damage): {
  readonly files: UnsyncedFiles
  readonly damagedFile: string
} {
  const names = [...healthy.contents().keys()].filter((name) => hasSnapshot || name !== 'snapshot').sort()
  const damagedFile = names[file % names.length] ?? ''
  const files = healthy.copy((name, content) => {
    if (name !== damagedFile || content.length === 0) return content
    const start = at % content.length
    if (kind === 'truncate') return content.subarray(0, start)
    if (kind === 'zero') content.fill(0, start, start + bytes)
    else if (kind === 'flip') content[start] = (content[start] ?? 0) ^ (1 << bit)
    else {
      const other = otherAt % content.length
      const part = content.slice(start, start + bytes)
      content.set(
        content.slice(other, other + Math.min(part.length, content.length - other)),
        Math.min(start, content.length),
      )
      content.set(part.subarray(0, content.length - other), other)
    }
    return content
  })
  if (!hasSnapshot) files.unlink('snapshot')
  return { files, damagedFile }
}

/** Whether a file is a segment and a row of whole records. */
function endsWithRecord(files: UnsyncedFiles, path: string): boolean {
  const segment = parseSegmentName(path.replace('segments/', ''))?.id
  const whole = healthy.contents().get(path)
  if (segment === undefined || whole === undefined) return false
  const file = files.open(path, 'write')
  const salt = whole.subarray(0, SALT_BYTES)
  let end = 0
  for (const scanned of scanSegment(file, { segment, salt, start: 0, end: null })) {
    if (scanned.kind === 'gap') return false
    end = scanned.offset + recordBytes(scanned)
  }
  return end === file.size()
}

function isFound(found: StoredFragment | null, put: Put): boolean {
  return found !== null && isSameBytes(found.payload, put.payload) && isSameBytes(found.head, put.head)
}
