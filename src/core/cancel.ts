/** Calls that their caller cancels. */
import { MembraneError } from './errors.ts'

/** What a cancelled call throws. */
export function abortedError(signal: AbortSignal): MembraneError {
  return new MembraneError('ABORTED', 'The call was cancelled.', { cause: signal.reason })
}

/** Throws ABORTED when the caller has cancelled the call. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(signal)
}
