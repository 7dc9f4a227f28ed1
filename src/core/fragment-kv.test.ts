import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinPieces } from '../../test/join-pieces.ts'
import { runs } from '../../test/effort.ts'
import { MembraneError } from './errors.ts'
import {
  buildKv,
  buildPrefix,
  buildState,
  type KvLayer,
  parseKv,
  parsePrefix,
  parseState,
  type StateLayer,
  type TensorData,
} from './fragment-kv.ts'
import type { StructuralSignature } from './fragment.ts'
import { parseModelFingerprint } from './ids.ts'
import { DTYPES, type Dtype, tensorBytes } from './safetensors-dtypes.ts'
import { writeSafetensors } from './safetensors-writer.ts'
import { readSafetensors } from './safetensors.ts'

const MODEL = parseModelFingerprint('ab'.repeat(32))

const KV: StructuralSignature = {
  model: MODEL,
  kind: 'kv',
  tokens: { start: 16, end: 20 },
  layers: { start: 3, end: 12 },
  heads: null,
  dtype: 'BF16',
  layout: 'heads,tokens,headDim',
  positionEncoding: 'rope:10000',
}

const data = (dtype: Dtype, shape: readonly number[], first = 0): TensorData => {
  const bytes = new Uint8Array(tensorBytes(dtype, shape) ?? 0)
  return { dtype, shape, data: bytes.map((_, index) => first + 7 * index) }
}
const kvLayer = (layer: number): KvLayer => ({ layer, k: data('BF16', [2, 4, 3], 1), v: data('BF16', [2, 4, 5], 2) })

const arbitraryData = (dtype: Dtype): fc.Arbitrary<TensorData> =>
  fc.tuple(fc.array(fc.nat(3), { maxLength: 3 }), fc.nat(255)).map(([shape, first]) => data(dtype, shape, first))

describe('kv', () => {
  it('comes back bit for bit, with or without v, in some layers only', () => {
    const shape = fc.record({ heads: fc.nat(3), tokens: fc.nat(4), kDim: fc.nat(4), vDim: fc.option(fc.nat(3)) })
    const layers = fc.uniqueArray(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.constantFrom(...DTYPES), shape, layers, (dtype, { heads, tokens, kDim, vDim }, numbers) => {
        const value = numbers
          .toSorted((a, b) => a - b)
          .map((layer) => ({
            layer,
            k: data(dtype, [heads, tokens, kDim], layer),
            v: vDim === null ? null : data(dtype, [heads, tokens, vDim], 2 * layer),
          }))
        const signature = { ...KV, dtype, layers: { start: 0, end: 13 }, tokens: { start: 5, end: 5 + tokens } }
        const { payload } = buildKv(signature, value.toReversed())
        expect(parseKv(signature, joinPieces(payload))).toEqual(value)
      }),
      { numRuns: runs(100) },
    )
  })

  it('says in its payload what it is', () => {
    const { metadata } = readSafetensors(joinPieces(buildKv(KV, [kvLayer(3)]).payload))
    expect(Object.fromEntries(metadata)).toEqual({
      model: MODEL,
      kind: 'kv',
      tokens: '16-20',
      layers: '3-12',
      heads: 'all',
      dtype: 'BF16',
      layout: 'heads,tokens,headDim',
      positionEncoding: 'rope:10000',
    })
  })

  it('is not copied, neither to be written nor to be read', () => {
    const layer = kvLayer(3)
    const { pieces } = buildKv(KV, [layer]).payload
    expect(pieces[1]).toBe(layer.k.data)
    expect(pieces[2]).toBe(layer.v?.data)
    const payload = joinPieces(buildKv(KV, [layer]).payload)
    for (const { k } of parseKv(KV, payload)) expect(k.data.buffer).toBe(payload.buffer)
  })

  it.each([
    ['no layers', KV, [], 'has no tensors'],
    ['a layer before', KV, [kvLayer(2)], 'was expected; found "layers.2.k"'],
    ['a layer outside', KV, [kvLayer(12)], 'A tensor of layers 3 to 11 was expected; found "layers.12.k"'],
    ['a layer that is no number', KV, [kvLayer(3.5)], 'was expected; found "layers.3.5.k"'],
    ['a layer twice', KV, [kvLayer(3), kvLayer(3)], 'Two tensors have the name "layers.3.k"'],
    ['another dtype', { ...KV, dtype: 'F16' }, [kvLayer(3)], 'layers.3.k must be of F16; found BF16'],
    ['other tokens', { ...KV, tokens: { start: 16, end: 21 } }, [kvLayer(3)], 'must have 5 at axis 1; found [2,4,3]'],
    ['other heads', { ...KV, heads: { start: 1, end: 2 } }, [kvLayer(3)], 'must have 1 at axis 0; found [2,4,3]'],
    ['another rank', { ...KV, layout: 'tokens,headDim' }, [kvLayer(3)], 'must have the axes tokens,headDim'],
    ['a layout without tokens', { ...KV, layout: 'a,b,c' }, [kvLayer(3)], 'with tokens'],
    ['a layout of one axis twice', { ...KV, layout: 'tokens,a,a' }, [kvLayer(3)], 'each axis once'],
    ['another kind', { ...KV, kind: 'state' }, [kvLayer(3)], 'of kind kv was expected; found state'],
  ] as const)('with %s is refused', (_, signature, layers, message) => {
    expect(() => buildKv(signature, layers)).toThrow(message)
  })

  it('of another description is refused', () => {
    const payload = joinPieces(buildKv(KV, [kvLayer(3)]).payload)
    const others: Partial<StructuralSignature>[] = [
      { model: parseModelFingerprint('cd'.repeat(32)) },
      { tokens: { start: 32, end: 36 } },
      { layers: { start: 3, end: 13 } },
      { heads: { start: 0, end: 2 } },
      { layout: 'heads,tokens,dim' },
      { positionEncoding: 'none' },
    ]
    for (const other of others)
      expect(refusal(() => parseKv({ ...KV, ...other }, payload))).toContain('metadata must have')
    expect(parseKv(KV, payload)).toHaveLength(1)
  })

  it('of a writer that knows no metadata is read', () => {
    const layer = kvLayer(5)
    const tensors = [{ ...layer.k, name: 'layers.5.k' }]
    expect(parseKv(KV, writeSafetensors(tensors))).toEqual([{ ...layer, v: null }])
    const alone = writeSafetensors([{ ...layer.k, name: 'layers.5.v' }])
    expect(refusal(() => parseKv(KV, alone))).toContain('layers.5.v needs layers.5.k beside it')
    const named = writeSafetensors([...tensors, { ...layer.k, name: 'layers.05.v' }])
    expect(refusal(() => parseKv(KV, named))).toContain('found "layers.05.v"')
  })
})

