/** What a node has to tell a directory, in order, until it is sent. */
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { BLOCK_NAME_BYTES, type BlockNames } from './block-directory.ts'

/** Names that are held from now on (`value` 1 or more, as `tierValue` says), or no more (0). */
export interface DirectoryChange {
  readonly value: number
  readonly names: BlockNames
}

/** See the top of this file. */
export class DirectoryChanges {
  #byTenant = new Map<TenantId, DirectoryChange[]>()
  #waiting = 0
  #dropped = 0

  /** Names that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** Names for which there was no room. */
  get dropped(): number {
    return this.#dropped
  }

  /** Whether there was room. The names are copied by nobody: they are left unchanged. */
  add(tenant: TenantId, change: DirectoryChange): boolean {
    const names = change.names.length / BLOCK_NAME_BYTES
    if (this.#waiting + names > LIMITS.directoryChangesWaitingMax) {
      this.#dropped += names
      return false
    }
    this.#waiting += names
    const changes = this.#byTenant.get(tenant)
    if (changes === undefined) this.#byTenant.set(tenant, [change])
    else changes.push(change)
    return true
  }

  /** All that waits, of each tenant: neighbours that say the same are one. Nothing waits then. */
  take(): ReadonlyMap<TenantId, readonly DirectoryChange[]> {
    const taken = this.#byTenant
    this.#byTenant = new Map()
    this.#waiting = 0
    for (const [tenant, changes] of taken) taken.set(tenant, joinAlike(changes))
    return taken
  }
}

function joinAlike(changes: readonly DirectoryChange[]): DirectoryChange[] {
  const runs: { readonly value: number; readonly pieces: BlockNames[] }[] = []
  for (const { value, names } of changes) {
    const last = runs.at(-1)
    if (last?.value === value) last.pieces.push(names)
    else runs.push({ value, pieces: [names] })
  }
  return runs.map(({ value, pieces }) => ({ value, names: joinPieces(pieces) }))
}

/** End to end. */
export function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces
  if (pieces.length === 1 && first !== undefined) return first
  const joined = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}
