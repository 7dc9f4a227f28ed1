/** Descriptions for property tests: every field takes part, and each description is one that makes sense. */
import fc from 'fast-check'
import {
  BYTE_KINDS,
  CONTEXT_KINDS,
  type FragmentDescription,
  type FragmentGroup,
  type Span,
} from '../src/core/fragment.ts'
import { type BlockHash, parseBlockHash, parseContentHash, parseModelFingerprint } from '../src/core/ids.ts'

const hex = (digits: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'.split('')), minLength: digits, maxLength: digits })

const arbitraryModel = hex(64).map(parseModelFingerprint)

export const arbitraryContentHash = fc
  .tuple(fc.constantFrom('b3', 's256'), hex(64))
  .map(([algorithm, digits]) => parseContentHash(`${algorithm}:${digits}`))

/** Hashes of one chain, which all have one length. */
const arbitraryBlocks: fc.Arbitrary<readonly BlockHash[]> = fc
  .record({
    chain: fc.constantFrom('b3c', 'vllm-sha256-cbor', 'xx_1'),
    digits: fc.constantFrom(8, 16, 64).chain((digits) => fc.array(hex(digits), { minLength: 2, maxLength: 6 })),
  })
  .map(({ chain, digits }) => digits.map((text) => parseBlockHash(`${chain}:${text}`)))

const arbitraryLabel = fc.string({
  unit: fc.constantFrom(...'abzAZ019.,:_-+~="\\%@'.split('')),
  minLength: 1,
  maxLength: 20,
})
const arbitrarySpan = (start: fc.Arbitrary<number>): fc.Arbitrary<Span> =>
  fc.tuple(start, fc.integer({ min: 1, max: 80 })).map(([start, length]) => ({ start, end: start + length }))
const arbitraryText = fc.string({ unit: 'grapheme', maxLength: 30 })

const arbitraryGroup: fc.Arbitrary<FragmentGroup> = fc
  .record({ id: arbitraryText, parts: fc.integer({ min: 1, max: 9 }), pool: arbitraryLabel, part: fc.nat(8) })
  .map((group) => ({ ...group, part: group.part % group.parts }))

const arbitraryRest = fc.record({
  group: fc.option(arbitraryGroup),
  text: fc.option(arbitraryText),
  sequence: fc.option(arbitraryText),
  derivedFrom: fc.array(
    fc.oneof(
      arbitraryContentHash,
      arbitraryBlocks.map(([hash]) => hash ?? parseBlockHash('b3c:00')),
    ),
    { maxLength: 3 },
  ),
})

export const arbitraryContextDescription: fc.Arbitrary<FragmentDescription> = fc
  .record({
    kind: fc.constantFrom(...CONTEXT_KINDS),
    model: arbitraryModel,
    blockTokens: fc.constantFrom(1, 16, 256),
    firstBlock: fc.nat(3),
    blocks: arbitraryBlocks,
    layers: arbitrarySpan(fc.nat(20)),
    heads: fc.option(arbitrarySpan(fc.nat(8))),
    labels: fc.tuple(fc.constantFrom('BF16', 'F32', 'F8_E4M3'), arbitraryLabel, arbitraryLabel),
    rest: arbitraryRest,
  })
  .map(({ kind, model, blockTokens, firstBlock, blocks, layers, heads, labels, rest }) => {
    const [before, ...others] = blocks
    const covered = kind === 'state' ? others.slice(0, 1) : others
    const start = firstBlock * blockTokens
    const [dtype, layout, positionEncoding] = labels
    return {
      signature: {
        model,
        kind,
        tokens: { start, end: start + covered.length * blockTokens },
        layers: kind === 'prefix' ? { start: 0, end: 0 } : layers,
        heads: kind === 'prefix' ? null : heads,
        dtype,
        layout,
        positionEncoding,
      },
      parent: start === 0 ? null : (before ?? null),
      blocks: covered,
      blockTokens,
      ...rest,
    }
  })

const arbitraryBytes: fc.Arbitrary<FragmentDescription> = fc
  .record({
    kind: fc.constantFrom(...BYTE_KINDS),
    model: arbitraryModel,
    tokens: arbitrarySpan(fc.nat(1000)),
    layout: fc.constantFrom('text/plain; charset=utf-8', 'application/json', 'image/png'),
    rest: arbitraryRest,
  })
  .map(({ kind, model, tokens, layout, rest }) => ({
    signature: {
      model,
      kind,
      tokens,
      layers: { start: 0, end: 0 },
      heads: null,
      dtype: 'U8',
      layout,
      positionEncoding: 'none',
    },
    parent: null,
    blocks: [],
    blockTokens: 16,
    ...rest,
  }))

export const arbitraryDescription = fc.oneof(arbitraryContextDescription, arbitraryBytes)
