/** Fragments with real tensors, of any dtype, layout and shape, to be cut and joined. */
import fc from 'fast-check'
import { buildKv, type KvLayer } from '../src/core/fragment-kv.ts'
import type { Fragment, StructuralSignature } from '../src/core/fragment.ts'
import { parseBlockHash, parseModelFingerprint } from '../src/core/ids.ts'
import { DTYPES, type Dtype, tensorBytes } from '../src/core/safetensors-dtypes.ts'
import { joinPieces } from './join-pieces.ts'

export interface KvShape {
  readonly dtype: Dtype
  readonly layout: string
  readonly blocks: number
  readonly firstBlock: number
  readonly blockTokens: number
  readonly headCount: number
  /** First head, or null for a fragment of all heads. */
  readonly firstHead: number | null
  readonly firstLayer: number
  /** Whether each layer has tensors. */
  readonly layers: readonly boolean[]
  readonly kDim: number
  readonly vDim: number | null
  readonly seed: number
}

export const blockOf = (index: number) => parseBlockHash(`b3c:${(0xabc000 + index).toString(16)}`)

/** Every byte of it tells where it lies. */
export function kvFragment(shape: KvShape): Fragment {
  const { dtype, layout, blocks, firstBlock, blockTokens, headCount, firstHead, firstLayer } = shape
  const axes = { tokens: blocks * blockTokens, heads: headCount }
  const tensor = (dim: number, layer: number) => {
    const lengths = { ...axes, dim } as Readonly<Record<string, number>>
    const sizes = layout.split(',').map((axis) => lengths[axis] ?? 1)
    const bytes = new Uint8Array(tensorBytes(dtype, sizes) ?? 0)
    return {
      dtype,
      shape: sizes,
      data: bytes.map((_, index) => (index * 31 + layer * 7 + shape.seed + (index >> 8)) & 255),
    }
  }
  const layers = shape.layers.flatMap((hasTensors, index): readonly KvLayer[] => {
    const layer = firstLayer + index
    if (!hasTensors) return []
    return [{ layer, k: tensor(shape.kDim, layer), v: shape.vDim === null ? null : tensor(shape.vDim, layer + 100) }]
  })
  const signature: StructuralSignature = {
    model: parseModelFingerprint('ab'.repeat(32)),
    kind: 'kv',
    tokens: { start: firstBlock * blockTokens, end: (firstBlock + blocks) * blockTokens },
    layers: { start: firstLayer, end: firstLayer + shape.layers.length },
    heads: firstHead === null ? null : { start: firstHead, end: firstHead + headCount },
    dtype,
    layout,
    positionEncoding: 'rope:10000',
  }
  return {
    description: {
      signature,
      parent: firstBlock === 0 ? null : blockOf(firstBlock - 1),
      blocks: Array.from({ length: blocks }, (_, index) => blockOf(firstBlock + index)),
      blockTokens,
      group: null,
      text: null,
      sequence: 'chat-1',
      derivedFrom: [blockOf(0)],
    },
    payload: joinPieces(buildKv(signature, layers).payload),
  }
}

export const arbitraryKvShape: fc.Arbitrary<KvShape> = fc.record({
  dtype: fc.constantFrom(...DTYPES),
  layout: fc.constantFrom('heads,tokens,dim', 'tokens,heads,dim', 'heads,dim,tokens', 'two,heads,tokens,dim'),
  blocks: fc.integer({ min: 1, max: 5 }),
  firstBlock: fc.nat(2),
  blockTokens: fc.integer({ min: 1, max: 4 }),
  headCount: fc.integer({ min: 1, max: 5 }),
  firstHead: fc.option(fc.nat(3)),
  firstLayer: fc.nat(3),
  layers: fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }).filter((layers) => layers.some(Boolean)),
  kDim: fc.nat(4),
  vDim: fc.option(fc.nat(3)),
  seed: fc.nat(255),
})
