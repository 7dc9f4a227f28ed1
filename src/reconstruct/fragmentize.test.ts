import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitraryKvShape, blockOf, kvFragment } from '../../test/arbitrary-tensors.ts'
import { runs } from '../../test/effort.ts'
import { checkFragment } from '../core/fragment-check.ts'
import { parseKv } from '../core/fragment-kv.ts'
import { readSafetensors } from '../core/safetensors.ts'
import { fragmentize, fragmentizeTensors, fragmentSpans } from './fragmentize.ts'
import { mergeFragments } from './merge-fragments.ts'
import { splitFragment } from './split-fragment.ts'

const OPTIONS = { blockTokens: 4, fragmentTokens: 8 }

describe('the spans of fragments', () => {
  it.each([
    [0, 0, [], [0, 0]],
    [0, 3, [], [0, 3]],
    [0, 4, [[0, 4]], [4, 4]],
    [
      0,
      21,
      [
        [0, 8],
        [8, 16],
        [16, 20],
      ],
      [20, 21],
    ],
    [
      4,
      21,
      [
        [4, 8],
        [8, 16],
        [16, 20],
      ],
      [20, 21],
    ],
    [8, 16, [[8, 16]], [16, 16]],
    [12, 14, [], [12, 14]],
  ] as const)('of tokens %i to %i are cut where every prompt is cut', (start, end, spans, leftOver) => {
    expect(fragmentSpans({ start, end }, OPTIONS)).toEqual({
      spans: spans.map(([from, to]) => ({ start: from, end: to })),
      leftOver: { start: leftOver[0], end: leftOver[1] },
    })
  })

  it('cover every token once, together with what is left over', () => {
    const sizes = fc.record({
      blockTokens: fc.integer({ min: 1, max: 9 }),
      blocksOfFragment: fc.integer({ min: 1, max: 5 }),
      firstBlock: fc.nat(20),
      tokens: fc.nat(200),
    })
    fc.assert(
      fc.property(sizes, ({ blockTokens, blocksOfFragment, firstBlock, tokens }) => {
        const fragmentTokens = blockTokens * blocksOfFragment
        const start = firstBlock * blockTokens
        const { spans, leftOver } = fragmentSpans({ start, end: start + tokens }, { blockTokens, fragmentTokens })
        let at = start
        for (const [index, span] of spans.entries()) {
          expect(span.start).toBe(at)
          expect((span.end - span.start) % blockTokens).toBe(0)
          expect(span.end > span.start && span.end - span.start <= fragmentTokens).toBe(true)
          if (index < spans.length - 1) expect(span.end % fragmentTokens).toBe(0)
          at = span.end
        }
        expect(leftOver).toEqual({ start: at, end: start + tokens })
        expect(leftOver.end - leftOver.start).toBeLessThan(blockTokens)
      }),
      { numRuns: runs(200) },
    )
  })

  it.each([
    ['a start within a block', { start: 2, end: 8 }, OPTIONS, 'The first token must be a positive multiple of 4'],
    ['an end before the start', { start: 8, end: 4 }, OPTIONS, 'Tokens must end at 8 or later; found 4.'],
    ['half a block', { start: 0, end: 8 }, { blockTokens: 4, fragmentTokens: 6 }, 'fragmentTokens must be'],
    ['no block', { start: 0, end: 8 }, { blockTokens: 0, fragmentTokens: 6 }, 'blockTokens must be'],
  ])('are refused for %s', (_, tokens, options, message) => {
    expect(() => fragmentSpans(tokens, options)).toThrow(message)
  })
})

const SHAPE = { dtype: 'BF16', layout: 'heads,tokens,dim', blockTokens: 4, headCount: 2, firstHead: null } as const
const WHOLE = kvFragment({
  ...SHAPE,
  blocks: 5,
  firstBlock: 1,
  firstLayer: 0,
  layers: [true],
  kDim: 3,
  vDim: 2,
  seed: 1,
})
const { signature, parent, blocks, sequence } = WHOLE.description

