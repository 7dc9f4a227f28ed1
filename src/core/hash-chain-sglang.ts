/**
 * SGLang's pages: SHA-256( hash of the page before, nothing for the first | tokens, unsigned 32-bit little-endian ).
 * It knows neither adapter nor salt nor media: SGLang keeps those apart by other means.
 */
import type { BlockLink, ChainAlgorithm } from './hash-chain-run.ts'
import type { HashFunction } from './ports.ts'

const DIGEST_BYTES = 32

export function sglangAlgorithm(sha256: HashFunction, blockTokens: number): ChainAlgorithm {
  return {
    id: 'sglang',
    digestBytes: DIGEST_BYTES,
    binds: [],
    start: (_, parent) => sglangLink(sha256, blockTokens, parent),
  }
}

function sglangLink(sha256: HashFunction, blockTokens: number, parent: Uint8Array | null): BlockLink {
  const message = new Uint8Array(DIGEST_BYTES + 4 * blockTokens)
  const before = message.subarray(0, DIGEST_BYTES)
  const onlyTokens = message.subarray(DIGEST_BYTES)
  const view = new DataView(message.buffer)
  let isFirst = parent === null
  if (parent !== null) before.set(parent)
  return {
    link: (tokens, first, _media, target, offset) => {
      for (let index = 0; index < blockTokens; index++) {
        view.setUint32(DIGEST_BYTES + 4 * index, tokens[first + index] ?? 0, true)
      }
      sha256.digestInto(isFirst ? onlyTokens : message, message, 0)
      isFirst = false
      target.set(before, offset)
    },
  }
}
