/** Fetches fragments from the nodes that have them, for rebuilds: pieces of any size into one memory. */
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { PeerFetch, RemoteFragment } from '../core/ports.ts'
import type { FlowName } from '../cluster/fair-link.ts'
import type { Membership } from '../cluster/membership.ts'
import { HttpChunkSource } from './http-chunk-source.ts'
import type { PeerConnections } from './peer-connections.ts'

/** The ways to other nodes. */
export interface FetchLinks {
  /** Ends when so many bytes may come. */
  admit(node: string, flow: FlowName, bytes: number, signal?: AbortSignal): Promise<void>
  /** Told of what came over the network, by where from. */
  readonly fetched: (node: string, bytes: number, seconds: number) => void
  readonly failed: (node: string) => void
}

export interface ClusterFetchParts {
  readonly membership: Membership
  readonly connections: PeerConnections
  readonly links: FetchLinks
}

/** See the top of this file. Bytes are not verified here: a rebuild compares them with their content hash. */
export class ClusterFetch implements PeerFetch {
  readonly #parts: ClusterFetchParts

  constructor(parts: ClusterFetchParts) {
    this.#parts = parts
  }

  async fetch(
    tenant: TenantId,
    { node, key, contentHash, payloadBytes }: RemoteFragment,
    { signal }: CallOptions = {},
  ): Promise<Uint8Array | null> {
    const { membership, connections, links } = this.#parts
    const member = membership.member(node)
    if (member === null || member.state === 'gone' || member.state === 'left')
      throw new MembraneError('PEER_UNAVAILABLE', `${node} is not in the cluster any more.`)
    const source = new HttpChunkSource(connections.bytesOf(member.address, tenant), LIMITS.transferRequestBytesMax)
    const payload = new Uint8Array(new ArrayBuffer(payloadBytes))
    let beganMs: number | null = null
    try {
      for (let start = 0; start < payloadBytes; start += LIMITS.transferRequestBytesMax) {
        const span = { start, end: Math.min(payloadBytes, start + LIMITS.transferRequestBytesMax) }
        const into = payload.subarray(span.start, span.end)
        await links.admit(node, 'sync', into.length, signal)
        beganMs ??= performance.now()
        const bytes = await source.fetch({ key, contentHash, span }, into, { signal, progress: () => undefined })
        if (bytes === null) return null
        if (bytes !== into.length)
          throw new MembraneError('PEER_UNAVAILABLE', `${node} gave ${bytes} of ${into.length} bytes.`)
      }
    } catch (error) {
      if (signal?.aborted !== true) links.failed(node)
      throw error
    }
    if (beganMs !== null) links.fetched(node, payloadBytes, (performance.now() - beganMs) / 1000)
    return payload
  }
}
