/** Whether what a server is told leaves a door open to strangers. Decided before any door opens. */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { ServerConfig } from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'

/** What is known of the credentials: whether there are any, and whether who sends none is let in. */
export interface CredentialFacts {
  readonly hasCredentials: boolean
  readonly hasAnonymous: boolean
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Whether only this machine reaches it: 127.0.0.0/8, ::1 and localhost. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return loopback.check(host, 'ipv4')
  if (isIPv6(host)) return loopback.check(host, 'ipv6')
  return host.toLowerCase() === 'localhost'
}

type ExposedDoor = 'http' | 'grpc' | 'resp' | 'lm'

/**
 * Warnings about what works and is unwise. Throws INVALID_CONFIG for a TCP door that strangers could use, or nobody.
 * A Unix socket is this user's alone, by its mode, and counts as local.
 */
export function checkExposure(
  config: Pick<
    ServerConfig,
    'host' | 'port' | 'grpcPort' | 'respPort' | 'lmPort' | 'tlsCertFile' | 'tlsClientCaFile' | 'credentialsFile'
  >,
  { hasCredentials, hasAnonymous }: CredentialFacts,
): readonly string[] {
  const { host } = config
  const hasTls = config.tlsCertFile !== null
  // Whoever has no certificate of the authority does not get as far as the first byte.
  if (config.tlsClientCaFile !== null) return []
  const ports = { http: config.port, grpc: config.grpcPort, resp: config.respPort, lm: config.lmPort }
  const doors = (['http', 'grpc', 'resp', 'lm'] as const).filter((door) => ports[door] !== null)
  const isLmOpen = doors.includes('lm')
  if (isLoopback(host)) {
    if (isLmOpen && hasCredentials && !hasAnonymous)
      throw refusal(
        ['lm'],
        host,
        'lm:// carries no token, and the credentials let nobody in without one',
        'Add `anonymous: { tenant, role }` to the credentials file, or give --tls-client-ca, or close --lm-port.',
      )
    return []
  }
  if (!hasCredentials)
    throw refusal(
      doors,
      host,
      'other machines reach it, and no credential is asked for',
      'Make credentials with `membrane token new` and give --credentials, or ask for client certificates with ' +
        '--tls-client-ca, or listen on 127.0.0.1.',
    )
  if (hasAnonymous)
    throw refusal(
      doors,
      host,
      'other machines reach it, and the credentials file lets in who sends no credential',
      'Take `anonymous` out of the credentials file, or listen on 127.0.0.1.',
    )
  if (isLmOpen)
    throw refusal(
      ['lm'],
      host,
      'other machines reach it, and lm:// carries no token',
      'Ask for client certificates with --tls-client-ca, or listen on 127.0.0.1, or close --lm-port.',
    )
  if (hasTls) return []
  return [`Tokens cross the network to ${host} unencrypted: give --tls-cert and --tls-key.`]
}

function refusal(doors: readonly ExposedDoor[], host: string, problem: string, remedy: string): MembraneError {
  return new MembraneError('INVALID_CONFIG', `${doors.join(', ')} on ${host}: ${problem}.`, {
    remedy,
    details: { doors, host },
  })
}
