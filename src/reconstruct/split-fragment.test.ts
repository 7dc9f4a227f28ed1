import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitraryKvShape, blockOf, kvFragment, type KvShape } from '../../test/arbitrary-tensors.ts'
import { runs } from '../../test/effort.ts'
import { joinPieces } from '../../test/join-pieces.ts'
import { MembraneError } from '../core/errors.ts'
import { buildKv, buildPrefix, buildState, parseKv, parsePrefix } from '../core/fragment-kv.ts'
import type { Fragment, FragmentDescription, StructuralSignature } from '../core/fragment.ts'
import { parseModelFingerprint } from '../core/ids.ts'
import { readSafetensors } from '../core/safetensors.ts'
import { mergeFragments } from './merge-fragments.ts'
import type { FragmentAxis } from './slice-payload.ts'
import { type FragmentCuts, splitFragment } from './split-fragment.ts'

const SHAPE: KvShape = {
  dtype: 'U8',
  layout: 'heads,tokens,dim',
  blocks: 3,
  firstBlock: 1,
  blockTokens: 2,
  headCount: 2,
  firstHead: null,
  firstLayer: 4,
  layers: [true, true],
  kDim: 1,
  vDim: 1,
  seed: 0,
}
const KV = kvFragment(SHAPE)

/** Cuts of a fragment of this shape, any number of them at any places, in ascending order. */
function cutsOf(shape: KvShape, axis: FragmentAxis, chosen: readonly boolean[]): FragmentCuts {
  const { start, count, step } = {
    tokens: { start: shape.firstBlock * shape.blockTokens, count: shape.blocks, step: shape.blockTokens },
    layers: { start: shape.firstLayer, count: shape.layers.length, step: 1 },
    heads: { start: shape.firstHead ?? 0, count: shape.headCount, step: 1 },
  }[axis]
  const inside = Array.from({ length: count - 1 }, (_, index) => start + (index + 1) * step)
  return { axis, at: inside.filter((_, index) => chosen[index] === true) }
}

const arbitraryCut = fc
  .tuple(arbitraryKvShape, fc.constantFrom<FragmentAxis>('tokens', 'layers', 'heads'), fc.array(fc.boolean()))
  // A part without any tensors is refused, so layers are cut where all of them have some.
  .map(([shape, axis, chosen]) => {
    const layers = axis === 'layers' ? shape.layers.map(() => true) : shape.layers
    return { fragment: kvFragment({ ...shape, layers }), cuts: cutsOf(shape, axis, chosen) }
  })

describe('a fragment that is cut and joined', () => {
  it('is bit for bit what it was, for any dtype, layout, shape and cuts, joined in any order', () => {
    fc.assert(
      fc.property(arbitraryCut, fc.boolean(), ({ fragment, cuts }, isReversed) => {
        const parts = splitFragment(fragment, cuts)
        expect(parts).toHaveLength(cuts.at.length + 1)
        const joined = mergeFragments(isReversed ? parts.toReversed() : parts)
        expect(joined.description).toEqual(fragment.description)
        expect(joined.payload).toEqual(fragment.payload)
      }),
      { numRuns: runs(300) },
    )
  })

  it('is the same whichever parts are joined first', () => {
    fc.assert(
      fc.property(arbitraryCut, fc.nat(), ({ fragment, cuts }, at) => {
        const parts = splitFragment(fragment, cuts)
        const middle = at % parts.length
        const [left, right] = [parts.slice(0, middle), parts.slice(middle)]
        const halves = [left, right].filter((half) => half.length > 0).map((half) => mergeFragments(half))
        expect(mergeFragments(halves)).toEqual(fragment)
      }),
      { numRuns: runs(100) },
    )
  })

  it('is the same cut along one axis after another', () => {
    const shape = { ...SHAPE, headCount: 4, layers: [true, true, true] }
    const fragment = kvFragment(shape)
    const parts = splitFragment(fragment, { axis: 'layers', at: [5] }).flatMap((layers) =>
      splitFragment(layers, { axis: 'heads', at: [1, 3] }).map((heads) =>
        mergeFragments(splitFragment(heads, { axis: 'tokens', at: [4, 6] })),
      ),
    )
    const joined = [mergeFragments(parts.slice(0, 3)), mergeFragments(parts.slice(3))]
    expect(mergeFragments(joined)).toEqual(fragment)
  })
})

