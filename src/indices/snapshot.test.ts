import { describe, expect, test } from 'vitest'
import type { BlockHash, ModelFingerprint, TenantId } from '../core/ids.ts'
import type { StoredEntry } from '../core/ports.ts'
import { MembraneError } from '../core/errors.ts'
import { packBlockHashes } from '../core/block-hashes.ts'
import { loadPureContentHashers } from '../hashing/content-hashers.ts'
import { FragmentIndices } from './fragment-indices.ts'
import type { IndexedFragment } from './indexed-fragment.ts'
import { type DescribeEntry, rebuildIndices } from './rebuild.ts'
import { encodeSnapshot, restoreSnapshot } from './snapshot.ts'

const TENANT = 'one' as TenantId
const MODEL = 'a'.repeat(64) as ModelFingerprint
const BLOCKS = Array.from(
  { length: 40 },
  (_, index) => `b3-x:${index.toString(16).padStart(2, '0').repeat(32)}` as BlockHash,
)
const { b3: hasher } = await loadPureContentHashers()
const PROMPT = { tenant: TENANT, model: MODEL, hashes: packBlockHashes(BLOCKS) }
let nowMs = 1e6

function newIndices(): FragmentIndices {
  return new FragmentIndices({ node: 'here', seed: 5, clock: { nowMs: () => nowMs } })
}

/** Block `index`, under the key of its number. */
function fragment(index: number, parts: Partial<IndexedFragment> = {}): IndexedFragment {
  return {
    key: String(index),
    tenant: TENANT,
    tier: 'disk',
    contentHash: hasher.hash(Uint8Array.of(index)),
    payloadBytes: 1,
    description: {
      signature: {
        model: MODEL,
        kind: 'kv',
        tokens: { start: 16 * index, end: 16 * index + 16 },
        layers: { start: 0, end: 2 },
        heads: null,
        dtype: 'BF16',
        layout: 'heads,tokens,headDim',
        positionEncoding: 'none',
      },
      parent: BLOCKS[index - 1] ?? null,
      blocks: BLOCKS.slice(index, index + 1),
      blockTokens: 16,
      group: null,
      text: 'Grüße',
      sequence: 's',
      derivedFrom: [],
    },
    ...parts,
  }
}

function filled(): FragmentIndices {
  const indices = newIndices()
  for (let index = 0; index < BLOCKS.length; index++) indices.insert(fragment(index))
  indices.accessed({ tenant: TENANT, session: 's' }, ['3', '1', '2'])
  indices.recordEdge({ from: '5', to: '4', kind: 'version-of', weight: 2, atMs: nowMs })
  return indices
}

function bytesOf(indices: FragmentIndices, stamp = 'now'): Uint8Array {
  return Uint8Array.from([...encodeSnapshot(indices, { hasher, stamp })].flatMap((piece) => [...piece]))
}

describe('a snapshot of the indices', () => {
  test('brings back all fragments and edges, as heavy as they are by then', () => {
    const bytes = bytesOf(filled())
    nowMs += 600_000
    const indices = newIndices()
    expect(restoreSnapshot(indices, bytes, { hasher, stamp: 'now' })).toEqual({
      kind: 'restored',
      fragments: BLOCKS.length,
      edges: 4,
    })
    expect([...indices.fragments()]).toEqual([...filled().fragments()])
    expect(indices.longestPrefix(PROMPT).localBlocks).toBe(BLOCKS.length)
    const [near, far] = indices.neighbours('3', { limit: 9, kinds: ['co-accessed'] })
    expect([near?.key, far?.key]).toEqual(['1', '2'])
    expect(near?.weight).toBeCloseTo(0.5)
    expect(far?.weight).toBeCloseTo(0.25)
    expect(indices.neighbours('4', { limit: 9 })).toMatchObject([
      { key: '5', kind: 'version-of', direction: 'in', weight: 2 },
      { key: '3', kind: 'prefix-of', direction: 'in' },
      { key: '5', kind: 'prefix-of', direction: 'out' },
    ])
    expect(indices.inconsistencies()).toEqual([])
  })

  test('is cut into pieces that are the same bytes', () => {
    const indices = newIndices()
    for (let index = 0; index < 600; index++) {
      const { description, ...rest } = fragment(index % 40)
      indices.insert({ ...rest, key: `k${index}`, description: { ...description, text: 'ü'.repeat(1000) } })
    }
    const pieces = [...encodeSnapshot(indices, { hasher, stamp: 'now' })]
    expect(pieces.length).toBeGreaterThan(4)
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThan(300 * 1024)
    const restored = newIndices()
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
    pieces.reduce((at, piece) => (bytes.set(piece, at), at + piece.length), 0)
    expect(restoreSnapshot(restored, bytes, { hasher, stamp: null }).kind).toBe('restored')
    expect([...restored.fragments()]).toEqual([...indices.fragments()])
  })

  test('is refused when any byte is another, or some are missing', () => {
    const small = newIndices()
    small.insert(fragment(0))
    const bytes = bytesOf(small)
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Uint8Array.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ 1
      const indices = newIndices()
      expect(restoreSnapshot(indices, damaged, { hasher, stamp: 'now' }).kind).toBe('refused')
      expect(restoreSnapshot(indices, bytes.subarray(0, at), { hasher, stamp: 'now' }).kind).toBe('refused')
      expect(indices.count).toBe(0)
    }
  })

  test('is refused when it is of another version, or of another state of the store', () => {
    const bytes = bytesOf(filled())
    const indices = newIndices()
    expect(restoreSnapshot(indices, bytes, { hasher, stamp: 'later' })).toEqual({ kind: 'refused', reason: 'stale' })
    bytes[8] = 99
    expect(restoreSnapshot(indices, bytes, { hasher, stamp: 'now' })).toEqual({ kind: 'refused', reason: 'version' })
    expect(restoreSnapshot(indices, new Uint8Array(3), { hasher, stamp: 'now' })).toEqual({
      kind: 'refused',
      reason: 'damaged',
    })
  })
})

