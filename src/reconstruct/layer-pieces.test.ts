import { describe, expect, it } from 'vitest'
import { openSimulatedBackend } from '../compute/simulated.ts'
import { createHashChain } from '../core/hash-chains.ts'
import type { Fragment, Span } from '../core/fragment.ts'
import { unpackBlockHashes } from '../core/block-hashes.ts'
import { checkFragment } from '../core/fragment-check.ts'
import { writeSafetensors } from '../core/safetensors-writer.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { fragmentsOfParts } from './context-parts.ts'
import { type LayerPiece, PieceAssembly } from './layer-pieces.ts'

const TOKENS = 96
const BLOCK = 8
const backend = openSimulatedBackend({
  name: 'small',
  layers: 3,
  kvHeads: 2,
  headDim: 4,
  dtype: 'F32',
  contextTokensMax: 128,
  prefillSeconds: () => 0,
  wait: async () => {},
})
const { model } = backend
const tokenIds = Uint32Array.from({ length: TOKENS }, (_, at) => (at * 7) % 300)
const chain = createHashChain('blake3', { hashes: await loadChainHashes(), blockTokens: BLOCK })
const hashes = chain.hash(tokenIds, { model: model.fingerprint, tenantSalt: '' })
const context = await backend.openContext(TOKENS)
await context.prefill(0, tokenIds)
const fragmentize = { blockTokens: BLOCK, fragmentTokens: 32 }

async function piece(layers: Span, span: Span): Promise<LayerPiece> {
  const [part] = await context.read(span, { layers })
  return { layers, span, tensors: writeSafetensors(part?.tensors ?? []) }
}

/** As the engine would have given it at once. */
async function fragmentAt(span: Span): Promise<Fragment | undefined> {
  const blocks = unpackBlockHashes(hashes)
  return fragmentsOfParts(model, await context.read(span), { span, blockTokens: BLOCK, blocks })[0]
}

const assembly = (span: Span = { start: 0, end: TOKENS }) => new PieceAssembly({ model, hashes, span, fragmentize })

describe('pieces of layers', () => {
  it('become the fragments that a whole read gives, each as soon as its last layer is there', async () => {
    const whole = assembly()
    // Chunks that do not end where fragments do, cut into layers, one of them in two.
    for (const span of [
      { start: 0, end: 20 },
      { start: 20, end: 70 },
      { start: 70, end: 96 },
    ]) {
      whole.add(await piece({ start: 0, end: 2 }, span))
      if (span.end < 96) expect(whole.take()).toBeNull()
      whole.add(await piece({ start: 2, end: 3 }, { start: span.start, end: span.end - 5 }))
      whole.add(await piece({ start: 2, end: 3 }, { start: span.end - 5, end: span.end }))
      const expected = span.end === 20 ? [] : span.end === 70 ? [0, 32] : [64]
      for (const start of expected) {
        const fragment = whole.take()
        expect(fragment).toEqual(await fragmentAt({ start, end: start + 32 }))
        if (fragment !== null) checkFragment(fragment.description)
      }
      expect(whole.take()).toBeNull()
    }
    expect(whole.isComplete).toBe(true)
  })

  it('begin where the span does', async () => {
    const later = assembly({ start: 24, end: 64 })
    later.add(await piece({ start: 0, end: 3 }, { start: 24, end: 64 }))
    expect(later.take()).toEqual(await fragmentAt({ start: 24, end: 32 }))
    expect(later.take()).toEqual(await fragmentAt({ start: 32, end: 64 }))
    expect(later.isComplete).toBe(true)
  })

  it('are refused out of turn, twice, beyond the span and of other layers than they say', async () => {
    const all = { start: 0, end: 3 }
    const first = await piece(all, { start: 0, end: 8 })
    const begun = assembly()
    begun.add(first)
    expect(() => begun.add(first)).toThrow()
    const gap = await piece(all, { start: 16, end: 24 })
    expect(() => assembly().add(gap)).toThrow()
    expect(() => assembly({ start: 0, end: 8 }).add({ ...gap, span: { start: 0, end: 16 } })).toThrow()
    expect(() => assembly().add({ ...first, layers: { start: 0, end: 4 } })).toThrow()
    expect(() => assembly().add({ ...first, layers: { start: 0, end: 2 } })).toThrow()
    expect(() => assembly().add({ ...first, span: { start: 0, end: 16 } })).toThrow()
    expect(() => assembly().add({ ...first, tensors: new Uint8Array(50) })).toThrow()
    expect(() => assembly().add({ ...first, tensors: writeSafetensors([]) })).toThrow()
  })
})
