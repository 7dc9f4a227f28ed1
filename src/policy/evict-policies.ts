/** The eviction policies by the names that users write. */
import { MembraneError } from '../core/errors.ts'
import { createChainLhd } from './evict-chain-lhd.ts'
import { createLeafLru } from './evict-leaf-lru.ts'
import { createLru } from './evict-lru.ts'
import { createS3Fifo } from './evict-s3-fifo.ts'
import type { EvictionPolicy } from './evict.ts'

/** Makes a policy for slots 0 to capacity - 1, all empty; capacity is a whole number of at least 0. Error messages list this table. */
export const EVICTION_POLICIES = {
  lru: createLru,
  'leaf-lru': createLeafLru,
  's3-fifo': createS3Fifo,
  'chain-lhd': createChainLhd,
} as const satisfies Readonly<Record<string, (capacity: number) => EvictionPolicy>>

/** Key of `EVICTION_POLICIES`. */
export type EvictionPolicyName = keyof typeof EVICTION_POLICIES

/**
 * What a store evicts by unless told otherwise: on the traces at hand it is at least as good as LRU at every size, and
 * far better where the cache is small (docs/benchmarks.md).
 */
export const DEFAULT_EVICTION_POLICY: EvictionPolicyName = 'chain-lhd'

/** Throws INVALID_CONFIG, naming the known ones, when there is no policy of this name. */
export function parseEvictionPolicy(name: string): EvictionPolicyName {
  if (isEvictionPolicyName(name)) return name
  const known = Object.keys(EVICTION_POLICIES)
  throw new MembraneError(
    'INVALID_CONFIG',
    `There is no eviction policy ${JSON.stringify(name)}, expected ${known.join(', ')}.`,
    { details: { policy: name, known }, remedy: `Choose one of ${known.join(', ')}.` },
  )
}

function isEvictionPolicyName(name: string): name is EvictionPolicyName {
  return Object.hasOwn(EVICTION_POLICIES, name)
}
