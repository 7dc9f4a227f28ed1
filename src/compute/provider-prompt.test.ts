import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { PromptSegment } from '../core/compute.ts'
import {
  orderPrompt,
  placeBreakpoints,
  type PromptBlock,
  promptBlocks,
  type PromptRun,
  runText,
} from './provider-prompt.ts'

const LASTS = ['always', 'session', 'once'] as const
const ROLES = ['system', 'user', 'assistant'] as const

const role = fc.constantFrom(...ROLES)
const text = fc.string({ maxLength: 3 })
const segment: fc.Arbitrary<PromptSegment> = fc.record({ role, text, lasts: fc.constantFrom(...LASTS) })
const segments = fc.array(segment, { maxLength: 20 })

/** Stretches of one role. */
function stretches(list: readonly PromptSegment[]): readonly (readonly PromptSegment[])[] {
  const found: PromptSegment[][] = []
  for (const item of list) {
    if (found.at(-1)?.[0]?.role === item.role) found.at(-1)?.push(item)
    else found.push([item])
  }
  return found
}

function flat(ordered: readonly PromptRun[]): readonly PromptSegment[] {
  return ordered.flatMap((run) => run.segments)
}

describe('orderPrompt', () => {
  test('puts what lasts longer first, within a role, and leaves turns where they are', () => {
    const ordered = orderPrompt([
      { role: 'system', text: 'today', lasts: 'once' },
      { role: 'system', text: 'rules', lasts: 'always' },
      { role: 'user', text: 'question', lasts: 'session' },
      { role: 'assistant', text: 'well, ', lasts: 'once' },
      { role: 'assistant', text: 'answer', lasts: 'always' },
      { role: 'user', text: 'next', lasts: 'once' },
      { role: 'user', text: 'document', lasts: 'session' },
    ])
    expect(ordered.map((run) => [run.role, ...run.segments.map((one) => one.text)])).toEqual([
      ['system', 'rules', 'today'],
      ['user', 'question'],
      ['assistant', 'well, ', 'answer'],
      ['user', 'document', 'next'],
    ])
  })

  test('permutes within runs only, keeps the order of equals, and orders a prompt that is in order as it is', () => {
    fc.assert(
      fc.property(segments, (list) => {
        const withText = list.filter((one) => one.text !== '')
        const before = stretches(withText)
        const after = orderPrompt(list)
        expect(after.map((run) => run.role)).toEqual(before.map(([first]) => first?.role))
        for (const [index, run] of after.entries()) {
          const original = before[index] ?? []
          for (const lasts of LASTS) {
            const same = (one: PromptSegment): boolean => one.lasts === lasts
            // The very objects, in their order.
            expect(run.segments.filter(same)).toEqual(original.filter(same))
          }
          expect(run.segments.length).toBe(original.length)
          if (run.role === 'assistant') expect(run.segments).toEqual(original)
          else {
            const ranks = run.segments.map((one) => LASTS.indexOf(one.lasts))
            expect(ranks).toEqual(ranks.toSorted((a, b) => a - b))
          }
        }
        expect(flat(orderPrompt(flat(after)))).toEqual(flat(after))
      }),
      { numRuns: runs(200) },
    )
  })

  test('never makes shorter what two prompts of a session share', () => {
    // Runs of alternating roles; what lasts is the same in both prompts, what is said once stands anywhere between, and
    // says nothing that lasts: [lasting A, B, A] and [A, B, lasting A] read alike until they are ordered.
    const lasting = fc.array(
      fc.record({ text: fc.constantFrom('A', 'B', 'CC'), lasts: fc.constantFrom('always', 'session') }),
      { maxLength: 4 },
    )
    const once = fc.array(fc.tuple(fc.nat({ max: 4 }), fc.constantFrom('a', 'b', 'cc')), { maxLength: 3 })
    // Of the same runs: one that is empty in one of the prompts would let its neighbours join there.
    const run = fc
      .tuple(lasting, once, once)
      .filter(([kept, a, b]) => kept.length > 0 || (a.length > 0 && b.length > 0))
    fc.assert(
      fc.property(fc.array(run, { maxLength: 4 }), (list) => {
        const prompt = (which: 1 | 2): readonly PromptSegment[] =>
          list.flatMap((parts, index) => {
            const runRole = ROLES[index % 2] ?? 'user'
            const mixed: PromptSegment[] = parts[0].map((one) => ({
              ...one,
              lasts: one.lasts as 'always',
              role: runRole,
            }))
            for (const [at, said] of parts[which]) mixed.splice(at, 0, { role: runRole, text: said, lasts: 'once' })
            return mixed
          })
        const [a, b] = [prompt(1), prompt(2)]
        const ordered = sharedCharacters(flat(orderPrompt(a)), flat(orderPrompt(b)))
        expect(ordered).toBeGreaterThanOrEqual(sharedCharacters(a, b))
      }),
      { numRuns: runs(500) },
    )
  })
})

