/** Fragments of two prompts, and indices to put them into. */
import { packBlockHashes } from '../../src/core/block-hashes.ts'
import type { FragmentDescription } from '../../src/core/fragment.ts'
import type { BlockHash, ContentHash, ModelFingerprint, TenantId } from '../../src/core/ids.ts'
import type { Embedder } from '../../src/core/ports.ts'
import type { Prompt } from '../../src/indices/exact-holders.ts'
import { FragmentIndices } from '../../src/indices/fragment-indices.ts'
import type { IndexedFragment } from '../../src/indices/indexed-fragment.ts'
import { bruteForceVectors } from '../../src/vectors/brute-force.ts'

export const MODEL = 'a'.repeat(64) as ModelFingerprint
export const TENANTS = ['one', 'two'] as TenantId[]
export const TENANT = 'one' as TenantId
export const LAYERS = 8
const BLOCK_TOKENS = 16
/** A prompt of which all fragments here are parts; a second one that begins alike. */
export const PROMPTS = ['aaaaaaaa', 'aaabbbbb'].map((names) =>
  Array.from(
    names,
    (name, index) => `b3-x:${(name.charCodeAt(0) * 256 + index).toString(16).padEnd(64, '0')}` as BlockHash,
  ),
)

export function contentHashOf(key: string): ContentHash {
  return `b3:${Array.from(key, (letter) => letter.charCodeAt(0).toString(16))
    .join('')
    .padEnd(64, '0')}` as ContentHash
}

/** Two letters, two directions. */
const EMBEDDER: Embedder = {
  id: 'letters',
  dimensions: 2,
  embed: (text) => {
    const [a, b] = ['a', 'b'].map((letter) => text.split(letter).length - 1)
    const length = Math.hypot(a ?? 0, b ?? 0)
    return length === 0 ? null : Float32Array.of((a ?? 0) / length, (b ?? 0) / length)
  },
}

export function newIndices(layers: number | null = LAYERS): FragmentIndices {
  const semantic = { embedder: EMBEDDER, vectors: bruteForceVectors }
  return new FragmentIndices({ node: 'here', seed: 5, clock: { nowMs: () => 1e6 }, layersOf: () => layers, semantic })
}

interface Parts {
  readonly key?: string
  readonly tenant?: TenantId
  readonly tier?: IndexedFragment['tier']
  readonly kind?: 'kv' | 'state'
  readonly layers?: readonly [number, number]
  readonly heads?: readonly [number, number] | null
  readonly dtype?: string
  readonly group?: FragmentDescription['group']
  readonly sequence?: string | null
  readonly text?: string | null
  readonly derivedFrom?: FragmentDescription['derivedFrom']
  readonly contentHash?: ContentHash
  readonly prompt?: number
  readonly blocks?: readonly [number, number]
}

/** Blocks `[start, end)` of a prompt, all layers, in memory. */
export function fragment({
  key = 'k',
  tenant = TENANT,
  tier = 'memory',
  kind = 'kv',
  layers: [layerStart, layerEnd] = [0, LAYERS],
  heads = null,
  dtype = 'BF16',
  group = null,
  sequence = null,
  text = null,
  derivedFrom = [],
  contentHash = contentHashOf(key),
  prompt = 0,
  blocks: [start, end] = [0, 4],
}: Parts = {}): IndexedFragment {
  const hashes = PROMPTS[prompt] ?? []
  return {
    key,
    tenant,
    tier,
    contentHash,
    payloadBytes: 1,
    description: {
      signature: {
        model: MODEL,
        kind,
        tokens: { start: start * BLOCK_TOKENS, end: end * BLOCK_TOKENS },
        layers: { start: layerStart, end: layerEnd },
        heads: heads === null ? null : { start: heads[0], end: heads[1] },
        dtype,
        layout: 'heads,tokens,headDim',
        positionEncoding: 'rope:10000',
      },
      parent: hashes[start - 1] ?? null,
      blocks: hashes.slice(start, end),
      blockTokens: BLOCK_TOKENS,
      group,
      text,
      sequence,
      derivedFrom,
    },
  }
}

export function prompt(number = 0, tenant = TENANT): Prompt {
  return { tenant, model: MODEL, hashes: packBlockHashes(PROMPTS[number] ?? []) }
}

export function localBlocks(indices: FragmentIndices): number {
  return indices.longestPrefix(prompt()).localBlocks
}