describe('a part of a fragment', () => {
  it('has the numbers of its tokens and the hashes of its blocks', () => {
    // Byte 31 * index + 7 * layer + seed of the tensor: heads x tokens.
    const parts = splitFragment(KV, { axis: 'tokens', at: [6] })
    const [first, second] = parts.map(({ description, payload }) => {
      const [layer] = parseKv(description.signature, payload)
      return { description, k: [...(layer?.k.data ?? [])].map((byte) => (byte - 28 + 256) % 256) }
    })
    expect(first?.k).toEqual([0, 31, 62, 93, 186, 217, 248, 23])
    expect(second?.k).toEqual([124, 155, 54, 85])
    expect(first?.description).toMatchObject({ parent: blockOf(0), blocks: [blockOf(1), blockOf(2)] })
    expect(second?.description).toMatchObject({
      parent: blockOf(2),
      blocks: [blockOf(3)],
      signature: { tokens: { start: 6, end: 8 } },
    })
  })

  it('has the numbers of its heads, and knows of how many', () => {
    const [, second] = splitFragment(KV, { axis: 'heads', at: [1] })
    expect(second?.description.signature.heads).toEqual({ start: 1, end: 2 })
    const file = readSafetensors(second?.payload ?? new Uint8Array(0))
    expect(file.metadata.get('headsOfAll')).toBe('2')
    expect(file.tensors.map(({ shape }) => shape.join())).toEqual(['1,6,1', '1,6,1', '1,6,1', '1,6,1'])
    expect([...(file.tensors[0]?.data ?? [])].map((byte) => (byte - 28 + 256) % 256)).toEqual([
      186, 217, 248, 23, 54, 85,
    ])
  })

  it('has no text when it has not all tokens, and the whole has it again when all are known', () => {
    const fragment = { ...KV, description: { ...KV.description, text: 'ab' } }
    const parts = splitFragment(fragment, { axis: 'tokens', at: [4] })
    expect(parts.map(({ description }) => description.text)).toEqual([null, null])
    expect(mergeFragments(parts).description.text).toBeNull()
    const known = parts.map((part, index) => ({
      ...part,
      description: { ...part.description, text: 'ab'[index] ?? '' },
    }))
    expect(mergeFragments(known).description.text).toBe('ab')
    const byLayers = splitFragment(fragment, { axis: 'layers', at: [5] })
    expect(mergeFragments(byLayers)).toEqual(fragment)
  })
})

