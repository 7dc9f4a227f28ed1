/** Where the fragments of a command are: in a data directory or on a server. Each command is written once, for both. */
import type { Command } from 'commander'
import type { MembraneClient } from '../api/client.ts'
import { MembraneError } from '../core/errors.ts'
import { addDataDirFlags, type DataDirFlags, type OpenedDataDir, withDataDir, withNewDataDir } from './data-dir.ts'
import { refuseGiven } from './refused-flags.ts'
import { RemoteFragments } from './remote-fragments.ts'
import type { Fragments } from './fragments.ts'
import { addServerFlags, type ServerFlags, withServer } from './server-client.ts'

export interface PlaceFlags extends DataDirFlags, ServerFlags {}

/** What a command has opened; `own` is the same for both. */
export type Place =
  | { readonly kind: 'directory'; readonly own: Fragments; readonly opened: OpenedDataDir }
  | { readonly kind: 'server'; readonly own: Fragments; readonly client: MembraneClient }

export function addPlaceFlags(command: Command): Command {
  return addServerFlags(addDataDirFlags(command))
}

/** Throws NOT_FOUND for a directory that is not there, INVALID_REQUEST unless exactly one place is given. */
export function withPlace<T>(flags: PlaceFlags, use: (place: Place) => Promise<T>): Promise<T> {
  return atPlace(flags, use, withDataDir)
}

/** The same for commands that make the directory when there is none. */
export function withNewPlace<T>(flags: PlaceFlags, use: (place: Place) => Promise<T>): Promise<T> {
  return atPlace(flags, use, withNewDataDir)
}

function atPlace<T>(
  flags: PlaceFlags,
  use: (place: Place) => Promise<T>,
  openDirectory: typeof withDataDir,
): Promise<T> {
  const { url } = flags
  if ((url === undefined) === (flags.dataDir === undefined))
    throw new MembraneError('INVALID_REQUEST', 'One place is needed: give either --data-dir or --url.')
  if (url === undefined) {
    refuseServerFlags(flags)
    return openDirectory(flags, (opened) => use({ kind: 'directory', own: opened.own, opened }))
  }
  refuseDirectoryFlags(flags)
  return withServer({ ...flags, url }, (client) => use({ kind: 'server', own: new RemoteFragments(client), client }))
}

export function refuseServerFlags(flags: ServerFlags): void {
  refuseGiven(flags, ['tokenFile', 'ca'], 'needs --url')
}

/** What the server has been told when it was started, and what the credential says. */
export function refuseDirectoryFlags(flags: DataDirFlags): void {
  refuseGiven(flags, ['tenant'], 'does not go with --url: the credential says whose fragments they are')
  refuseGiven(flags, ['durability', 'maxBytes', 'policy'], 'does not go with --url: the server has its own')
}
