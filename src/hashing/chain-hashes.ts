/** What hash chains are made of. */
import { hash as hashOnce } from 'node:crypto'
import { hashInto } from 'blake3-jit'
import { createXXHash128 } from 'hash-wasm'
import type { ChainHashes, HashFunction } from '../core/ports.ts'
import { fnv1a64 } from './fnv.ts'
import { xxh3x64 } from './xxh3.ts'

/** Waits once, for WebAssembly; what it gives never waits. */
export async function loadChainHashes(): Promise<ChainHashes> {
  return { blake3, sha256, xxh3x128: await loadXxh3x128(), xxh3x64, fnv1a64 }
}

const blake3: HashFunction = {
  digestBytes: 32,
  digestInto: (message, target, offset) => {
    hashInto(message, blake3Digest)
    target.set(blake3Digest, offset)
  },
}

const blake3Digest = new Uint8Array(32)

const sha256: HashFunction = {
  digestBytes: 32,
  digestInto: (message, target, offset) => target.set(hashOnce('sha256', message, 'buffer'), offset),
}

async function loadXxh3x128(): Promise<HashFunction> {
  const hasher = await createXXHash128()
  return {
    digestBytes: 16,
    digestInto: (message, target, offset) => target.set(hasher.init().update(message).digest('binary'), offset),
  }
}
