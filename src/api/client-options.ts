/** What a client is opened with, checked once. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHashers } from '../core/ports.ts'
import type { BlobOrigin } from './blob-connection.ts'
import type { RetryOptions } from './client-retry.ts'

/** PEM texts, not files. */
export interface ClientTls {
  /** Authorities that may have signed the server's certificate; by default those that Node trusts. */
  readonly ca?: string
  /** What the client shows, when the server asks for a certificate. */
  readonly cert?: string
  readonly key?: string
}

/** How patient a client is, and how many connections it opens. */
export interface ClientLimits extends RetryOptions {
  /** Of one call, over all of its tries; calls that move bytes are given more by their size. */
  readonly timeoutMs: number
  /** Of `rebuild` and `generate`, which compute. */
  readonly computeTimeoutMs: number
  /** Bytes may take so much longer than `timeoutMs`. */
  readonly bytesPerSecondMin: number
  /** For bytes, and as many for control. */
  readonly connectionsMax: number
}

/** Where the server is, and who asks. */
export interface ClientOptions extends Partial<ClientLimits> {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string
  /** Credential, sent as `Authorization: Bearer`. */
  readonly token?: string
  readonly tls?: ClientTls
  /**
   * Hashes what is read and sent, so that bytes are verified from end to end; null trusts the server, which verifies
   * what it reads.
   */
  readonly hashers: ContentHashers | null
}

/** What holds where `ClientOptions` says nothing: ten retries, some eight seconds in all, outlast a server's restart. */
export const DEFAULT_CLIENT_LIMITS: ClientLimits = {
  timeoutMs: 30_000,
  computeTimeoutMs: 600_000,
  bytesPerSecondMin: 1_000_000,
  connectionsMax: 16,
  retriesMax: 10,
  retryDelayMs: 50,
  retryDelayMsMax: 2000,
}

export interface CheckedOptions {
  readonly limits: ClientLimits
  readonly origin: BlobOrigin
  /** `http://host:port`, without a slash at its end. */
  readonly url: string
  /** Before every path: empty, or beginning with a slash. */
  readonly basePath: string
  /** Of every request. */
  readonly headers: Readonly<Record<string, string>>
  readonly hashers: ContentHashers | null
}

/** Throws INVALID_CONFIG. */
export function checkClientOptions(options: ClientOptions): CheckedOptions {
  const { url, token, tls, hashers } = options
  const parsed = parseUrl(url)
  if (tls !== undefined && parsed.protocol !== 'https:')
    throw invalid(`TLS was asked for, and the URL ${parsed.origin} speaks none.`, 'Begin the URL with https://.')
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    throw invalid('A token is printable ASCII without spaces.', 'Check the file or variable that it comes from.')
  const host = parsed.hostname.replace(/^\[|\]$/g, '')
  const port = parsed.port === '' ? (parsed.protocol === 'https:' ? 443 : 80) : Number(parsed.port)
  return {
    limits: checkLimits(options),
    origin: { host, port, tls: parsed.protocol === 'https:' ? (tls ?? {}) : null },
    url: parsed.origin,
    basePath: parsed.pathname.replace(/\/+$/, ''),
    headers: {
      host: parsed.host,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    hashers,
  }
}

function checkLimits(options: ClientOptions): ClientLimits {
  const { timeoutMs, computeTimeoutMs, bytesPerSecondMin, connectionsMax, retriesMax, retryDelayMs, retryDelayMsMax } =
    {
      ...DEFAULT_CLIENT_LIMITS,
      ...options,
    }
  const limits = {
    timeoutMs,
    computeTimeoutMs,
    bytesPerSecondMin,
    connectionsMax,
    retriesMax,
    retryDelayMs,
    retryDelayMsMax,
  }
  const waitMsMax = LIMITS.clientTimeoutMsMax
  const bounds: Readonly<Record<keyof ClientLimits, readonly [number, number]>> = {
    timeoutMs: [1, waitMsMax],
    computeTimeoutMs: [1, waitMsMax],
    bytesPerSecondMin: [1000, Number.MAX_SAFE_INTEGER],
    connectionsMax: [1, LIMITS.clientConnectionsMax],
    retriesMax: [0, LIMITS.clientRetriesMax],
    retryDelayMs: [0, waitMsMax],
    retryDelayMsMax: [0, waitMsMax],
  }
  for (const name of Object.keys(limits) as (keyof ClientLimits)[]) {
    const [min, max] = bounds[name]
    const value = limits[name]
    if (!Number.isInteger(value) || value < min || value > max)
      throw invalid(`${name} is a whole number from ${min} to ${max}, found ${value}.`)
  }
  return limits
}

function parseUrl(text: string): URL {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw invalid(
      `A server's URL is http://host:port or https://host:port, found ${JSON.stringify(text.slice(0, 200))}.`,
    )
  if (url.username !== '' || url.password !== '')
    // Not shown: it is a secret.
    throw invalid('A URL with a password in it ends up in logs.', 'Give the credential as a token.')
  if (url.search !== '' || url.hash !== '') throw invalid("A server's URL has no query and no fragment.")
  return url
}

function invalid(message: string, remedy?: string): MembraneError {
  return new MembraneError('INVALID_CONFIG', message, remedy === undefined ? {} : { remedy })
}