describe('fragments of a prompt', () => {
  it('are chained by their hashes and make sense', () => {
    const { fragments, leftOver } = fragmentize({ signature, parent, blocks, sequence }, OPTIONS)
    expect(leftOver).toEqual({ start: 24, end: 24 })
    expect(fragments.map(({ signature, parent, blocks }) => [signature.tokens.start, parent, blocks.length])).toEqual([
      [4, blockOf(0), 1],
      [8, blockOf(1), 2],
      [16, blockOf(3), 2],
    ])
    for (const fragment of fragments) expect(() => checkFragment(fragment)).not.toThrow()
    expect(fragments.flatMap((fragment) => fragment.blocks)).toEqual(blocks)
  })

  it('need one hash for every whole block', () => {
    const few = { signature, parent, blocks: blocks.slice(1), sequence }
    expect(() => fragmentize(few, OPTIONS)).toThrow('5 block hashes were expected for the whole blocks')
    const many = { signature, parent, blocks: [...blocks, blockOf(9)], sequence }
    expect(() => fragmentize(many, OPTIONS)).toThrow('5 block hashes were expected for the whole blocks')
    expect(() => fragmentize({ signature, parent: null, blocks, sequence }, OPTIONS)).toThrow('parent of a fragment')
  })

  it('hold the numbers of a prefill, up to the tokens that fill no block', () => {
    const sizes = fc.record({
      blocksOfBlock: fc.integer({ min: 1, max: 3 }),
      blocksOfFragment: fc.integer({ min: 1, max: 3 }),
    })
    fc.assert(
      fc.property(arbitraryKvShape, sizes, (shape, { blocksOfBlock, blocksOfFragment }) => {
        const prefill = kvFragment({ ...shape, firstBlock: 0 })
        const { signature } = prefill.description
        const blockTokens = shape.blockTokens * blocksOfBlock
        const count = Math.floor(signature.tokens.end / blockTokens)
        fc.pre(count > 0)
        const blocks = Array.from({ length: count }, (_, index) => blockOf(index))
        const { fragments, leftOver } = fragmentizeTensors(
          { signature, parent: null, blocks, sequence: null },
          readSafetensors(prefill.payload).tensors,
          { blockTokens, fragmentTokens: blockTokens * blocksOfFragment },
        )
        expect(fragments).toHaveLength(Math.ceil(count / blocksOfFragment))
        expect(leftOver).toEqual({ start: count * blockTokens, end: signature.tokens.end })
        const at = leftOver.start < leftOver.end ? [leftOver.start] : []
        const [expected] = splitFragment(prefill, { axis: 'tokens', at })
        expect(mergeFragments(fragments).payload).toEqual(expected?.payload)
      }),
      { numRuns: runs(150) },
    )
  })

  it('are not made of tensors of other tokens', () => {
    const { tensors } = readSafetensors(WHOLE.payload)
    const short = {
      signature: { ...signature, tokens: { start: 4, end: 20 } },
      parent,
      blocks: blocks.slice(1),
      sequence,
    }
    expect(() => fragmentizeTensors(short, tensors, OPTIONS)).toThrow('must have 16 at axis 1; found [2,20,3]')
  })

  it('leave the last tokens of a prefill out', () => {
    const { tensors } = readSafetensors(WHOLE.payload)
    const options = { blockTokens: 8, fragmentTokens: 8 }
    const aligned = { ...signature, tokens: { start: 8, end: 28 } }
    const chain = [blockOf(11), blockOf(12)]
    const { fragments, leftOver } = fragmentizeTensors(
      { signature: aligned, parent: blockOf(10), blocks: chain, sequence },
      tensors,
      options,
    )
    expect(leftOver).toEqual({ start: 24, end: 28 })
    const k = tensors[0]?.data ?? new Uint8Array(0)
    const parts = fragments.map((fragment) => parseKv(fragment.description.signature, fragment.payload)[0]?.k.data)
    // Heads x 20 tokens x 3 numbers of 2 bytes: each part has 8 tokens of both heads.
    const expected = [0, 1].map((index) =>
      Uint8Array.from(
        [0, 1].flatMap((head) => [...k.subarray(head * 120 + index * 48, head * 120 + (index + 1) * 48)]),
      ),
    )
    expect(parts).toEqual(expected)
  })
})
