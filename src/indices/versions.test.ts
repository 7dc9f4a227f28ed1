import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { type BlockHash, parseBlockHash } from '../core/ids.ts'
import { PrefixVersions } from './versions.ts'

const version = (number: number): BlockHash => parseBlockHash(`b3c:${String(number).padStart(4, '0')}`)
const [v1, v2, v3, v4, v5] = [version(1), version(2), version(3), version(4), version(5)] as const

/** v1 <- v2 <- v4, and v2 <- v5; v3 stands alone. */
function supportBot(): PrefixVersions {
  const versions = new PrefixVersions()
  versions.add('bot', v1, null)
  versions.add('bot', v2, v1)
  versions.add('bot', v3, null)
  versions.add('bot', v4, v2)
  versions.add('bot', v5, v2)
  return versions
}

describe('versions of a prefix', () => {
  it('have a latest, a history and common ancestors', () => {
    const versions = supportBot()
    expect(versions.latest('bot')).toBe(v5)
    expect(versions.history('bot', v4)).toEqual([v4, v2, v1])
    expect(versions.history('bot', version(9))).toEqual([])
    expect(versions.commonAncestor('bot', v4, v5)).toBe(v2)
    expect(versions.commonAncestor('bot', v4, v1)).toBe(v1)
    expect(versions.commonAncestor('bot', v4, v4)).toBe(v4)
    expect(versions.commonAncestor('bot', v4, v3)).toBeNull()
    expect(versions.commonAncestor('bot', v4, version(9))).toBeNull()
  })

  it('know nothing of another lineage', () => {
    const versions = supportBot()
    expect(versions.latest('other')).toBeNull()
    expect(versions.history('other', v4)).toEqual([])
    expect(versions.versions('other')).toEqual([])
    expect(versions.add('other', v4, v2)).toBe('unknown-parent')
    expect(versions.latest('other')).toBeNull()
  })

  it('keep the parent that they were added with, so that they cannot form a cycle', () => {
    const versions = supportBot()
    expect(versions.add('bot', v4, v2)).toBe('present')
    expect(versions.add('bot', v1, v4)).toBe('other-parent')
    expect(versions.add('bot', v4, null)).toBe('other-parent')
    expect(versions.add('bot', version(6), version(6))).toBe('unknown-parent')
    expect(versions.latest('bot')).toBe(v5)
    expect(versions.history('bot', v1)).toEqual([v1])
  })

  it('stay connected when one between them is removed', () => {
    const versions = supportBot()
    expect(versions.remove('bot', v2)).toBe(true)
    expect(versions.remove('bot', v2)).toBe(false)
    expect(versions.history('bot', v4)).toEqual([v4, v1])
    expect(versions.commonAncestor('bot', v4, v5)).toBe(v1)
    versions.remove('bot', v1)
    expect(versions.commonAncestor('bot', v4, v5)).toBeNull()
    expect(versions.versions('bot')).toEqual([
      { version: v3, parent: null },
      { version: v4, parent: null },
      { version: v5, parent: null },
    ])
    versions.remove('bot', v5)
    expect(versions.latest('bot')).toBe(v4)
  })

  it('are no lineage when the last one is removed', () => {
    const versions = new PrefixVersions()
    versions.add('a', v1, null)
    versions.remove('a', v1)
    expect([versions.lineageCount, versions.latest('a')]).toEqual([0, null])
  })

  it('make room by the oldest of them, but not by the parent of the new one', () => {
    const versions = new PrefixVersions({ lineagesMax: 10, versionsMax: 3 })
    versions.add('a', v1, null)
    versions.add('a', v2, v1)
    versions.add('a', v3, v2)
    versions.add('a', v4, v3)
    expect(versions.history('a', v4)).toEqual([v4, v3, v2])
    versions.add('a', v5, v2)
    expect(versions.history('a', v5)).toEqual([v5, v2])
    expect(versions.history('a', v4)).toEqual([v4, v2])
  })

  it('make room by the lineage that was longest not added to', () => {
    const versions = new PrefixVersions({ lineagesMax: 2, versionsMax: 3 })
    versions.add('a', v1, null)
    versions.add('b', v1, null)
    versions.add('a', v2, v1)
    versions.add('c', v1, null)
    expect(['a', 'b', 'c'].map((lineage) => versions.latest(lineage))).toEqual([v2, null, v1])
  })

  it('hold to a plain model, whatever comes and goes', () => {
    const change = fc.record({
      version: fc.integer({ min: 1, max: 8 }),
      parent: fc.option(fc.integer({ min: 1, max: 8 })),
      isRemoval: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60, size: 'max' }), (changes) => {
        const versions = new PrefixVersions({ lineagesMax: 1, versionsMax: 5 })
        const model: { version: BlockHash; parent: BlockHash | null }[] = []
        const removeAt = (index: number): void => {
          const [gone] = model.splice(index, 1)
          for (const other of model) if (other.parent === gone?.version) other.parent = gone.parent
        }
        for (const { version: number, parent: parentNumber, isRemoval } of changes) {
          const name = version(number)
          const parent = parentNumber === null ? null : version(parentNumber)
          const index = model.findIndex((other) => other.version === name)
          if (isRemoval) {
            expect(versions.remove('a', name)).toBe(index >= 0)
            if (index >= 0) removeAt(index)
          } else if (versions.add('a', name, parent) === 'added') {
            expect(index).toBe(-1)
            model.push({ version: name, parent })
            if (model.length > 5) removeAt(model[0]?.version === parent ? 1 : 0)
          }
          expect(versions.versions('a')).toEqual(model)
          for (const { version: one } of model) {
            const history = versions.history('a', one)
            expect(new Set(history).size).toBe(history.length)
            expect(versions.commonAncestor('a', one, history.at(-1) ?? one)).toBe(history.at(-1))
          }
        }
      }),
      { numRuns: runs(100) },
    )
  })
})
