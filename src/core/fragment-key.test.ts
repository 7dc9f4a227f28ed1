import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitraryContentHash, arbitraryContextDescription } from '../../test/arbitrary-fragments.ts'
import { runs } from '../../test/effort.ts'
import { MembraneError } from './errors.ts'
import { contextName, type FragmentName, fragmentKey, parseFragmentKey } from './fragment-key.ts'
import { BYTE_KINDS } from './fragment.ts'
import { parseBlockHash, parseModelFingerprint } from './ids.ts'
import { LIMITS } from './limits.ts'

const KV: FragmentName = {
  kind: 'kv',
  block: parseBlockHash('b3c:0123'),
  model: parseModelFingerprint('ab'.repeat(32)),
  tokenStart: 512,
  layers: { start: 0, end: 32 },
  heads: { start: 4, end: 8 },
  dtype: 'BF16',
  layout: 'heads,tokens,headDim',
  positionEncoding: 'rope:10000',
  part: { part: 1, parts: 2, pool: 'swa' },
}

const arbitraryName: fc.Arbitrary<FragmentName> = fc.oneof(
  arbitraryContextDescription.map(contextName),
  fc.record({
    kind: fc.constantFrom(...BYTE_KINDS),
    name: fc.oneof(arbitraryContentHash, fc.uint8Array({ minLength: 1, maxLength: 300 })),
  }),
)

describe('a fragment key', () => {
  it('says the name legibly', () => {
    expect(fragmentKey(KV)).toBe(
      `kv/b3c/${KV.model}/0123/t512/l0-32/h4-8/BF16/heads,tokens,headDim/rope:10000/1of2:swa`,
    )
    const foreign = new TextEncoder().encode('llama@8@0@ff00@bfloat16 /%é')
    expect(fragmentKey({ kind: 'opaque', name: foreign })).toBe('opaque/=llama@8@0@ff00@bfloat16%20%2f%25%c3%a9')
  })

  it('gives back the name, is short printable ASCII, for any', () => {
    fc.assert(
      fc.property(arbitraryName, (name) => {
        const key = fragmentKey(name)
        expect(key).toMatch(/^[\x21-\x7e]+$/)
        expect(key.length).toBeLessThanOrEqual(LIMITS.storeKeyBytesMax - 80)
        expect(parseFragmentKey(key)).toEqual(name)
      }),
      { numRuns: runs(300) },
    )
  })

  it('fits for the longest name of a context', () => {
    const label = 'x'.repeat(LIMITS.fragmentLabelCharactersMax)
    const digits = '0'.repeat(LIMITS.blockHashCharactersMax - 5)
    const layersMax = LIMITS.fragmentLayersMax
    const name: FragmentName = {
      ...KV,
      kind: 'prefix',
      block: parseBlockHash(`long:${digits.slice(digits.length % 2)}`),
      tokenStart: LIMITS.requestTokensMax,
      layers: { start: layersMax, end: layersMax },
      heads: { start: LIMITS.fragmentHeadsMax, end: LIMITS.fragmentHeadsMax },
      dtype: label,
      layout: label,
      positionEncoding: label,
      part: { part: LIMITS.fragmentGroupPartsMax - 1, parts: LIMITS.fragmentGroupPartsMax, pool: label },
    }
    expect(parseFragmentKey(fragmentKey(name))).toEqual(name)
  })

  it('differs where any part of the name differs', () => {
    const changes: Partial<typeof KV>[] = [
      {},
      { kind: 'state' },
      { block: parseBlockHash('b3c:0124') },
      { block: parseBlockHash('b3d:0123') },
      { model: parseModelFingerprint('ac'.repeat(32)) },
      { tokenStart: 0 },
      { layers: { start: 0, end: 31 } },
      { heads: { start: 3, end: 8 } },
      { heads: null },
      { dtype: 'F16' },
      { layout: 'tokens,heads,headDim' },
      { positionEncoding: 'none' },
      { part: null },
      { part: { part: 0, parts: 2, pool: 'swa' } },
      { part: { part: 1, parts: 3, pool: 'swa' } },
      { part: { part: 1, parts: 2, pool: 'kv' } },
    ]
    expect(new Set(changes.map((change) => fragmentKey({ ...KV, ...change }))).size).toBe(changes.length)
  })

  it('of another spelling is no key', () => {
    const key = fragmentKey(KV)
    const wrong = [
      '',
      'kv',
      'kw/b3:00',
      `${key}/`,
      key.replace('t512', 't0512'),
      key.replace('t512', 'u512'),
      key.replace('l0-32', 'l0-32 '),
      key.replace('l0-32', 'h0-32'),
      key.replace('h4-8', ''),
      key.replace('BF16', ''),
      key.replace('BF16', 'é'),
      key.replace('1of2:swa', '1of2:'),
      key.replace('0123', '012'),
      'artifact/b3:00',
      'opaque/=',
      'opaque/=%41',
      'opaque/=%4',
      'opaque/= ',
    ]
    for (const text of wrong) expect(refusal(text), text).toBe('INVALID_FRAGMENT')
  })

  it('that was changed anywhere is refused, or is the key of its name', () => {
    fc.assert(
      fc.property(arbitraryName, fc.nat(), fc.string({ maxLength: 3 }), fc.nat(3), (name, at, insert, drop) => {
        const key = fragmentKey(name)
        const index = at % key.length
        const text = key.slice(0, index) + insert + key.slice(index + drop)
        if (refusal(text) === 'accepted') expect(fragmentKey(parseFragmentKey(text))).toBe(text)
      }),
      { numRuns: runs(300) },
    )
  })

  it('of a foreign key that is empty or too long is refused', () => {
    expect(() => fragmentKey({ kind: 'opaque', name: new Uint8Array(0) })).toThrow('must not be empty')
    expect(() => fragmentKey({ kind: 'opaque', name: new Uint8Array(400) })).toThrow('at most 944 characters')
  })
})

function refusal(key: string): string {
  try {
    parseFragmentKey(key)
    return 'accepted'
  } catch (error) {
    if (error instanceof MembraneError) return error.code
    throw error
  }
}
