import { describe, expect, test } from 'vitest'
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import type { FragmentPut, FragmentStore, Quarantine, QuarantinedBytes, StoredStream } from '../core/ports.ts'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import {
  bytesOf,
  collect,
  expectFragment,
  fragmentOf,
  isSameBytes,
  piecesOf,
  rejectsWith,
  TEST_HASHERS,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { MemoryStore } from './memory.ts'
import { VerifiedStore } from './verified.ts'

describeFragmentStore('VerifiedStore of a MemoryStore', {
  open: async (clock) => {
    const { hashers } = await loadContentHashers()
    return new VerifiedStore({ store: new MemoryStore(clock), hashers, quarantine: null })
  },
})

describeFragmentStore('VerifiedStore that trusts a MemoryStore', {
  open: async (clock) => trusting(new MemoryStore(clock)),
})

const SIZE = 3_000_000

describe('VerifiedStore', () => {
  test('takes no payload whose hash is another, whole or in pieces, and leaves what was there', async () => {
    const store = verified(new MemoryStore(new VirtualClock()))
    const before = fragmentOf('k', bytesOf(10))
    await store.put(before)
    const lie = { ...fragmentOf('k', bytesOf(1000, 1)), contentHash: fragmentOf('k', bytesOf(1000, 2)).contentHash }
    await rejectsWith(store.put(lie), 'CONTENT_MISMATCH')
    await rejectsWith(store.put({ ...lie, payload: piecesOf(lie.payload, 300) }), 'CONTENT_MISMATCH')
    expectFragment(await store.get('k'), before)
    expect(store.damage()).toEqual({ mismatches: 0, evidenceLost: 0 })
  })

  test('asks the hasher that the hash names', async () => {
    const store = verified(new MemoryStore(new VirtualClock()))
    const put = fragmentOf('k', bytesOf(10))
    const b3 = { ...put, contentHash: parseContentHash(put.contentHash.replace('s256:', 'b3:')) }
    await store.put(b3)
    expectFragment(await store.get('k'), b3)
  })

  test.each([
    ['the whole', undefined],
    ['a part that is not the damaged one', { start: 0, end: 10 }],
    ['no byte of it', { start: 5, end: 5 }],
  ])('answers %s of a damaged payload with a miss, keeps the evidence and takes a good copy', async (_, span) => {
    const { inner, store, put, evidence } = await damaged()
    const options = span === undefined ? {} : { span }
    expect(await store.get('k', options)).toBeNull()
    expect(store.damage()).toEqual({ mismatches: 1, evidenceLost: 0 })
    expect(store.stats().corruptEntries).toBe(1)
    expect(evidence).toMatchObject([{ key: 'k', expected: put.contentHash }])
    expect(evidence[0] !== undefined && isSameBytes(evidence[0].payload, damageOf(put.payload))).toBe(true)
    expect(await inner.has(['k'])).toEqual([false])
    expect(await store.put(put)).toBe('stored')
    expectFragment(await store.get('k'), put)
  })

  test.each([
    ['the whole', undefined],
    ['a part before the damage', { start: 5, end: 2_000_000 }],
    ['no byte of it', { start: 5, end: 5 }],
  ])('breaks a stream of %s before its end when the payload is damaged', async (_, span) => {
    const { inner, store, put, evidence } = await damaged()
    const stream = await store.stream('k', span === undefined ? {} : { span })
    let readBytes = 0
    const reading = async (): Promise<void> => {
      for await (const chunk of chunksOf(stream)) readBytes += chunk.length
    }
    await rejectsWith(reading(), 'CONTENT_MISMATCH')
    const { start, end } = span ?? { start: 0, end: SIZE }
    expect(readBytes).toBeLessThan(Math.max(1, end - start))
    expect(evidence).toHaveLength(1)
    expect(store.damage().mismatches).toBe(1)
    expect(await inner.has(['k'])).toEqual([false])
    await store.put(put)
    expect(isSameBytes(await collect(chunksOf(await store.stream('k'))), put.payload)).toBe(true)
  })

  test('breaks a stream whose store gives fewer bytes than it says', async () => {
    const inner = new MemoryStore(new VirtualClock())
    await inner.put(fragmentOf('k', bytesOf(0)))
    const short = { ...pick(inner), stream: async () => shortened(await inner.stream('k')) }
    const store = new VerifiedStore({ store: short, hashers: TEST_HASHERS, quarantine: null })
    await rejectsWith(collect(chunksOf(await store.stream('k'))), 'CONTENT_MISMATCH')
  })

  test('leaves a good copy that came while the damaged one was looked at', async () => {
    const { inner, put } = await damaged()
    const quarantine: Quarantine = { keep: async () => void (await inner.put({ ...put, head: bytesOf(1) })), clear }
    const store = new VerifiedStore({ store: inner, hashers: TEST_HASHERS, quarantine })
    expect(await store.get('k')).toBeNull()
    expectFragment(await store.get('k'), { ...put, head: bytesOf(1) })
  })

  test('hashes nothing that comes out of memory that is trusted, and everything that goes in', async () => {
    const hashed: number[] = []
    const store = trusting(new MemoryStore(new VirtualClock()), (bytes) => hashed.push(bytes))
    const put = fragmentOf('k', bytesOf(1000))
    await store.put(put)
    await rejectsWith(store.put({ ...put, payload: bytesOf(1000, 1) }), 'CONTENT_MISMATCH')
    expect(hashed).toEqual([1000, 1000])
    expectFragment(await store.get('k'), put)
    await store.get('k', { span: { start: 1, end: 2 } })
    expect(isSameBytes(await collect(chunksOf(await store.stream('k'))), put.payload)).toBe(true)
    expect(hashed).toHaveLength(2)
  })

  test('trusts no store that lies outside of this process', () => {
    const remote = pick(new MemoryStore(new VirtualClock()))
    expect(() => trusting(remote)).toThrow('verified')
  })

  test('hashes once what the caller has just hashed, and never takes the word of pieces', async () => {
    const hashed: number[] = []
    const store = trusting(new MemoryStore(new VirtualClock()), (bytes) => hashed.push(bytes))
    const put = fragmentOf('k', bytesOf(1000))
    await store.put({ ...put, isHashComputed: true })
    expect(hashed).toEqual([])
    const lie = { ...put, key: 'lie', payload: piecesOf(bytesOf(1000, 1), 300), isHashComputed: true }
    await rejectsWith(store.put(lie), 'CONTENT_MISMATCH')
  })

  test('answers with a miss though the evidence cannot be kept, and says so', async () => {
    const { inner } = await damaged()
    const quarantine: Quarantine = { keep: () => Promise.reject(new Error('disk full')), clear }
    const store = new VerifiedStore({ store: inner, hashers: TEST_HASHERS, quarantine })
    expect(await store.get('k')).toBeNull()
    expect(store.damage()).toEqual({ mismatches: 1, evidenceLost: 1 })
    expect(await inner.has(['k'])).toEqual([false])
  })
})

const clear = async (): Promise<void> => {}

function verified(store: FragmentStore): VerifiedStore {
  return new VerifiedStore({ store, hashers: TEST_HASHERS, quarantine: null })
}

function trusting(store: FragmentStore, onHash: (bytes: number) => void = () => {}): VerifiedStore {
  const hash = (payload: Uint8Array): ContentHash => {
    onHash(payload.length)
    return TEST_HASHERS.s256.hash(payload)
  }
  const hashers = { ...TEST_HASHERS, s256: { ...TEST_HASHERS.s256, hash } }
  return new VerifiedStore({ store, hashers, quarantine: null, areReadsVerified: false })
}

/** A store that holds bytes under the name of others: the last one differs. */
async function damaged() {
  const inner = new MemoryStore(new VirtualClock())
  const put = fragmentOf('k', bytesOf(SIZE))
  await inner.put({ ...put, payload: damageOf(put.payload) })
  const evidence: QuarantinedBytes[] = []
  const quarantine: Quarantine = { keep: async (bytes) => void evidence.push(bytes), clear }
  return { inner, put, evidence, store: new VerifiedStore({ store: inner, hashers: TEST_HASHERS, quarantine }) }
}

function damageOf(payload: Uint8Array): Uint8Array {
  const copy = payload.slice()
  copy[copy.length - 1] = (copy[copy.length - 1] ?? 0) ^ 1
  return copy
}

function chunksOf(stream: StoredStream | null): AsyncIterable<Uint8Array> {
  return stream?.chunks ?? expect.unreachable('the entry should be there')
}

function shortened(stream: StoredStream | null): StoredStream | null {
  return stream === null ? null : { ...stream, payloadBytes: stream.payloadBytes + 1 }
}

function pick(store: FragmentStore): FragmentStore {
  return {
    put: (fragment: FragmentPut) => store.put(fragment),
    get: (key, options) => store.get(key, options),
    stream: (key, options) => store.stream(key, options),
    head: (key) => store.head(key),
    has: (keys) => store.has(keys),
    remove: (keys) => store.remove(keys),
    list: (prefix) => store.list(prefix),
    stats: () => store.stats(),
    sync: () => store.sync(),
    purge: () => store.purge(),
    close: () => store.close(),
  }
}
