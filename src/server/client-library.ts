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
import { fragmentKey } from '../core/fragment-key.ts'
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

/** The key of bytes under a name of the caller's. Throws INVALID_REQUEST for an empty one, or one too long for a key. */
export function keyOfName(name: string): string {
  return fragmentKey({ kind: 'opaque', name: new TextEncoder().encode(name) })
}

export { type ClientPrefix, type ClientRevision, type ClientSearch, MembraneClient } from '../api/client.ts'
export type { AdminCalls, NodeHealth } from '../api/client-admin.ts'
export type { ClientGenerate, ClientPrompt, ClientRebuild, GenerationEvent } from '../api/client-compute.ts'
export type { ClientGeneration, ClientPlan, ClientRebuilt } from '../api/client-compute-shapes.ts'
export type { CallOptions } from '../api/client-control.ts'
export type { BlobPayload } from '../api/blob-body.ts'
export type { ClientFragment, ClientGet, ClientPut, ClientStream } from '../api/client-fragments.ts'
export type { ClientHead } from '../api/client-head.ts'
export type { Lease } from '../api/client-lease.ts'
export { type ClientLimits, type ClientOptions, type ClientTls, DEFAULT_CLIENT_LIMITS } from '../api/client-options.ts'
export type {
  ClientEntry,
  LongestPrefix,
  Presence,
  PutResult,
  Scrubbed,
  Similar,
  TenantQuota,
  TenantReport,
} from '../api/client-shapes.ts'
export { MembraneError } from '../core/errors.ts'
export { fragmentKey, parseFragmentKey } from '../core/fragment-key.ts'
