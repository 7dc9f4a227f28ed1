/** What a tenant of a directory and a client of a server both offer: the commands know only this. */
import type { ContentHash } from '../core/ids.ts'
import type { ByteSpan, StoredEntry, StoredFragment } from '../core/ports.ts'
import type { Described, FabricPut, FabricPutResult } from '../server/tenant-fabric.ts'

export interface FragmentsPut extends FabricPut {
  /** The pieces of `payload` once more, for a second try; without it, there is none. */
  readonly again?: () => AsyncIterable<Uint8Array>
}

/** Bytes as they are read. A chunk's memory is only good until the next one is asked for. */
export interface FragmentStream {
  readonly key: string
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  readonly chunks: AsyncIterable<Uint8Array>
}

export interface Fragments {
  put(put: FragmentsPut): Promise<FabricPutResult>
  get(key: string): Promise<Described<StoredFragment> | null>
  stream(key: string, options?: { readonly span?: ByteSpan }): Promise<FragmentStream | null>
  head(key: string): Promise<Pick<StoredEntry, 'key' | 'payloadBytes' | 'expiresAtMs'> | null>
  has(keys: readonly string[]): Promise<readonly boolean[]>
  remove(keys: readonly string[]): Promise<number>
  list(prefix?: string): AsyncIterable<Described<StoredEntry>>
  keys(prefix?: string): AsyncIterable<string>
}
