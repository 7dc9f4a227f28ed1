/** Checks of what callers hand over. */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'

/** Throws ABORTED when the caller has cancelled the call. */
export function throwIfAborted({ signal }: CallOptions): void {
  if (signal?.aborted === true) throw new MembraneError('ABORTED', 'The call was cancelled.', { cause: signal.reason })
}

/** Throws INVALID_CONFIG when an option is no whole number in its range. */
export function checkCount(name: string, count: number, min: number, max: number): void {
  if (!Number.isInteger(count) || count < min || count > max)
    throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from ${min} to ${max}; found ${count}.`)
}
