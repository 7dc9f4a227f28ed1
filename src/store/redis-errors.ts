/** What a Redis and its client say went wrong, in our words. Their errors carry the arguments of commands: payloads, passwords. */
import { MembraneError } from '../core/errors.ts'

/** Commands that are refused for as long as the server is in a state that ends. */
const PASSING =
  /^(?:LOADING|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|READONLY|BUSY|MISCONF|NOREPLICAS|EXECABORT|UNBLOCKED|ASK|MOVED)\b/
const REFUSED = /^(?:NOAUTH|WRONGPASS|NOPERM)\b|without any password configured|invalid password/i

/** The value under a key is none that this store wrote: it answers as it does for damaged ones. */
export function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('WRONGTYPE')
}

/** `what` was asked of the Redis at `address`, which is named without its password. */
export function redisError(error: unknown, what: string, address: string): MembraneError {
  if (error instanceof MembraneError) return error
  const said = error instanceof Error ? firstLine(error.message) : 'no reason given'
  // Not the error itself: it holds what was sent.
  const options = { details: { address, what }, cause: new Error(said) }
  if (said.startsWith('OOM ')) {
    const remedy = 'Raise maxmemory, or set maxmemory-policy to one that evicts.'
    return new MembraneError('STORE_FULL', `The Redis at ${address} is out of memory.`, { ...options, remedy })
  }
  if (REFUSED.test(said)) {
    const remedy = 'Check the user and password in the address, and what the user may do.'
    return new MembraneError('INVALID_CONFIG', `The Redis at ${address} refused to ${what}: ${said}`, {
      ...options,
      remedy,
    })
  }
  const verb = PASSING.test(said) ? 'cannot now' : 'could not'
  return new MembraneError('STORE_UNAVAILABLE', `The Redis at ${address} ${verb} ${what}: ${said}`, options)
}

function firstLine(text: string): string {
  const line = text.split('\n', 1)[0] ?? ''
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}
