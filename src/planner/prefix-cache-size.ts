import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** A whole number of blocks from 0 to LIMITS.cacheBlocksMax, or INVALID_CONFIG. `name` is for the message. */
export function checkedBlocks(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= LIMITS.cacheBlocksMax) return value
  throw new MembraneError(
    'INVALID_CONFIG',
    `${name} is ${value}, expected a whole number of blocks from 0 to ${LIMITS.cacheBlocksMax}.`,
    { details: { name, value, max: LIMITS.cacheBlocksMax }, remedy: `Correct ${name}.` },
  )
}
