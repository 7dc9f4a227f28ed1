import { describe, expect, test } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { BLOCK_NAME_BYTES } from './block-directory.ts'
import { BUCKETS, NameTable } from './name-table.ts'

/** A name for a number: buckets by its lowest byte. */
function names(...numbers: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(BLOCK_NAME_BYTES * numbers.length)
  const view = new DataView(bytes.buffer)
  for (const [index, number] of numbers.entries()) {
    view.setUint32(16 * index, number, true)
    view.setUint32(16 * index + 8, Math.imul(number, 0x9e3779b1) >>> 0, true)
    view.setUint32(16 * index + 12, Math.imul(number, 0x85ebca6b) >>> 0, true)
  }
  return bytes
}

describe('a table of names', () => {
  test('does what a map of counts does, through thousands of changes', () => {
    const random = seededRandom(7)
    const table = new NameTable()
    const counts = new Map<number, number>()
    for (let step = 0; step < 20_000; step++) {
      const number = Math.floor(3000 * random())
      const before = counts.get(number) ?? 0
      const name = names(number)
      if (random() < 0.55) {
        expect(table.add(name, 0, 2)).toBe(before === 0)
        counts.set(number, before + 1)
      } else {
        const isWhole = random() < 0.3
        expect(table.remove(name, 0, { isWhole })).toBe(before === 1 || (isWhole && before > 0))
        counts.set(number, isWhole ? 0 : Math.max(0, before - 1))
      }
    }
    const held = [...counts].filter(([, count]) => count > 0).map(([number]) => number)
    expect(table.size).toBe(held.length)
    for (let number = 0; number < 3000; number++)
      expect(table.valueAt(names(number), 0)).toBe((counts.get(number) ?? 0) > 0 ? 2 : 0)
    const listed = [...table.pieces(100)].flatMap((piece) => numbersOf(piece))
    expect(listed.toSorted((a, b) => a - b)).toEqual(held.toSorted((a, b) => a - b))
  })

  test('has the digest of its contents, whatever their history', () => {
    const [straight, detour] = [new NameTable(), new NameTable()]
    for (let number = 0; number < 1000; number++) straight.add(names(number), 0, 1)
    for (let number = 1999; number >= 0; number--) detour.add(names(number), 0, 1)
    for (let number = 1000; number < 2000; number++) detour.remove(names(number), 0, { isWhole: true })
    expect(detour.digest).toEqual(straight.digest)
    detour.remove(names(257), 0, { isWhole: true })
    const others = Array.from({ length: BUCKETS }, (_, bucket) => bucket).filter(
      (bucket) => !detour.isBucketAlike(bucket, straight.digest),
    )
    expect(others).toEqual([1])
    expect(numbersOf(straight.bucket(1))).toContain(257)
    expect(numbersOf(detour.bucket(1))).not.toContain(257)
  })

  test('keeps the faster of two tiers', () => {
    const table = new NameTable()
    expect(table.add(names(1), 0, 3)).toBe(true)
    expect(table.add(names(1), 0, 1)).toBe(true)
    expect(table.add(names(1), 0, 2)).toBe(false)
    expect(table.valueAt(names(1), 0)).toBe(1)
  })
})

function numbersOf(piece: Uint8Array): number[] {
  const view = new DataView(piece.buffer, piece.byteOffset, piece.length)
  return Array.from({ length: piece.length / BLOCK_NAME_BYTES }, (_, at) => view.getUint32(16 * at, true))
}
