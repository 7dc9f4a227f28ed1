/** Everything that decides who may do what, put together from one configuration, and read anew while the server runs. */
import { join } from 'node:path'
import { parseCredentials } from '../api/credentials-schema.ts'
import type { ServerConfig } from '../api/server-schema.ts'
import { DEFAULT_TENANT, type TenantId } from '../core/ids.ts'
import type { Clock, Stopwatch } from '../core/ports.ts'
import type { Authenticator, Caller } from './caller.ts'
import { Credentials, type CredentialsChange } from './credentials.ts'
import { checkExposure } from './exposure.ts'
import type { RateLimiter } from './gate.ts'
import { DEFAULT_NODE_OPTIONS } from './node-options.ts'
import { RateLimits } from './rate-limits.ts'
import { loadTls, type TlsMaterial } from './tls-files.ts'

/** What the edge hands in. */
export interface SecurityPorts {
  /** A document as plain values: the format of the file is the edge's matter. */
  readonly readDocument: (path: string) => Promise<unknown>
  readonly clock: Clock
  readonly stopwatch: Stopwatch
}

/** What doors, gate and node take. */
export interface Security {
  /** Of TCP doors. */
  readonly authenticator: Authenticator
  /** Of Unix sockets, which only this user reaches, with whatever certificates TCP doors ask for. */
  readonly socketAuthenticator: Authenticator
  /** Null where no rate is set. */
  readonly limiter: RateLimiter | null
  /** Null where doors speak plain text. */
  readonly tls: TlsMaterial | null
  readonly saltOf: (tenant: TenantId) => string
  /** What whoever starts the server should know. */
  readonly notes: readonly string[]
  /** Reads credentials and certificates anew. Throws, and leaves everything as it was, when either cannot be used. */
  reload(): Promise<SecurityReload>
}

/** What was different. */
export interface SecurityReload {
  /** Null without a credentials file. */
  readonly credentials: CredentialsChange | null
  /** New certificates for doors to take up; null when they are as before, or there are none. */
  readonly tls: TlsMaterial | null
  readonly notes: readonly string[]
}

/** Throws INVALID_CONFIG when strangers could come in, or files are wrong; FILE_UNREADABLE. Opens nothing. */
export async function openSecurity(config: ServerConfig, ports: SecurityPorts): Promise<Security> {
  const { requestsPerSecondMax, bytesPerSecondMax } = config
  const credentials = config.credentialsFile === null ? null : new Credentials(await readCredentials(config, ports))
  const loaded = await readTls(config, ports)
  const warnings = checkExposure(config, exposed(credentials))
  let fingerprint256 = loaded?.fingerprint256
  let pems = JSON.stringify(loaded?.material)
  return {
    authenticator: credentials ?? (config.tlsClientCaFile === null ? LOCAL_ACCESS : CERTIFICATE_ACCESS),
    socketAuthenticator: credentials ?? LOCAL_ACCESS,
    limiter:
      requestsPerSecondMax === null && bytesPerSecondMax === null
        ? null
        : new RateLimits({ requestsPerSecondMax, bytesPerSecondMax, stopwatch: ports.stopwatch }),
    tls: loaded?.material ?? null,
    saltOf: credentials?.saltOf ?? DEFAULT_NODE_OPTIONS.saltOf,
    notes: [...warnings, ...(loaded?.notes ?? [])],
    reload: async () => {
      // All is read and checked before any of it holds.
      const document = credentials === null ? null : await readCredentials(config, ports)
      const tls = await readTls(config, ports)
      if (document !== null) checkExposure(config, exposed(new Credentials(document)))
      const change = document === null ? null : (credentials?.replace(document) ?? null)
      const isSame = tls?.fingerprint256 === fingerprint256 && JSON.stringify(tls?.material) === pems
      fingerprint256 = tls?.fingerprint256
      pems = JSON.stringify(tls?.material)
      return { credentials: change, tls: isSame ? null : (tls?.material ?? null), notes: tls?.notes ?? [] }
    },
  }
}

/** Where the record of administrative actions is; null for a server that keeps no directory and names no file. */
export function auditPathOf({ auditFile, dataDir }: Pick<ServerConfig, 'auditFile' | 'dataDir'>): string | null {
  return auditFile ?? (dataDir === null ? null : join(dataDir, 'audit.jsonl'))
}

function exposed(credentials: Credentials | null) {
  return { hasCredentials: credentials !== null, hasAnonymous: credentials !== null && credentials.anonymous !== null }
}

async function readCredentials({ credentialsFile }: ServerConfig, { readDocument }: SecurityPorts) {
  const path = credentialsFile ?? ''
  return parseCredentials(await readDocument(path), path)
}

async function readTls({ tlsCertFile, tlsKeyFile, tlsClientCaFile }: ServerConfig, { clock }: SecurityPorts) {
  if (tlsCertFile === null || tlsKeyFile === null) return null
  return loadTls({ certFile: tlsCertFile, keyFile: tlsKeyFile, clientCaFile: tlsClientCaFile }, clock)
}

const LOCAL_CALLER: Caller = { name: 'local', tenant: DEFAULT_TENANT, role: 'admin' }

/**
 * Without credentials only this machine comes in, and whoever is on it may do everything. Tokens are not asked for, so
 * any will do: clients of OpenAI's interface send one whether they have one or not.
 */
const LOCAL_ACCESS: Authenticator = {
  anonymous: LOCAL_CALLER,
  byToken: () => LOCAL_CALLER,
  byCertificate: () => null,
}

/** Client certificates alone: the authority says who comes in, and nobody administers. */
const CERTIFICATE_ACCESS: Authenticator = {
  anonymous: null,
  byToken: () => null,
  byCertificate: ({ commonName, fingerprint256 }): Caller => ({
    name: /^[\x21-\x7e]{1,64}$/.test(commonName) ? commonName : fingerprint256,
    tenant: DEFAULT_TENANT,
    role: 'writer',
  }),
}
