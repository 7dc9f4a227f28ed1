/**
 * Names the bytes of payloads: BLAKE3 by a native package where there is a binary for the machine, by JavaScript and
 * WebAssembly where there is none, with equal digests; SHA-256 by Node.
 */
import { createHash, hash as hashOnce } from 'node:crypto'
import type { Blake3Hasher } from '@napi-rs/blake-hash'
import { bytesToHex } from '../core/hex.ts'
import type { ContentHash } from '../core/ids.ts'
import type { ContentHasher, ContentHashers } from '../core/ports.ts'

/** The hashers of both algorithms, and what stands behind them. */
export interface LoadedContentHashers {
  readonly hashers: ContentHashers
  /** What stands behind BLAKE3: `native` is some four times faster. */
  readonly implementation: 'native' | 'pure'
  /** Why it is `pure`; null where it is `native`. */
  readonly reason: string | null
}

/** The fastest that the machine can run. `importNative` is for tests. */
export async function loadContentHashers(
  importNative: () => Promise<NativeBlake3> = () => import('@napi-rs/blake-hash'),
): Promise<LoadedContentHashers> {
  try {
    const b3 = nativeBlake3(await importNative())
    const empty = b3.hash(new Uint8Array(0))
    if (empty !== HASH_OF_NOTHING) throw new Error(`The native package says that nothing has the hash ${empty}.`)
    return { hashers: { b3, s256 }, implementation: 'native', reason: null }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { hashers: await loadPureContentHashers(), implementation: 'pure', reason }
  }
}

/** Without native code: the same hashes on every machine that runs us, at about 1 GB/s. */
export async function loadPureContentHashers(): Promise<ContentHashers> {
  const { createHasher, hash } = await import('blake3-jit')
  const b3: ContentHasher = {
    algorithm: 'b3',
    hash: (payload) => named(hash(payload)),
    start: () => {
      const hasher = createHasher()
      return {
        update: (piece) => void hasher.update(piece),
        contentHash: () => named(hasher.finalize()),
      }
    },
  }
  return { b3, s256 }
}

const HASH_OF_NOTHING = 'b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'

const s256: ContentHasher = {
  algorithm: 's256',
  hash: (payload) => `s256:${hashOnce('sha256', payload, 'hex')}` as ContentHash,
  start: () => {
    const hasher = createHash('sha256')
    return {
      update: (piece) => void hasher.update(piece),
      contentHash: () => `s256:${hasher.digest('hex')}` as ContentHash,
    }
  },
}

/** What is used of `@napi-rs/blake-hash`. */
export interface NativeBlake3 {
  readonly blake3: (input: Uint8Array) => Uint8Array
  readonly Blake3Hasher: new () => Blake3Hasher
}

function nativeBlake3({ blake3, Blake3Hasher }: NativeBlake3): ContentHasher {
  return {
    algorithm: 'b3',
    hash: (payload) => named(blake3(payload)),
    start: () => {
      const hasher = new Blake3Hasher()
      return {
        update: (piece) => void hasher.update(piece),
        contentHash: () => named(hasher.digestBuffer()),
      }
    },
  }
}

function named(digest: Uint8Array): ContentHash {
  return `b3:${bytesToHex(digest)}` as ContentHash
}
