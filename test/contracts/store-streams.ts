/** Part of the contract of fragment stores: payloads that come and go in pieces. */
import { expect, test } from 'vitest'
import type { StoredStream } from '../../src/core/ports.ts'
import {
  bytesOf,
  collect,
  expectEntry,
  expectFragment,
  fragmentOf,
  isSameBytes,
  piecesOf,
  rejectsWith,
  type WithStore,
} from './store-fixtures.ts'

/** Larger than what a store may reasonably hold back of a stream. */
const LARGE_BYTES = 6_000_000

export function describeStoreStreams(withStore: WithStore): void {
  test.each([
    [0, 10],
    [1, 10],
    [100_000, 777],
    [65_536, 65_536],
    [2_500_000, 1_000_000],
  ])('takes %i bytes in pieces of %i that lie in one buffer', (payloadBytes, pieceBytes) =>
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(payloadBytes), { head: bytesOf(77) })
      expect(await store.put({ ...put, payload: piecesOf(put.payload, pieceBytes) })).toBe('stored')
      expectFragment(await store.get('k'), put)
      expect(await store.put(put)).toBe('present')
      const other = fragmentOf('k', bytesOf(payloadBytes + 1, 1))
      expect(await store.put({ ...other, payload: piecesOf(other.payload, pieceBytes) })).toBe('replaced')
      expectFragment(await store.get('k'), other)
    })(),
  )

  test(
    'takes pieces without bytes among others',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(10))
      const pieces = async function* (): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(0)
        yield* piecesOf(put.payload, 4)
        yield new Uint8Array(0)
      }
      await store.put({ ...put, payload: pieces() })
      expectFragment(await store.get('k'), put)
    }),
  )

  test(
    'leaves everything as it was when the pieces throw, are too few or too many',
    withStore(async (store) => {
      const before = fragmentOf('k', bytesOf(5000, 1))
      await store.put(before)
      const put = fragmentOf('k', bytesOf(300_000, 2))
      let isReleased = false
      const tooMany = async function* (): AsyncGenerator<Uint8Array> {
        try {
          yield put.payload
          yield new Uint8Array(1)
          yield new Uint8Array(1)
        } finally {
          isReleased = true
        }
      }
      const throwing = async function* (): AsyncGenerator<Uint8Array> {
        yield put.payload.subarray(0, 200_000)
        throw new Error('The source broke.')
      }
      for (const key of ['k', 'new']) {
        isReleased = false
        const few = piecesOf(put.payload.subarray(1), 65_536)
        await rejectsWith(store.put({ ...put, key, payload: few }), 'CONTENT_MISMATCH')
        await rejectsWith(store.put({ ...put, key, payload: tooMany() }), 'CONTENT_MISMATCH')
        expect(isReleased).toBe(true)
        await expect(store.put({ ...put, key, payload: throwing() })).rejects.toThrow('The source broke.')
      }
      expectFragment(await store.get('k'), before)
      expect(await store.has(['new'])).toEqual([false])
      expect(store.stats()).toEqual({ entries: 1, payloadBytes: 5000, corruptEntries: 0 })
      await store.put(put)
      expectFragment(await store.get('k'), put)
    }),
  )

  test(
    'shows a put in pieces only when it is whole',
    withStore(async (store) => {
      const before = fragmentOf('k', bytesOf(5000, 1))
      await store.put(before)
      const put = fragmentOf('k', bytesOf(600_000, 2))
      const pieces = async function* (): AsyncGenerator<Uint8Array> {
        for await (const piece of piecesOf(put.payload, 150_000)) {
          expectFragment(await store.get('k'), before)
          yield piece
        }
      }
      await store.put({ ...put, payload: pieces() })
      expectFragment(await store.get('k'), put)
    }),
  )

  test.each([0, 1, 65_537, LARGE_BYTES])('streams %i bytes, and any span of them', (size) =>
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(size), { head: bytesOf(99) })
      await store.put(put)
      const spans = [undefined, { start: 0, end: size }, { start: size >> 1, end: size }, { start: size, end: size }]
      for (const span of spans) {
        const stream = await store.stream('k', span === undefined ? {} : { span })
        expectEntry(stream, put)
        const bytes = await collect(chunksOf(stream))
        expect(isSameBytes(bytes, put.payload.subarray(span?.start ?? 0, span?.end ?? size))).toBe(true)
      }
    })(),
  )

  test(
    'streams to several readers at once',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(LARGE_BYTES))
      await store.put(put)
      const all = await Promise.all([1, 2, 3].map(async () => collect(chunksOf(await store.stream('k')))))
      expect(all.every((bytes) => isSameBytes(bytes, put.payload))).toBe(true)
    }),
  )

  test(
    'lets a reader leave a stream early, or never begin',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(LARGE_BYTES))
      await store.put(put)
      await store.stream('k')
      for (let turn = 0; turn < 3; turn++) {
        for await (const chunk of chunksOf(await store.stream('k'))) {
          expect(isSameBytes(chunk, put.payload.subarray(0, chunk.length))).toBe(true)
          break
        }
      }
      expectFragment(await store.get('k'), put)
      expect(await store.remove(['k'])).toBe(1)
    }),
  )

  test.each(['replaced', 'removed'] as const)(
    'ends a stream whose entry is %s meanwhile with the old bytes or with STORE_UNAVAILABLE, never with others',
    (change) =>
      withStore(async (store) => {
        const put = fragmentOf('k', bytesOf(LARGE_BYTES, 1))
        await store.put(put)
        const read: Uint8Array[] = []
        const reading = async (): Promise<string> => {
          for await (const chunk of chunksOf(await store.stream('k'))) {
            read.push(new Uint8Array(chunk))
            if (read.length > 1) continue
            if (change === 'removed') await store.remove(['k'])
            else await store.put(fragmentOf('k', bytesOf(LARGE_BYTES, 2)))
          }
          return 'whole'
        }
        const end = await reading().catch((error: { code?: string }) => error.code)
        expect(['whole', 'STORE_UNAVAILABLE']).toContain(end)
        const bytes = Buffer.concat(read)
        if (end === 'whole') expect(bytes.length).toBe(LARGE_BYTES)
        expect(isSameBytes(bytes, put.payload.subarray(0, bytes.length))).toBe(true)
      })(),
  )
}

function chunksOf(stream: StoredStream | null): AsyncIterable<Uint8Array> {
  return stream?.chunks ?? expect.unreachable('the entry should be there')
}
