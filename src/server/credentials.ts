/**
 * Finds callers by their credentials, in time that says nothing about them.
 *
 * A token is hashed first (SHA-256, the same work for all tokens of a length), so whatever is compared later is a digest
 * that a guesser cannot steer digit by digit. The digest is looked up under a second hash with a key of this process, so
 * that how long the look-up of a table takes tells nothing either, and at last compared in constant time: with the digest
 * of the credential that was found, or with one that no token has.
 */
import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { CredentialEntry, CredentialsDocument } from '../api/credentials-schema.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Authenticator, Caller } from './caller.ts'

interface KnownToken {
  readonly digest: Uint8Array
  readonly caller: Caller
}

/** What one reading of the file gave; replaced as a whole, so that no request sees half of an old one. */
interface Known {
  readonly anonymous: Caller | null
  readonly tokens: ReadonlyMap<string, KnownToken>
  readonly fingerprints: ReadonlyMap<string, Caller>
  readonly commonNames: ReadonlyMap<string, Caller>
  readonly saltSecret: Buffer
  readonly names: ReadonlySet<string>
}

/** What a reload changed, by name. */
export interface CredentialsChange {
  readonly added: readonly string[]
  readonly removed: readonly string[]
}

/** See the top of this file. */
export class Credentials implements Authenticator {
  /** No digest is this one but by an accident that never happens. */
  readonly #nobody = randomBytes(32)
  /** 32 bytes of a key, and room for the digest that is hashed with it. */
  readonly #keyed = Buffer.concat([randomBytes(32), Buffer.alloc(32)])
  #known: Known

  /** Throws INVALID_CONFIG when two credentials share a name, a token or a certificate, or one has none. */
  constructor(document: CredentialsDocument) {
    this.#known = this.#read(document)
  }

  get anonymous(): Caller | null {
    return this.#known.anonymous
  }

  get names(): ReadonlySet<string> {
    return this.#known.names
  }

  /** HOT: for every request with a token, or every connection where one is said at its beginning. Budget: 10 µs. */
  byToken(token: string): Caller | null {
    // How long a token is, is no secret.
    if (token.length > LIMITS.credentialCharactersMax) return null
    const digest = hash('sha256', token, 'buffer')
    const known = this.#known.tokens.get(this.#indexOf(digest))
    const isKnown = timingSafeEqual(digest, known?.digest ?? this.#nobody)
    return isKnown && known !== undefined ? known.caller : null
  }

  /** A certificate by its fingerprint first, then by its common name. */
  byCertificate(certificate: { readonly fingerprint256: string; readonly commonName: string }): Caller | null {
    const { fingerprints, commonNames } = this.#known
    return (
      fingerprints.get(plainFingerprint(certificate.fingerprint256)) ?? commonNames.get(certificate.commonName) ?? null
    )
  }

  /** Secret of a tenant in its block hashes, 64 hexadecimal digits: the same on every node that has this file. */
  saltOf = (tenant: TenantId): string => createHmac('sha256', this.#known.saltSecret).update(tenant).digest('hex')

  /** From the next request on, this holds. Throws INVALID_CONFIG and leaves everything as it was. */
  replace(document: CredentialsDocument): CredentialsChange {
    const before = this.#known
    const known = this.#read(document)
    if (!before.saltSecret.equals(known.saltSecret))
      throw new MembraneError(
        'INVALID_CONFIG',
        'tenantSaltSecret names what is stored, and cannot change while a server runs.',
        {
          remedy: 'Put the old one back, or restart the server: it will then find nothing that was stored before.',
        },
      )
    this.#known = known
    return {
      added: [...known.names].filter((name) => !before.names.has(name)),
      removed: [...before.names].filter((name) => !known.names.has(name)),
    }
  }

  #indexOf(digest: Uint8Array): string {
    this.#keyed.set(digest, 32)
    return hash('sha256', this.#keyed, 'hex')
  }

  #read(document: CredentialsDocument): Known {
    const tokens = new Map<string, KnownToken>()
    const fingerprints = new Map<string, Caller>()
    const commonNames = new Map<string, Caller>()
    const names = new Set<string>()
    for (const entry of document.credentials) {
      const { name, tokenHash, certificateFingerprint, certificateCommonName } = entry
      const caller = { name, tenant: parseTenantId(entry.tenant), role: entry.role }
      if (names.has(name)) throw clash(entry, 'its name is that of another one')
      names.add(name)
      if (tokenHash !== undefined) {
        const digest = Buffer.from(tokenHash.slice('sha256:'.length), 'hex')
        put(tokens, this.#indexOf(digest), { digest, caller }, entry)
      }
      if (certificateFingerprint !== undefined)
        put(fingerprints, plainFingerprint(certificateFingerprint), caller, entry)
      if (certificateCommonName !== undefined) put(commonNames, certificateCommonName, caller, entry)
      if (tokenHash === undefined && certificateFingerprint === undefined && certificateCommonName === undefined)
        throw clash(entry, 'it has neither a token nor a certificate')
    }
    const { anonymous } = document
    return {
      anonymous:
        anonymous === undefined
          ? null
          : { name: 'anonymous', tenant: parseTenantId(anonymous.tenant), role: anonymous.role },
      tokens,
      fingerprints,
      commonNames,
      saltSecret: Buffer.from(document.tenantSaltSecret, 'hex'),
      names,
    }
  }
}

/** Throws INVALID_CONFIG for what a server would refuse. */
export function checkCredentials(document: CredentialsDocument): void {
  assert(new Credentials(document).names.size === document.credentials.length, 'each credential has a name of its own')
}

/** A new token: 256 random bits, and how a credentials file knows it. */
export function newToken(): { readonly token: string; readonly tokenHash: string } {
  const token = `mbr_${randomBytes(32).toString('base64url')}`
  return { token, tokenHash: `sha256:${hash('sha256', token, 'hex')}` }
}

/** For a credentials file that is made anew. */
export function newTenantSaltSecret(): string {
  return randomBytes(32).toString('hex')
}

function put<Value>(known: Map<string, Value>, key: string, value: Value, entry: CredentialEntry): void {
  if (known.has(key)) throw clash(entry, 'its token or certificate is that of another one')
  known.set(key, value)
}

function clash({ name }: CredentialEntry, problem: string): MembraneError {
  return new MembraneError('INVALID_CONFIG', `The credential ${name} cannot be used: ${problem}.`, {
    remedy: 'Change one of them in the credentials file.',
    details: { name },
  })
}

function plainFingerprint(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}
