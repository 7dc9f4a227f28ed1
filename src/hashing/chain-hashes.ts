/** What hash chains are made of. Packages are loaded when hashes are asked for, not with this module. */
import { hash as hashOnce } from 'node:crypto'
import type { ChainHashes, HashFunction } from '../core/ports.ts'
import { CHUNK_BYTES, compileChunkHash } from './blake3-chunk.ts'
import { fnv1a64 } from './fnv.ts'
import { xxh3x64 } from './xxh3.ts'

/** Waits once, for WebAssembly; what it gives never waits. The same on every machine: no native package is in it. */
export async function loadChainHashes(): Promise<ChainHashes> {
  const [blake3, xxh3x128] = await Promise.all([loadBlake3(), loadXxh3x128()])
  return { blake3, sha256, xxh3x128, xxh3x64, fnv1a64 }
}

async function loadBlake3(): Promise<HashFunction> {
  const [hashChunk, { hash }] = await Promise.all([compileChunkHash(), import('blake3-jit')])
  return {
    digestBytes: 32,
    digestInto: (message, target, offset) => {
      if (message.length <= CHUNK_BYTES) hashChunk(message, target, offset)
      else target.set(hash(message), offset)
    },
  }
}

const sha256: HashFunction = {
  digestBytes: 32,
  digestInto: (message, target, offset) => target.set(hashOnce('sha256', message, 'buffer'), offset),
}

async function loadXxh3x128(): Promise<HashFunction> {
  const { createXXHash128 } = await import('hash-wasm')
  const hasher = await createXXHash128()
  return {
    digestBytes: 16,
    digestInto: (message, target, offset) => target.set(hasher.init().update(message).digest('binary'), offset),
  }
}
