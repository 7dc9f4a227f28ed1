/**
 * Who asks. The tenant and what it may do come from a credential, never from what a request says. Each door finds its
 * callers through an `Authenticator`; operations check permissions, in one place for all doors.
 */
import { MembraneError } from '../core/errors.ts'
import type { TenantId } from '../core/ids.ts'

/** What a credential may allow. */
export type Permission = 'read' | 'write' | 'observe' | 'administer' | 'peer'

/**
 * What each role may do. A reader sees the numbers of its own tenant; a monitor sees those of all, and no content. A node
 * of the cluster, and whoever is on this machine where no credentials are asked for, may speak as a node.
 */
export const ROLES = {
  reader: ['read'],
  writer: ['read', 'write'],
  monitor: ['observe'],
  admin: ['read', 'write', 'observe', 'administer'],
  node: ['read', 'write', 'observe', 'peer'],
  local: ['read', 'write', 'observe', 'administer', 'peer'],
} as const satisfies Readonly<Record<string, readonly Permission[]>>
/** A key of ROLES. */
export type Role = keyof typeof ROLES

/** Somebody whose credential is known. */
export interface Caller {
  readonly tenant: TenantId
  readonly role: Role
  /** Name of the credential, for logs: never the credential. */
  readonly name: string
}

/** Finds callers by their credentials, in time that does not depend on how much of a credential is right. */
export interface Authenticator {
  /** Whoever sends no credential; null where one is required. */
  readonly anonymous: Caller | null
  /** Null for a token that is not known. Where no tokens are in use, any is `anonymous`: clients must send one. */
  byToken(token: string): Caller | null
  /** Of a certificate that TLS has verified, by its SHA-256 fingerprint in hexadecimal digits or its common name. */
  byCertificate(certificate: { readonly fingerprint256: string; readonly commonName: string }): Caller | null
}

/** Throws FORBIDDEN. */
export function checkAllowed(caller: Caller, permission: Permission): void {
  if (isAllowed(caller, permission)) return
  throw new MembraneError(
    'FORBIDDEN',
    `The credential "${caller.name}" is a ${caller.role}'s, which does not ${permission}.`,
  )
}

export function isAllowed({ role }: Caller, permission: Permission): boolean {
  const permissions: readonly Permission[] = ROLES[role]
  return permissions.includes(permission)
}

/** Throws UNAUTHENTICATED when a token is not known, or none was sent where one is required. */
export function authenticate(authenticator: Authenticator, token: string | null): Caller {
  const caller = token === null ? authenticator.anonymous : authenticator.byToken(token)
  if (caller !== null) return caller
  if (token !== null) throw new MembraneError('UNAUTHENTICATED', 'The credential is not known.')
  throw new MembraneError('UNAUTHENTICATED', 'A credential is needed.', {
    remedy: 'Send the token that `membrane token new` printed; commands take it from MEMBRANE_TOKEN or --token-file.',
  })
}
