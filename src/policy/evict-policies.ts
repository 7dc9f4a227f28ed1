/** The eviction policies by the names that users write. */
import { MembraneError } from '../core/errors.ts'
import { createLru, type EvictionPolicy } from './evict.ts'

/** Makes a policy for slots 0 to capacity - 1, all empty. Error messages list this table. */
export const EVICTION_POLICIES = {
  lru: createLru,
} as const satisfies Readonly<Record<string, (capacity: number) => EvictionPolicy>>

/** Key of `EVICTION_POLICIES`. */
export type EvictionPolicyName = keyof typeof EVICTION_POLICIES

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
