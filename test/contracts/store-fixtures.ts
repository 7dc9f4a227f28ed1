/** Fragments, hashers and a clock for tests of stores. */
import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import type { ErrorCode } from '../../src/core/errors.ts'
import { type ContentHash, parseContentHash } from '../../src/core/ids.ts'
import type {
  Clock,
  ContentHasher,
  ContentHashers,
  FragmentPut,
  FragmentStore,
  StoredEntry,
} from '../../src/core/ports.ts'

export const HOUR_MS = 3_600_000

export interface StoreUnderTest {
  /** An empty store. What it is told about time, it takes from the clock; hours pass on it within a test. */
  readonly open: (clock: Clock) => Promise<FragmentStore>
  /** Opens what the store of the last `open` holds, after it was closed. Left out by stores that keep nothing. */
  readonly reopen?: (clock: Clock) => Promise<FragmentStore>
  /** Runs after each test, when its stores are closed. */
  readonly cleanUp?: () => Promise<void>
  /** True for a store that may list an entry twice. Default false. */
  readonly maySayTwice?: boolean
}

/** A store for one test, and its clock. */
export type WithStore = (use: (store: FragmentStore, clock: VirtualClock) => Promise<void>) => () => Promise<void>

export class VirtualClock implements Clock {
  #nowMs = Date.UTC(2026, 0, 1)

  nowMs(): number {
    return this.#nowMs
  }

  advance(ms: number): void {
    this.#nowMs += ms
  }
}

/** Bytes that differ from seed to seed, and within themselves: no two parts of some size are alike. */
export function bytesOf(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = (seed * 2_654_435_761 + length) >>> 0
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[index] = state >>> 24
  }
  return bytes
}

export function sha256Of(payload: Uint8Array): ContentHash {
  return parseContentHash(`s256:${createHash('sha256').update(payload).digest('hex')}`)
}

/** A put whose hash is that of its payload. */
export function fragmentOf(
  key: string,
  payload: Uint8Array,
  rest: { readonly head?: Uint8Array; readonly expiresAtMs?: number | null } = {},
): FragmentPut & { readonly payload: Uint8Array } {
  const { head = new Uint8Array(0), expiresAtMs = null } = rest
  return { key, head, payloadBytes: payload.length, contentHash: sha256Of(payload), expiresAtMs, payload }
}

/** The payload in pieces that lie in one buffer: each is overwritten by the next. */
export async function* piecesOf(payload: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(pieceBytes)
  for (let start = 0; start < payload.length; start += pieceBytes) {
    const piece = payload.subarray(start, start + pieceBytes)
    buffer.set(piece)
    yield buffer.subarray(0, piece.length)
    buffer.fill(0xee)
  }
}

/** All bytes of a stream. Each chunk is copied before the next is asked for. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const copies: Uint8Array[] = []
  for await (const chunk of chunks) copies.push(new Uint8Array(chunk))
  return new Uint8Array(Buffer.concat(copies))
}

export async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const array: T[] = []
  for await (const item of items) array.push(item)
  return array
}

const sha256Hasher = (algorithm: ContentHasher['algorithm']): ContentHasher => {
  const prefix = algorithm === 'b3' ? 'b3:' : 's256:'
  return {
    algorithm,
    hash: (payload) => parseContentHash(prefix + createHash('sha256').update(payload).digest('hex')),
    start: () => {
      const running = createHash('sha256')
      return {
        update: (piece) => void running.update(piece),
        contentHash: () => parseContentHash(prefix + running.digest('hex')),
      }
    },
  }
}

/** Both are SHA-256 at heart: tests of stores ask who is called, not how a hash is computed. */
export const TEST_HASHERS: ContentHashers = { b3: sha256Hasher('b3'), s256: sha256Hasher('s256') }

/** Compared in one step: `toEqual` takes seconds to say that megabytes are alike. */
export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** Expects what `get`, `stream` (without its chunks), `head` or `list` answers to be the entry that was put. */
export function expectEntry(found: StoredEntry | null | undefined, put: FragmentPut): void {
  const plain = ({ key, head, payloadBytes, contentHash, expiresAtMs }: StoredEntry) => ({
    key,
    head: Buffer.from(head).toString('hex'),
    payloadBytes,
    contentHash,
    expiresAtMs,
  })
  const expected = plain({ ...put, expiresAtMs: put.expiresAtMs ?? null })
  expect(found === null || found === undefined ? found : plain(found)).toEqual(expected)
}

/** Expects a whole entry, payload included. */
export function expectFragment(
  found: (StoredEntry & { readonly payload: Uint8Array }) | null,
  put: FragmentPut & { readonly payload: Uint8Array },
): void {
  expectEntry(found, put)
  expect(found !== null && isSameBytes(found.payload, put.payload), `payload of ${JSON.stringify(put.key)}`).toBe(true)
}

export function rejectsWith(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  return expect(promise).rejects.toMatchObject({ name: 'MembraneError', code })
}