describe('a cut', () => {
  const state = stateFragment()

  it.each([
    ['within a block', KV, { axis: 'tokens', at: [5] }, 'Tokens are cut at multiples of 2'],
    ['at the start', KV, { axis: 'tokens', at: [2] }, 'Cuts must ascend between 2 and 8; found 2.'],
    ['at the end', KV, { axis: 'tokens', at: [8] }, 'Cuts must ascend between 2 and 8; found 8.'],
    ['twice at one place', KV, { axis: 'tokens', at: [4, 4] }, 'Cuts must ascend'],
    ['in descending order', KV, { axis: 'tokens', at: [6, 4] }, 'Cuts must ascend'],
    ['at no number', KV, { axis: 'layers', at: [4.5] }, 'Cuts must ascend'],
    ['beyond the heads', KV, { axis: 'heads', at: [2] }, 'Cuts must ascend between 0 and 2'],
    ['of a state along tokens', state, { axis: 'tokens', at: [1] }, 'state cannot be cut along tokens'],
    ['of a state along heads', state, { axis: 'heads', at: [1] }, 'state cannot be cut along heads'],
  ] as const)('%s is refused', (_, fragment, cuts, message) => {
    expect(refusal(() => splitFragment(fragment, cuts))).toContain(message)
  })

  it('that leaves a part without tensors is refused', () => {
    const fragment = kvFragment({ ...SHAPE, layers: [true, false] })
    expect(refusal(() => splitFragment(fragment, { axis: 'layers', at: [5] }))).toContain('has no tensors')
  })

  it('through heads that differ from layer to layer, or that the layout does not have, is refused', () => {
    const latent = kvFragment({ ...SHAPE, layout: 'tokens,dim' })
    expect(refusal(() => splitFragment(latent, { axis: 'heads', at: [1] }))).toContain('has no heads to cut')
    const narrow = splitFragment(kvFragment({ ...SHAPE, headCount: 1, layers: [true] }), { axis: 'layers', at: [] })
    const wide = kvFragment({ ...SHAPE, firstLayer: 5, layers: [true] })
    const mixed = mergeFragments([...narrow, wide])
    expect(refusal(() => splitFragment(mixed, { axis: 'heads', at: [1] }))).toContain('the same number of them')
  })

  it('of a part of a group, or of bytes that are not of the description, is refused', () => {
    const group = { id: 'g', part: 0, parts: 2, pool: 'kv' }
    const grouped = { ...KV, description: { ...KV.description, group } }
    expect(refusal(() => splitFragment(grouped, { axis: 'layers', at: [5] }))).toContain('part of a group')
    const cut = { ...KV, payload: KV.payload.subarray(0, -1) }
    expect(refusal(() => splitFragment(cut, { axis: 'layers', at: [5] }))).toContain('bytes follow the header')
  })
})

describe('other kinds', () => {
  it('are cut as far as they can be: a state by layers, token ids by tokens', () => {
    const state = stateFragment()
    expect(mergeFragments(splitFragment(state, { axis: 'layers', at: [1] }))).toEqual(state)
    const prefix = prefixFragment()
    const parts = splitFragment(prefix, { axis: 'tokens', at: [2] })
    const ids = parts.map(({ description, payload }) => [...parsePrefix(description.signature, payload).tokenIds])
    expect(ids).toEqual([
      [7, 8],
      [9, 10, 11, 12],
    ])
    expect(mergeFragments(parts)).toEqual(prefix)
  })
})

