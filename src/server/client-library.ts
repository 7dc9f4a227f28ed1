/**
 * Membrane as a library, the client of a server: `membrane/client`.
 *
 * ```ts
 * import { openClient } from 'membrane/client'
 *
 * const client = await openClient({ url: 'http://127.0.0.1:8080' })
 * ```
 */
import { MembraneClient } from '../api/client.ts'
import type { ClientOptions } from '../api/client-options.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'

/** As `ClientOptions`; hashers are loaded unless they are given, or null. */
export type OpenClientOptions = Omit<ClientOptions, 'hashers'> & Partial<Pick<ClientOptions, 'hashers'>>

/**
 * Opens a client; no connection is made yet. What is read and sent in one piece is verified by its hash, on this side
 * too, unless `hashers` is null. Throws INVALID_CONFIG.
 */
export async function openClient(options: OpenClientOptions): Promise<MembraneClient> {
  const { hashers = (await loadContentHashers()).hashers } = options
  return new MembraneClient({ ...options, hashers })
}

export { MembraneClient } from '../api/client.ts'
export type { CallOptions } from '../api/client-control.ts'
export type { ClientFragment, ClientGet, ClientHead, ClientPut } from '../api/client-fragments.ts'
export { type ClientLimits, type ClientOptions, type ClientTls, DEFAULT_CLIENT_LIMITS } from '../api/client-options.ts'
export type { Presence, PutResult } from '../api/client-shapes.ts'
