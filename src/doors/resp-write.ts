/** Writing one key: what every command that writes goes through, so that writes of a key follow each other. */
import { MembraneError } from '../core/errors.ts'
import { keyOf } from './resp-arguments.ts'
import type { RespCall } from './resp-command.ts'
import type { RespExpiry } from './resp-set-options.ts'

/**
 * Runs a write of a key after those of the same key that came before it, over any connection of this door. Between a
 * look at the key and what is done then, no other write of this door falls.
 */
export function inTurn<T>({ caller, session }: RespCall, key: string, write: () => Promise<T>): Promise<T> {
  return session.door.writes.run(`${caller.tenant}/${key}`, write)
}

/** Several keys at once: in one order everywhere, so that no two wait for each other. */
export function inTurns<T>(call: RespCall, keys: readonly string[], write: () => Promise<T>): Promise<T> {
  const [first, ...others] = [...new Set(keys)].sort()
  if (first === undefined) return write()
  return inTurn(call, first, () => inTurns(call, others, write))
}

export interface ValueToPut {
  readonly foreignKey: Uint8Array
  readonly value: Uint8Array
  readonly expiry: Exclude<RespExpiry, { readonly kind: 'keep' }>
}

/** Throws STORE_FULL when the store rather keeps what it has, and what `putOpaque` throws. */
export async function putValue(
  { caller, session }: RespCall,
  { foreignKey, value, expiry }: ValueToPut,
): Promise<void> {
  const { fragments } = session.door.operations
  // A short value may be a view of a segment, all of which would be kept for it.
  const isGivenAway = value.length === value.buffer.byteLength
  const contentHash = session.hashes.hashOf(value)
  const known = contentHash === undefined ? {} : { contentHash, isHashComputed: true }
  const put = { foreignKey, payload: value, payloadBytes: value.length, isGivenAway, ...known }
  const result = await fragments.putOpaque(caller, expiry.kind === 'default' ? put : { ...put, expiresAtMs: expiry.ms })
  if (result.outcome === 'refused') throw keepsOthers()
}

/** How many of the keys were there. */
export async function removeKeys(call: RespCall, foreignKeys: readonly Uint8Array[]): Promise<number> {
  const keys = foreignKeys.map(keyOf)
  return inTurns(call, keys, () => call.session.door.operations.fragments.remove(call.caller, [...new Set(keys)]))
}

function keepsOthers(): MembraneError {
  return new MembraneError('STORE_FULL', 'The store is full of what is worth more to it: the value was not kept.')
}