describe('a rebuild from the store', () => {
  const entryOf = (key: string): StoredEntry => ({
    key,
    head: new Uint8Array(0),
    payloadBytes: 1,
    contentHash: hasher.hash(Uint8Array.of(Number(key))),
    expiresAtMs: null,
  })
  const listing = async function* (keys: readonly (string | number)[]): AsyncGenerator<StoredEntry> {
    for (const key of keys) yield entryOf(String(key))
  }
  const describeEntry: DescribeEntry = (entry) => fragment(Number(entry.key))

  test('inserts what is new, replaces what has changed, and removes what the store lacks', async () => {
    const indices = newIndices()
    indices.insert(fragment(1))
    indices.insert(fragment(2, { contentHash: hasher.hash(Uint8Array.of(99)) }))
    indices.insert(fragment(3))
    const report = await rebuildIndices(indices, listing([0, 1, 2]), describeEntry)
    expect(report).toEqual({ inserted: 2, unchanged: 1, removed: 1, refused: 0, reasons: [] })
    expect(new Set(indices.fragments())).toEqual(new Set([fragment(0), fragment(1), fragment(2)]))
  })

  test('keeps the edges of a snapshot of an older state', async () => {
    const indices = newIndices()
    restoreSnapshot(indices, bytesOf(filled(), 'older'), { hasher, stamp: null })
    const report = await rebuildIndices(indices, listing([1, 2]), describeEntry)
    expect(report).toMatchObject({ inserted: 0, unchanged: 2, removed: BLOCKS.length - 2 })
    expect(indices.prefetchCandidates(['1'], { limit: 9 })).toMatchObject([{ key: '2' }])
    expect(indices.inconsistencies()).toEqual([])
  })

  test('counts and explains what it cannot take, and forgets what was known under its key', async () => {
    const indices = newIndices()
    indices.insert(fragment(1))
    const error = new MembraneError('INVALID_FRAGMENT', 'This is no description.')
    const report = await rebuildIndices(indices, listing([0, 1, 2]), (entry) => {
      if (entry.key === '1') throw error
      return entry.key === '2' ? null : describeEntry(entry)
    })
    expect(report).toEqual({ inserted: 1, unchanged: 0, removed: 1, refused: 2, reasons: [{ key: '1', error }] })
    expect([...indices.fragments()]).toEqual([fragment(0)])
  })

  test('keeps what is put while it runs', async () => {
    const indices = newIndices()
    indices.insert(fragment(1))
    const entries = async function* (): AsyncGenerator<StoredEntry> {
      yield entryOf('0')
      indices.insert(fragment(1, { tier: 'memory' }))
      indices.insert(fragment(7))
    }
    await rebuildIndices(indices, entries(), describeEntry)
    expect(new Set(Array.from(indices.fragments(), ({ key }) => key))).toEqual(new Set(['0', '1', '7']))
  })

  test('ends with the bug or the failure of the store that it meets', async () => {
    const broken = async function* (): AsyncGenerator<StoredEntry> {
      yield entryOf('0')
      throw new MembraneError('STORE_UNAVAILABLE', 'The store does not answer.')
    }
    await expect(rebuildIndices(newIndices(), broken(), describeEntry)).rejects.toThrow('does not answer')
    const bug = (): never => {
      throw new TypeError('bug')
    }
    await expect(rebuildIndices(newIndices(), listing([0]), bug)).rejects.toThrow('bug')
  })
})