/** Of the leading segments that are equal. */
function sharedCharacters(a: readonly PromptSegment[], b: readonly PromptSegment[]): number {
  let characters = 0
  for (const [index, one] of a.entries()) {
    const other = b[index]
    if (other?.role !== one.role || other.text !== one.text) break
    characters += one.text.length
  }
  return characters
}

describe('promptBlocks', () => {
  test('joins what lasts equally long, and says how long the prefix lasts, not the block', () => {
    const ordered = orderPrompt([
      { role: 'system', text: 'a', lasts: 'always' },
      { role: 'system', text: 'b', lasts: 'always' },
      { role: 'system', text: 'c', lasts: 'session' },
      { role: 'user', text: 'd', lasts: 'always' },
      { role: 'user', text: 'e', lasts: 'once' },
      { role: 'assistant', text: 'f', lasts: 'session' },
    ])
    expect(promptBlocks(ordered)).toEqual([
      [
        { role: 'system', text: 'ab', prefixLasts: 'always' },
        { role: 'system', text: 'c', prefixLasts: 'session' },
      ],
      [
        { role: 'user', text: 'd', prefixLasts: 'session' },
        { role: 'user', text: 'e', prefixLasts: 'once' },
      ],
      [{ role: 'assistant', text: 'f', prefixLasts: 'once' }],
    ])
  })

  test('keeps the text of every run', () => {
    fc.assert(
      fc.property(segments, (list) => {
        const ordered = orderPrompt(list)
        const blocks = promptBlocks(ordered).map((run) => run.map((block) => block.text).join(''))
        expect(blocks).toEqual(ordered.map(runText))
      }),
      { numRuns: runs(100) },
    )
  })
})

describe('placeBreakpoints', () => {
  const OPTIONS = { breakpointsMax: 4, lookBackBlocks: 20, charactersMin: 10 } as const
  const block = (prefixLasts: PromptBlock['prefixLasts'], characters = 100): PromptBlock => ({
    role: 'user',
    text: 'x'.repeat(characters),
    prefixLasts,
  })

  test('sets them where prefixes end that will be asked for again', () => {
    expect(placeBreakpoints([block('always'), block('session'), block('session'), block('once')], OPTIONS)).toEqual([
      { block: 0, lasts: 'always' },
      { block: 2, lasts: 'session' },
    ])
    expect(placeBreakpoints([block('once'), block('once')], OPTIONS)).toEqual([])
  })

  test('spends none on a few characters', () => {
    expect(placeBreakpoints([block('always', 9), block('session')], OPTIONS)).toEqual([{ block: 1, lasts: 'session' }])
    expect(placeBreakpoints([block('always'), block('session', 9)], OPTIONS)).toEqual([{ block: 0, lasts: 'always' }])
  })

  test('sets some before the end of a long session, as far apart as the service looks back', () => {
    const long = [block('always'), ...Array.from({ length: 50 }, () => block('session')), block('once')]
    expect(placeBreakpoints(long, OPTIONS)).toEqual([
      { block: 0, lasts: 'always' },
      { block: 10, lasts: 'session' },
      { block: 30, lasts: 'session' },
      { block: 50, lasts: 'session' },
    ])
  })

  test('sets few, in order, those that last always first, and none after what is said once', () => {
    const lists = fc.array(fc.record({ lasts: fc.nat({ max: 2 }), characters: fc.integer({ min: 1, max: 40 }) }), {
      maxLength: 120,
    })
    fc.assert(
      fc.property(lists, (list) => {
        const ranks = list.map(({ lasts }) => lasts).toSorted((a, b) => a - b)
        const blocks = list.map(({ characters }, index) => block(LASTS[ranks[index] ?? 2] ?? 'once', characters))
        const placed = placeBreakpoints(blocks, OPTIONS)
        expect(placed.length).toBeLessThanOrEqual(4)
        expect(placed.map((one) => one.block)).toEqual(
          [...new Set(placed.map((one) => one.block))].toSorted((a, b) => a - b),
        )
        expect(placed.map((one) => one.lasts)).toEqual(placed.map((one) => one.lasts).toSorted())
        for (const one of placed) expect(blocks[one.block]?.prefixLasts).toBe(one.lasts)
      }),
      { numRuns: runs(200) },
    )
  })
})
