import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  contentHashOf,
  fragment,
  LAYERS,
  MODEL,
  newIndices,
  prompt,
  PROMPTS,
  TENANTS,
} from '../../test/contracts/index-fixtures.ts'
import { runs } from '../../test/effort.ts'
import type { IndexedFragment } from './indexed-fragment.ts'
import { TIERS } from './tiers.ts'

describe('the indices of a node', () => {
  test('never name what the store lacks, and find all that it has, after any calls', () => {
    const group = fc.option(
      fc.record({
        id: fc.constantFrom('g', 'h'),
        part: fc.nat({ max: 1 }),
        parts: fc.constant(2),
        pool: fc.constant('kv'),
      }),
    )
    const operation = fc.record({
      kind: fc.constantFrom('put', 'put', 'put', 'remove', 'move', 'accessed', 'announce', 'withdraw', 'forget'),
      parts: fc.record({
        key: fc.constantFrom('k', 'l', 'm', 'n', 'o'),
        tenant: fc.constantFrom(...TENANTS),
        tier: fc.constantFrom(...TIERS),
        kind: fc.constantFrom('kv', 'kv', 'kv', 'state'),
        layers: fc.constantFrom([0, LAYERS], [0, 5], [4, LAYERS]) as fc.Arbitrary<[number, number]>,
        heads: fc.constantFrom<[number, number] | null>(null, null, [0, 2]),
        group,
        sequence: fc.constantFrom(null, 's'),
        text: fc.constantFrom(null, 'a', 'ab', 'c'),
        derivedFrom: fc.subarray(['k', 'l', 'm'].map(contentHashOf)),
        prompt: fc.nat({ max: 1 }),
        blocks: fc.tuple(fc.nat({ max: 3 }), fc.integer({ min: 4, max: 8 })),
      }),
    })
    const property = fc.property(
      fc.array(operation, { maxLength: 40 }),
      fc.constantFrom(null, LAYERS),
      (operations, layers) => {
        const store = new Map<string, IndexedFragment>()
        const indices = newIndices(layers)
        for (const { kind, parts } of operations) {
          const { key, tenant, tier } = parts
          const other = { node: 'there', ...prompt(parts.prompt, tenant) }
          if (kind === 'put') {
            store.set(key, fragment(parts))
            indices.insert(fragment(parts))
          } else if (kind === 'remove') expect(indices.remove(key)).toBe(store.delete(key))
          else if (kind === 'move') {
            const known = store.get(key)
            if (known !== undefined) store.set(key, { ...known, tier })
            expect(indices.setTier(key, tier)).toBe(known !== undefined)
          } else if (kind === 'accessed') indices.accessed({ tenant, session: 's' }, ['k', 'l', 'm', 'n', 'o'])
          else if (kind === 'announce') indices.announce({ ...other, tier })
          else if (kind === 'withdraw') indices.withdraw({ ...other, tier })
          else for (const _ of indices.forgetNode('there'));
          expect(indices.inconsistencies()).toEqual([])
          expect(new Set(indices.fragments())).toEqual(new Set(store.values()))
          for (const asked of store.keys()) {
            const named = [
              ...indices.neighbours(asked, { limit: 99 }),
              ...(indices.subgraph(asked, { depth: 3 })?.nodes ?? []),
            ]
            expect(named.every((one) => store.get(one.key)?.tenant === store.get(asked)?.tenant)).toBe(true)
          }
          for (const gone of ['k', 'l', 'm', 'n', 'o'].filter((one) => !store.has(one))) {
            expect(indices.neighbours(gone, { limit: 99 })).toEqual([])
            expect(indices.sessions.sessionsOf(gone, { limit: 9 })).toEqual([])
          }
        }
        for (const [number, hashes] of PROMPTS.entries()) {
          for (const tenant of TENANTS) {
            const bits = indices.localTiers(prompt(number, tenant))
            for (const [index, hash] of hashes.entries()) {
              const stored = [...store.values()].filter(
                (one) => one.tenant === tenant && one.description.blocks.includes(hash),
              )
              const found = indices.fragmentsOf(prompt(number, tenant), index)
              expect(new Set(found)).toEqual(new Set(stored))
              expect(bits[index] !== 0).toBe(isHeld(stored, [...store.values()], layers))
            }
            const place = { tenant, model: MODEL, sequence: 's' }
            const placed = [...store.values()].filter(
              (one) => one.tenant === tenant && one.description.sequence === 's',
            )
            // A span without tokens shares none.
            const withTokens = placed.filter(({ description }) => description.blocks.length > 0)
            expect(new Set(indices.overlapping(place, { start: 0, end: 1000 }, 100))).toEqual(new Set(withTokens))
          }
        }
        for (const tenant of TENANTS) {
          const asked = { tenant, model: MODEL, text: 'a', limit: 99, similarityMin: 0.1 }
          const stored = [...store.values()].filter(
            (one) => one.tenant === tenant && one.description.text?.includes('a'),
          )
          expect(new Set(indices.similar(asked)?.map((match) => match.fragment))).toEqual(new Set(stored))
        }
        // And nothing stays behind.
        for (const key of store.keys()) indices.remove(key)
        for (const _ of indices.forgetNode('there'));
        expect(indices.inconsistencies()).toEqual([])
        expect(indices.namespaces).toBe(0)
      },
    )
    fc.assert(property, { numRuns: runs(150) })
  })
})

/** The definition, said once more: a complete group, a fragment of all layers, or several of one form. */
function isHeld(covering: readonly IndexedFragment[], all: readonly IndexedFragment[], layers: number | null): boolean {
  const kv = covering.filter(({ description: { signature } }) => signature.kind === 'kv')
  const isComplete = ({ tenant, description }: IndexedFragment): boolean => {
    const { group } = description
    if (group === null) return false
    const parts = all.filter((one) => one.tenant === tenant && one.description.group?.id === group.id)
    return new Set(parts.map((one) => one.description.group?.part)).size === group.parts
  }
  if (kv.some(isComplete)) return true
  const whole = kv.filter(({ description: { group, signature } }) => group === null && signature.heads === null)
  if (layers === null) return whole.some(({ description }) => description.signature.layers.start === 0)
  return Array.from({ length: layers }, (_, layer) => layer).every((layer) =>
    whole.some(({ description: { signature } }) => signature.layers.start <= layer && layer < signature.layers.end),
  )
}