describe('fragments that do not fit', () => {
  const [first, second, third] = splitFragment(KV, { axis: 'tokens', at: [4, 6] })
  if (first === undefined || second === undefined || third === undefined) throw new Error('three parts')
  const change = (fragment: Fragment, part: Partial<FragmentDescription>): Fragment => ({
    ...fragment,
    description: { ...fragment.description, ...part },
  })
  /** The second half of KV made anew with another shape. */
  const otherHalf = (shape: Partial<KvShape>): Fragment => kvFragment({ ...SHAPE, firstBlock: 2, blocks: 2, ...shape })
  const resigned = ({ description, payload }: Fragment, part: Partial<StructuralSignature>): Fragment => {
    const signature = { ...description.signature, ...part }
    const layers = parseKv(description.signature, payload)
    return { description: { ...description, signature }, payload: joinPieces(buildKv(signature, layers).payload) }
  }

  it.each([
    ['nothing', [], 'At least one fragment'],
    ['a gap', [first, third], 'The next fragment must begin at 4 of the tokens; found 6.'],
    ['the same twice', [first, first], 'these differ in none'],
    ['an overlap', [kvFragment({ ...SHAPE, blocks: 2 }), otherHalf({})], 'must begin at 6 of the tokens; found 4'],
    [
      'another model',
      [first, resigned(otherHalf({}), { model: parseModelFingerprint('cd'.repeat(32)) })],
      'the same model',
    ],
    ['another dtype', [first, otherHalf({ dtype: 'I8' })], 'the same dtype to be merged; found U8 and I8'],
    ['another layout', [first, otherHalf({ layout: 'tokens,heads,dim' })], 'the same layout'],
    ['other blocks', [first, otherHalf({ blockTokens: 1, firstBlock: 4 })], 'the same blockTokens'],
    ['another sequence', [first, change(otherHalf({}), { sequence: null })], 'the same sequence'],
    ['another parent', [first, change(second, { parent: blockOf(9) })], 'the same parent'],
    ['other tensors', [first, otherHalf({ layers: [true, false] })], 'must have the same tensors'],
    [
      'more tensors',
      [kvFragment({ ...SHAPE, blocks: 1, layers: [true, false] }), otherHalf({})],
      'must have the same tensors',
    ],
    ['another width', [first, otherHalf({ kDim: 2 })], 'the same shape of layers.4.k'],
    ['two axes', [first, kvFragment({ ...SHAPE, firstBlock: 2, firstLayer: 6 })], 'these differ in tokens and layers'],
    [
      'all heads and some',
      [KV, kvFragment({ ...SHAPE, firstHead: 2 })],
      'A fragment of all heads cannot be merged along heads.',
    ],
    [
      'a part of a group',
      [first, change(second, { group: { id: 'g', part: 0, parts: 1, pool: 'kv' } })],
      'A part of a group cannot be merged',
    ],
    [
      'other contexts of other layers',
      [KV, change(kvFragment({ ...SHAPE, firstLayer: 6 }), { blocks: [blockOf(1), blockOf(2), blockOf(8)] })],
      'the same blocks',
    ],
    [
      'other parents of other layers',
      [KV, change(kvFragment({ ...SHAPE, firstLayer: 6 }), { parent: blockOf(9) })],
      'the same parent',
    ],
    ['other positions', [first, resigned(otherHalf({}), { positionEncoding: 'none' })], 'the same position encoding'],
    [
      'other texts of other layers',
      [KV, change(kvFragment({ ...SHAPE, firstLayer: 6 }), { text: 'a' })],
      'the same text',
    ],
    [
      'another kind',
      [stateFragment(), kvFragment({ ...SHAPE, firstLayer: 2, firstBlock: 2, blocks: 1 })],
      'the same kind',
    ],
  ] as const)('are not merged: %s', (_, fragments, message) => {
    expect(refusal(() => mergeFragments(fragments))).toContain(message)
  })

  it('are not merged when they are parts of different numbers of heads', () => {
    const [low] = splitFragment(KV, { axis: 'heads', at: [1] })
    const [, high] = splitFragment(kvFragment({ ...SHAPE, headCount: 3 }), { axis: 'heads', at: [1] })
    if (low === undefined || high === undefined) throw new Error('two parts')
    expect(refusal(() => mergeFragments([low, high]))).toContain('the same metadata')
  })

  it('stay parts while heads are missing', () => {
    const parts = splitFragment(kvFragment({ ...SHAPE, headCount: 3 }), { axis: 'heads', at: [1, 2] })
    expect(mergeFragments(parts.slice(0, 2)).description.signature.heads).toEqual({ start: 0, end: 2 })
    expect(mergeFragments(parts.slice(1)).description.signature.heads).toEqual({ start: 1, end: 3 })
    expect(mergeFragments(parts).description.signature.heads).toBeNull()
  })
})

function stateFragment(): Fragment {
  const signature: StructuralSignature = {
    ...KV.description.signature,
    kind: 'state',
    tokens: { start: 4, end: 6 },
    layers: { start: 0, end: 2 },
    layout: 'any',
  }
  const state = { dtype: 'U8', shape: [2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) } as const
  const { payload } = buildState(signature, [
    { layer: 0, state, conv: null },
    { layer: 1, state, conv: state },
  ])
  const description = { ...KV.description, signature, parent: blockOf(1), blocks: [blockOf(2)] }
  return { description, payload: joinPieces(payload) }
}

function prefixFragment(): Fragment {
  const tokenIds = Uint32Array.of(7, 8, 9, 10, 11, 12)
  const { signature, payload } = buildPrefix({ model: KV.description.signature.model, tokenStart: 0, tokenIds })
  const blocks = [blockOf(0), blockOf(1), blockOf(2)]
  return { description: { ...KV.description, signature, parent: null, blocks }, payload: joinPieces(payload) }
}

function refusal(act: () => unknown): string {
  try {
    act()
    return 'accepted'
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INVALID_FRAGMENT') return error.message
    throw error
  }
}
