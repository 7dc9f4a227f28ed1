import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitraryDescription } from '../../test/arbitrary-fragments.ts'
import { runs } from '../../test/effort.ts'
import { MembraneError } from './errors.ts'
import { decodeDescription, encodeDescription } from './fragment-codec.ts'
import type { FragmentDescription } from './fragment.ts'
import { parseBlockHash, parseModelFingerprint } from './ids.ts'
import { LIMITS } from './limits.ts'

const MODEL = parseModelFingerprint('ab'.repeat(32))
const block = (digit: number) => parseBlockHash(`b3c:${String(digit).repeat(64)}`)

const KV: FragmentDescription = {
  signature: {
    model: MODEL,
    kind: 'kv',
    tokens: { start: 16, end: 48 },
    layers: { start: 0, end: 2 },
    heads: null,
    dtype: 'BF16',
    layout: 'heads,tokens,headDim',
    positionEncoding: 'rope:10000',
  },
  parent: block(1),
  blocks: [block(2), block(3)],
  blockTokens: 16,
  group: { id: 'g', part: 0, parts: 2, pool: 'kv' },
  text: 'Grüße',
  sequence: null,
  derivedFrom: [],
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (head: Uint8Array): string => new TextDecoder().decode(head)
const HEAD = textOf(encodeDescription(KV))

/** The error, which must be the one that all damage ends in. */
function refusal(head: Uint8Array): string {
  try {
    decodeDescription(head)
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INVALID_FRAGMENT') return error.message
    throw error
  }
  return 'accepted'
}

describe('a head', () => {
  it('is canonical JSON', () => {
    const [b1, b2, b3] = [block(1), block(2), block(3)]
    expect(HEAD).toBe(
      `{"format":1,"signature":{"model":"${MODEL}","kind":"kv","tokens":[16,48],"layers":[0,2],"heads":null,` +
        `"dtype":"BF16","layout":"heads,tokens,headDim","positionEncoding":"rope:10000"},"parent":"${b1}",` +
        `"blocks":["${b2}","${b3}"],"blockTokens":16,"group":{"id":"g","part":0,"parts":2,"pool":"kv"},` +
        `"text":"Grüße","sequence":null,"derivedFrom":[]}`,
    )
  })

  it('gives back the description, for any', () => {
    fc.assert(
      fc.property(arbitraryDescription, (description) => {
        expect(decodeDescription(encodeDescription(description))).toEqual(description)
      }),
      { numRuns: runs(200) },
    )
  })

  it('is the same for the same description, however its fields are ordered, and another for another', () => {
    const reversed = Object.fromEntries(Object.entries(KV).toReversed()) as unknown as FragmentDescription
    expect(textOf(encodeDescription(reversed))).toBe(HEAD)
    expect(textOf(encodeDescription({ ...KV, sequence: 's' }))).not.toBe(HEAD)
  })

  it('of a newer format is refused by name', () => {
    expect(refusal(bytesOf(HEAD.replace('"format":1', '"format":2')))).toBe(
      'The head is of format 2, but this version reads format 1.',
    )
  })

  it.each([
    ['no JSON', HEAD.slice(0, -1), 'The head is not JSON.'],
    ['no object', '[]', 'The head must be an object; found [].'],
    ['deep nesting', '['.repeat(LIMITS.storeHeadBytesMax), 'The head is not JSON.'],
    ['a space', HEAD.replace(',"parent"', ', "parent"'), 'not in canonical form'],
    ['a field twice', HEAD.replace('{"format":1,', '{"format":1,"format":1,'), 'not in canonical form'],
    ['an unknown field', HEAD.replace('"parent"', '"ttl":1,"parent"'), 'not in canonical form'],
    ['a field that is a trap', HEAD.replace('"parent"', '"__proto__":{},"parent"'), 'not in canonical form'],
    ['another number format', HEAD.replace('"blockTokens":16', '"blockTokens":1.6e1'), 'not in canonical form'],
    ['a missing field', HEAD.replace('"blockTokens":16,', ''), 'blockTokens must be a number; found nothing.'],
    ['a wrong kind', HEAD.replace('"kv","tokens"', '"kw","tokens"'), 'signature.kind must be one of kv, state,'],
    ['a span that ends before it starts', HEAD.replace('[0,2]', '[2,0]'), 'signature.layers.end of a fragment must be'],
    ['an infinite span', HEAD.replace('[0,2]', '[0,1e999]'), 'signature.layers.end of a fragment must be a whole'],
    ['tokens that the blocks do not cover', HEAD.replace('[16,48]', '[16,64]'), 'an end at 48 (blocks x blockTokens)'],
    [
      'no parent in the middle',
      HEAD.replace(`"parent":"${block(1)}"`, '"parent":null'),
      'parent of a fragment must be',
    ],
    [
      'two chains',
      HEAD.replace(`"${block(2)}"`, `"sha:${'2'.repeat(64)}"`),
      'a hash of the chain and length of the first block, sha:2222',
    ],
    ['two lengths', HEAD.replace(block(3), 'b3c:33'), 'a hash of the chain and length of the first block, b3c:2222'],
    [
      'a hash that is none',
      HEAD.replace('"derivedFrom":[]', '"derivedFrom":["b3"]'),
      'derivedFrom[0] of a fragment: A block',
    ],
    ['a state of two blocks', HEAD.replace('"kv","tokens"', '"state","tokens"'), 'one block hash, of the block before'],
    ['layers of a prefix', HEAD.replace('"kv","tokens"', '"prefix","tokens"'), 'because a prefix has neither'],
    ['blocks of an artifact', HEAD.replace('"kv","tokens"', '"artifact","tokens"'), 'of kind artifact has no context'],
    [
      'no heads',
      HEAD.replace('"heads":null', '"heads":[1,1]'),
      'signature.heads of a fragment must be at least one head',
    ],
    ['no layers', HEAD.replace('[0,2]', '[2,2]'), 'signature.layers of a fragment must be at least one layer'],
    ['a start within a block', HEAD.replace('[16,48]', '[17,49]'), 'a start that is a multiple of 16; found 17'],
    ['a model that is none', HEAD.replace(MODEL, 'ab'), 'signature.model of a fragment: A model fingerprint is'],
    ['no blocks', HEAD.replace(/"blocks":\[.*?\]/, '"blocks":[]'), 'at least one block hash, because a kv needs one'],
    ['a part beyond the group', HEAD.replace('"part":0', '"part":2'), 'group.part of a fragment must be'],
    ['a slash in a dtype', HEAD.replace('"BF16"', '"B/16"'), 'signature.dtype of a fragment must be'],
    ['half a surrogate pair', HEAD.replace('Grüße', '\\ud800'), 'text of a fragment must be'],
    ['a byte order mark', `\ufeff${HEAD}`, 'The head is not JSON.'],
  ])('with %s is refused', (_, head, message) => {
    expect(refusal(bytesOf(head))).toContain(message)
  })

  it('that is no UTF-8 or too long is refused', () => {
    expect(refusal(Uint8Array.of(0x22, 0xff, 0x22))).toBe('The head is not UTF-8.')
    expect(refusal(new Uint8Array(LIMITS.storeHeadBytesMax + 1))).toContain('65537 bytes, but 65536 are the most')
    expect(() => encodeDescription({ ...KV, text: 'x'.repeat(LIMITS.storeHeadBytesMax) })).toThrow('65536 are the most')
  })

  it('is not made of a description that makes no sense', () => {
    expect(() => encodeDescription({ ...KV, blockTokens: 8 })).toThrow('an end at 32 (blocks x blockTokens); found 48')
    expect(() => encodeDescription({ ...KV, text: '\ud800' })).toThrow('without lone surrogates')
  })

  it('that was changed anywhere is refused, or is the head of what it decodes to', () => {
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255), drop: fc.nat(3), insert: fc.boolean() })
    fc.assert(
      fc.property(arbitraryDescription, fc.array(change, { minLength: 1, maxLength: 3 }), (description, changes) => {
        let head = [...encodeDescription(description)]
        for (const { at, byte, drop, insert } of changes)
          head = head.toSpliced(at % (head.length + 1), drop, ...(insert ? [byte] : []))
        const bytes = Uint8Array.from(head)
        if (refusal(bytes) === 'accepted') expect(encodeDescription(decodeDescription(bytes))).toEqual(bytes)
      }),
      { numRuns: runs(500) },
    )
  })
})
