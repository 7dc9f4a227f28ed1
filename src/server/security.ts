/** Everything that decides who may do what, put together from one configuration, and read anew while the server runs. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CredentialsDocument } from '../api/credentials-schema.ts'
import type { ServerConfig } from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { DEFAULT_TENANT, type TenantId } from '../core/ids.ts'
import type { Clock, Stopwatch } from '../core/ports.ts'
import type { Authenticator, Caller } from './caller.ts'
import { Credentials, type CredentialsChange } from './credentials.ts'
import { checkExposure } from './exposure.ts'
import type { RateLimiter } from './gate.ts'
import { DEFAULT_NODE_OPTIONS } from './node-options.ts'
import { NodeTokens, withNodes } from './node-tokens.ts'
import { RateLimits } from './rate-limits.ts'
import { loadTls, type TlsMaterial } from './tls-files.ts'

/** What the edge hands in. */
export interface SecurityPorts {
  /** The format of the file is the edge's matter. Throws INVALID_CONFIG and FILE_UNREADABLE. */
  readonly readCredentials: (path: string) => Promise<CredentialsRead>
  readonly clock: Clock
  readonly stopwatch: Stopwatch
}

/** What a credentials file says, and what is unwise about it. */
export interface CredentialsRead {
  readonly document: CredentialsDocument
  readonly notes: readonly string[]
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
  /** By which nodes know each other; null where they need not, or no secret was given. */
  readonly nodeTokens: NodeTokens | null
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
  const { requestsPerSecondMax, bytesPerSecondMax, tlsClientCaFile } = config
  const first = await readAll(config, ports)
  const credentials = first.document === null ? null : new Credentials(first.document)
  let pems = JSON.stringify(first.tls)
  const secret = await clusterSecretOf(config)
  const nodeTokens = secret === null ? null : new NodeTokens(secret, config.clusterName)
  const known = credentials ?? (tlsClientCaFile === null ? LOCAL_ACCESS : CERTIFICATE_ACCESS)
  return {
    authenticator: nodeTokens === null ? known : withNodes(known, nodeTokens),
    nodeTokens,
    socketAuthenticator: credentials ?? LOCAL_ACCESS,
    limiter:
      requestsPerSecondMax === null && bytesPerSecondMax === null
        ? null
        : new RateLimits({ requestsPerSecondMax, bytesPerSecondMax, stopwatch: ports.stopwatch }),
    tls: first.tls,
    saltOf: credentials?.saltOf ?? DEFAULT_NODE_OPTIONS.saltOf,
    notes: first.notes,
    reload: async () => {
      const { document, tls, notes } = await readAll(config, ports)
      const change = document === null || credentials === null ? null : credentials.replace(document)
      const before = pems
      pems = JSON.stringify(tls)
      return { credentials: change, tls: pems === before ? null : tls, notes }
    },
  }
}

interface SecurityFiles {
  readonly document: CredentialsDocument | null
  readonly tls: TlsMaterial | null
  readonly notes: readonly string[]
}

/** All is read and checked before any of it holds. */
async function readAll(config: ServerConfig, { readCredentials, clock }: SecurityPorts): Promise<SecurityFiles> {
  const { credentialsFile, tlsCertFile, tlsKeyFile, tlsClientCaFile } = config
  const read = credentialsFile === null ? null : await readCredentials(credentialsFile)
  const files =
    tlsCertFile === null || tlsKeyFile === null
      ? null
      : { certFile: tlsCertFile, keyFile: tlsKeyFile, clientCaFile: tlsClientCaFile }
  const loaded = files === null ? null : await loadTls(files, clock)
  const facts = { hasCredentials: read !== null, hasAnonymous: read?.document.anonymous !== undefined }
  return {
    document: read?.document ?? null,
    tls: loaded?.material ?? null,
    notes: [...checkExposure(config, facts), ...(read?.notes ?? []), ...(loaded?.notes ?? [])],
  }
}

async function clusterSecretOf({ clusterSecret, clusterSecretFile }: ServerConfig): Promise<string | null> {
  if (clusterSecretFile === null) return clusterSecret?.reveal() ?? null
  const text = await readFile(clusterSecretFile, 'utf8').catch((cause: unknown) => {
    throw new MembraneError(
      'FILE_UNREADABLE',
      `The secret of the cluster could not be read from ${clusterSecretFile}.`,
      {
        cause,
      },
    )
  })
  const secret = text.trim()
  if (/^[\x21-\x7e]{16,4096}$/.test(secret)) return secret
  throw new MembraneError(
    'INVALID_CONFIG',
    `${clusterSecretFile} holds no secret: one line of 16 or more characters.`,
    {
      remedy: 'Make one with `openssl rand -hex 32`.',
    },
  )
}

/** Where the record of administrative actions is; null for a server that keeps no directory and names no file. */
export function auditPathOf({ auditFile, dataDir }: Pick<ServerConfig, 'auditFile' | 'dataDir'>): string | null {
  return auditFile ?? (dataDir === null ? null : join(dataDir, 'audit.jsonl'))
}

const LOCAL_CALLER: Caller = { name: 'local', tenant: DEFAULT_TENANT, role: 'local' }

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
