/** What every call on a context does first. */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'

/** Throws ABORTED when the caller has cancelled the call. */
export function throwIfAborted({ signal }: CallOptions): void {
  if (signal?.aborted === true) throw new MembraneError('ABORTED', 'The call was cancelled.', { cause: signal.reason })
}