describe('a state', () => {
  const STATE: StructuralSignature = { ...KV, kind: 'state', dtype: 'F32', layout: 'heads,keyDim,valueDim' }

  it('comes back bit for bit, with or without a convolution of another dtype', () => {
    const layer = fc.record({ state: arbitraryData('F32'), conv: fc.option(arbitraryData('BF16')) })
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 4 }), (layers) => {
        const value: StateLayer[] = layers.map((rest, index) => ({ layer: 3 + 2 * index, ...rest }))
        const { payload } = buildState(STATE, value)
        expect(parseState(STATE, joinPieces(payload))).toEqual(value)
      }),
      { numRuns: runs(100) },
    )
  })

  it('is no kv, and its precision is that of its description', () => {
    const layer = { layer: 3, state: data('BF16', [2]), conv: null }
    expect(refusal(() => buildState(STATE, [layer]))).toContain('layers.3.state must be of F32; found BF16')
    const conv = writeSafetensors([{ ...data('BF16', [2]), name: 'layers.3.conv' }])
    expect(refusal(() => parseState(STATE, conv))).toContain('layers.3.conv needs layers.3.state beside it')
    expect(refusal(() => buildState(STATE, []))).toContain('The payload has no tensors')
    const kv = writeSafetensors([{ ...data('F32', [2]), name: 'layers.3.k' }])
    expect(refusal(() => parseState(STATE, kv))).toContain('has tensors state and conv; found layers.3.k')
    expect(refusal(() => parseKv(STATE, kv))).toContain('of kind kv was expected; found state')
  })
})

describe('a prefix', () => {
  it('comes back token by token', () => {
    fc.assert(
      fc.property(fc.uint32Array({ maxLength: 40 }), fc.nat(10_000), (tokenIds, tokenStart) => {
        const { signature, payload } = buildPrefix({ model: MODEL, tokenStart, tokenIds })
        expect(parsePrefix(signature, joinPieces(payload))).toEqual({ model: MODEL, tokenStart, tokenIds })
      }),
      { numRuns: runs(100) },
    )
  })

  it('has its tokens little-endian', () => {
    const { payload } = buildPrefix({ model: MODEL, tokenStart: 0, tokenIds: Uint32Array.of(1, 0xfffefdfc) })
    expect([...(payload.pieces[1] ?? [])]).toEqual([1, 0, 0, 0, 0xfc, 0xfd, 0xfe, 0xff])
  })

  it('of another shape is refused', () => {
    const { signature } = buildPrefix({ model: MODEL, tokenStart: 0, tokenIds: Uint32Array.of(1, 2) })
    const file = (dtype: Dtype, shape: readonly number[], name = 'tokens') =>
      writeSafetensors([{ ...data(dtype, shape), name }])
    expect(parsePrefix(signature, file('U32', [2])).tokenIds).toHaveLength(2)
    for (const wrong of [file('I32', [2]), file('U32', [3]), file('U32', [2, 1]), file('U32', [2], 'ids')])
      expect(refusal(() => parsePrefix(signature, wrong))).toMatch(/A prefix has one tensor|must have 2 at axis 0/)
    expect(refusal(() => parsePrefix({ ...signature, layout: 'ids' }, file('U32', [2])))).toContain('layout tokens')
  })
})

function refusal(act: () => unknown): string {
  try {
    act()
    return 'accepted'
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INVALID_FRAGMENT') return error.message
    throw error
  }
}
