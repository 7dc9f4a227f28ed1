import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { Span } from '../core/fragment.ts'
import type { ModelFingerprint, TenantId } from '../core/ids.ts'
import { PositionalIndex, type Sequence } from './positional.ts'

const ALL = 1_000_000
const SEQUENCE: Sequence = { tenant: 'a' as TenantId, model: 'f0' as ModelFingerprint, sequence: 'one' }
const OTHERS: readonly Sequence[] = [
  { ...SEQUENCE, tenant: 'b' as TenantId },
  { ...SEQUENCE, model: 'f1' as ModelFingerprint },
  { ...SEQUENCE, sequence: 'two' },
]
/** Lengths from none to most of the sequence, so that spans nest, touch and coincide. */
const SPAN = fc
  .record({ start: fc.nat({ max: 60 }), tokens: fc.oneof(fc.nat({ max: 4 }), fc.nat({ max: 60 })) })
  .map(({ start, tokens }): Span => ({ start, end: start + tokens }))
const OPERATIONS = fc.array(
  fc.record({ kind: fc.constantFrom('insert', 'insert', 'remove'), span: SPAN, chosen: fc.nat() }),
  { maxLength: 120 },
)

function newIndex(spansMax = ALL): PositionalIndex {
  return new PositionalIndex({ spansMax, seed: 1 })
}

describe('the positional index', () => {
  test('answers as a look through all spans does, whatever was inserted and removed', () => {
    const property = fc.property(
      OPERATIONS,
      SPAN,
      fc.nat({ max: 10 }),
      fc.nat({ max: 5 }),
      (operations, asked, gap, limit) => {
        const index = newIndex()
        const present: (Span & { readonly fragment: number })[] = []
        let next = 0
        for (const { kind, span, chosen } of operations) {
          const victim = kind === 'remove' ? present[chosen % present.length] : undefined
          if (victim !== undefined) {
            expect(index.remove(SEQUENCE, victim, victim.fragment)).toBe(true)
            expect(index.remove(SEQUENCE, victim, victim.fragment)).toBe(false)
            present.splice(present.indexOf(victim), 1)
          } else {
            index.insert(SEQUENCE, span, next)
            present.push({ ...span, fragment: next++ })
          }
        }
        present.sort((a, b) => a.start - b.start || a.end - b.end || a.fragment - b.fragment)
        const isOver = ({ start, end }: Span): boolean => Math.max(start, asked.start) < Math.min(end, asked.end)
        const overlapping = present.filter(isOver).map((span) => span.fragment)
        const before = present.filter(({ end }) => asked.start - end >= 0 && asked.start - end <= gap)
        const after = present.filter(({ start }) => start - asked.end >= 0 && start - asked.end <= gap)
        before.sort((a, b) => b.end - a.end || b.start - a.start || a.fragment - b.fragment)
        const numbers = (spans: typeof present): number[] => spans.map((span) => span.fragment)

        expect(index.spans).toBe(present.length)
        expect(index.overlapping(SEQUENCE, asked, ALL)).toEqual(overlapping)
        expect(index.overlapping(SEQUENCE, asked, limit)).toEqual(overlapping.slice(0, limit))
        expect(index.at(SEQUENCE, asked.start, ALL)).toEqual(
          numbers(present.filter(({ start, end }) => start <= asked.start && asked.start < end)),
        )
        expect(index.adjacent(SEQUENCE, asked, { gapTokensMax: gap, limit })).toEqual({
          before: numbers(before).slice(0, limit),
          after: numbers(after).slice(0, limit),
        })
      },
    )
    fc.assert(property, { numRuns: runs(300) })
  })

  test("keeps a tenant's, a model's and a sequence's positions apart", () => {
    const index = newIndex()
    index.insert(SEQUENCE, { start: 0, end: 16 }, 1)
    for (const [other, sequence] of OTHERS.entries()) {
      expect(index.overlapping(sequence, { start: 0, end: 16 }, ALL)).toEqual([])
      expect(index.remove(sequence, { start: 0, end: 16 }, 1)).toBe(false)
      index.insert(sequence, { start: 0, end: 16 }, 10 + other)
      expect(index.at(sequence, 3, ALL)).toEqual([10 + other])
    }
    expect(index.at(SEQUENCE, 3, ALL)).toEqual([1])
  })

  test('forgets a sequence with its last span', () => {
    const index = newIndex()
    for (const sequence of [SEQUENCE, ...OTHERS]) index.insert(sequence, { start: 4, end: 8 }, 1)
    expect(index.sequences).toBe(4)
    for (const sequence of [SEQUENCE, ...OTHERS]) index.remove(sequence, { start: 4, end: 8 }, 1)
    expect([index.sequences, index.spans]).toEqual([0, 0])
  })

  test('holds 100,000 spans in order, of which it finds the few that overlap', () => {
    const index = newIndex()
    for (let fragment = 0; fragment < 100_000; fragment++)
      index.insert(SEQUENCE, { start: 16 * fragment, end: 16 * fragment + 16 }, fragment)
    expect(index.overlapping(SEQUENCE, { start: 800_001, end: 800_033 }, ALL)).toEqual([50_000, 50_001, 50_002])
  })

  test('refuses a span above its bound, and one that is none', () => {
    const index = newIndex(1)
    expect(() => index.insert(SEQUENCE, { start: 3, end: 2 }, 1)).toThrow('found [3, 2)')
    expect(() => index.insert(SEQUENCE, { start: 0, end: 1.5 }, 1)).toThrow('found [0, 1.5)')
    expect(() => index.insert(SEQUENCE, { start: -1, end: 2 }, 1)).toThrow('found [-1, 2)')
    expect(() => index.insert(SEQUENCE, { start: 0, end: 2 ** 31 }, 1)).toThrow('found [0, 2147483648)')
    index.insert(SEQUENCE, { start: 0, end: 2 ** 31 - 1 }, 1)
    expect(() => index.insert(SEQUENCE, { start: 0, end: 1 }, 2)).toThrow('at most 1 spans')
    expect(index.at(SEQUENCE, 0, ALL)).toEqual([1])
  })
})
