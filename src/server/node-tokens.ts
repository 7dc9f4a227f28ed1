/**
 * Credentials by which nodes of a cluster know each other, made from the secret that they share: one for each tenant, so
 * that a request of a node says by its credential, too, for whom it is.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { MembraneError } from '../core/errors.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Authenticator, Caller } from './caller.ts'

const PREFIX = 'mbr_node_'
/** Of 32 bytes in base64url. */
const MAC_CHARACTERS = 43

/** See the top of this file. */
export class NodeTokens {
  readonly #secret: string
  readonly #cluster: string
  readonly #tokens = new Map<TenantId, string>()

  /** The secret is shared by all nodes; a token of one cluster is of no use in another. */
  constructor(secret: string, cluster: string) {
    this.#secret = secret
    this.#cluster = cluster
  }

  /** What a node sends when it asks for this tenant. */
  tokenFor(tenant: TenantId): string {
    const known = this.#tokens.get(tenant)
    if (known !== undefined) return known
    const token = `${PREFIX}${this.#macOf(tenant)}${Buffer.from(tenant).toString('base64url')}`
    if (this.#tokens.size >= LIMITS.clusterMembersMax) this.#tokens.clear()
    this.#tokens.set(tenant, token)
    return token
  }

  /** Null for what is no token of a node of this cluster. */
  callerOf(token: string): Caller | null {
    if (!token.startsWith(PREFIX) || token.length > LIMITS.credentialCharactersMax) return null
    const mac = token.slice(PREFIX.length, PREFIX.length + MAC_CHARACTERS)
    const tenant = tenantOf(Buffer.from(token.slice(PREFIX.length + MAC_CHARACTERS), 'base64url').toString())
    const expected = Buffer.from(this.#macOf(tenant ?? ''))
    const isRight = timingSafeEqual(expected, Buffer.from(mac.padEnd(MAC_CHARACTERS, ' ').slice(0, MAC_CHARACTERS)))
    return tenant !== null && isRight ? { tenant, role: 'node', name: 'node' } : null
  }

  #macOf(tenant: string): string {
    const message = `membrane node 1\n${this.#cluster}\n${tenant}`
    return createHmac('sha256', this.#secret).update(message).digest('base64url')
  }
}

function tenantOf(text: string): TenantId | null {
  try {
    return parseTenantId(text)
  } catch (error) {
    if (error instanceof MembraneError) return null
    throw error
  }
}

/** Lets nodes in beside those whom `authenticator` knows. */
export function withNodes(authenticator: Authenticator, tokens: NodeTokens): Authenticator {
  return {
    get anonymous() {
      return authenticator.anonymous
    },
    byToken: (token) => (token.startsWith(PREFIX) ? tokens.callerOf(token) : authenticator.byToken(token)),
    byCertificate: (certificate) => authenticator.byCertificate(certificate),
  }
}
