/**
 * How this node reaches others: small messages over connections of their own, so that a sign of life never waits behind
 * payloads, and bytes over others. Each connection speaks for one tenant, by the credential that it carries.
 */
import { MembraneError } from '../core/errors.ts'
import { DEFAULT_TENANT, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import {
  decodePeerMessage,
  encodePeerMessage,
  type PeerCallOptions,
  type PeerCalls,
  type PeerMessage,
} from '../cluster/peer-calls.ts'
import { HttpPeer, SmallAnswer } from './http-peer.ts'
import type { NodeTokens } from './node-tokens.ts'
import { peerStream } from './peer-stream.ts'
import type { TlsMaterial } from './tls-files.ts'

export interface PeerConnectionsOptions {
  /** Null where nodes need no credential: all of them on this machine. */
  readonly tokens: NodeTokens | null
  /** Null where doors speak plain text. Nodes trust the authority that they ask clients for, or those that Node trusts. */
  readonly tls: TlsMaterial | null
  /** Connections for messages, and for bytes, to one node. */
  readonly connectionsMax?: number
}

const CONNECTIONS_MAX = 8
export const CLUSTER_MESSAGES_PATH = '/v1/cluster/messages'
export const PREFILL_PATH = '/v1/cluster/prefill'

/** See the top of this file. */
export class PeerConnections implements PeerCalls {
  readonly #options: PeerConnectionsOptions
  /** The last used last. */
  readonly #peers = new Map<string, HttpPeer>()
  readonly #closing = new AbortController()

  constructor(options: PeerConnectionsOptions) {
    this.#options = options
  }

  async call(address: string, message: PeerMessage, options: PeerCallOptions): Promise<PeerMessage> {
    const { timeoutSeconds, tenant, signal } = options
    const late = AbortSignal.timeout(Math.max(1, Math.ceil(1000 * timeoutSeconds)))
    const signals = [late, this.#closing.signal, ...(signal === undefined ? [] : [signal])]
    const answer = new SmallAnswer()
    try {
      await this.#peer('messages', address, tenant ?? DEFAULT_TENANT).exchange(
        { method: 'POST', path: CLUSTER_MESSAGES_PATH, body: encodePeerMessage(message) },
        answer,
        AbortSignal.any(signals),
      )
    } catch (error) {
      if (late.aborted && signal?.aborted !== true)
        throw new MembraneError('PEER_UNAVAILABLE', `${address} did not answer within ${timeoutSeconds} s.`, {
          details: { address, kind: message.kind },
        })
      throw error
    }
    return decodePeerMessage(answer.bytes)
  }

  /** For the bytes of a tenant's fragments. It is closed here. */
  bytesOf(address: string, tenant: TenantId): HttpPeer {
    return this.#peer('bytes', address, tenant)
  }

  /** Frames of a prefill that a node computes for a tenant: see `peerStream`. */
  prefill(address: string, tenant: TenantId, message: PeerMessage, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { tokens, tls } = this.#options
    const body = encodePeerMessage(message)
    const token = tokens === null ? null : tokens.tokenFor(tenant)
    const asked = { address, path: PREFILL_PATH, body, token, tls: tls === null ? null : clientTls(tls) }
    return peerStream(asked, AbortSignal.any([signal, this.#closing.signal]))
  }

  /** Closes everything; calls under way end with ABORTED. */
  close(): void {
    this.#closing.abort()
    for (const peer of this.#peers.values()) peer.close()
    this.#peers.clear()
  }

  #peer(use: 'messages' | 'bytes', address: string, tenant: TenantId): HttpPeer {
    const name = `${use} ${address} ${tenant}`
    const { tokens, tls, connectionsMax = CONNECTIONS_MAX } = this.#options
    const peer =
      this.#peers.get(name) ??
      new HttpPeer({
        url: `${tls === null ? 'http' : 'https'}://${address}`,
        connectionsMax,
        // Another holder is asked sooner than the same one again.
        retriesMax: 0,
        ...(tokens === null ? {} : { token: tokens.tokenFor(tenant) }),
        ...(tls === null ? {} : { tls: clientTls(tls) }),
      })
    this.#peers.delete(name)
    this.#peers.set(name, peer)
    // The one that was used longest ago: what it still does ends as it would have.
    for (const [oldest, unused] of this.#peers) {
      if (this.#peers.size <= LIMITS.clusterConnectionsMax) break
      this.#peers.delete(oldest)
      unused.close()
    }
    return peer
  }
}

/** Nodes show each other the certificate that they show clients. */
function clientTls({ cert, key, clientCa }: TlsMaterial) {
  return clientCa === null ? { cert, key } : { ca: clientCa, cert, key }
}
