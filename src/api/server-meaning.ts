/** What given values mean beyond themselves: older names, secrets inside of URLs, and what only a cluster would have. */
import { hostname } from 'node:os'
import { MembraneError } from '../core/errors.ts'
import type { GivenValue } from './server-layers.ts'
import {
  DEFAULT_DATA_DIR,
  DEFAULT_GRPC_PORT,
  DEFAULT_SERVER_CONFIG,
  type ServerConfig,
  type ServerConfigKey,
} from './server-schema.ts'

type Values = Map<ServerConfigKey, GivenValue>

/** Throws INVALID_CONFIG and CLUSTER_OFF. */
export function meant(given: ReadonlyMap<ServerConfigKey, GivenValue>): {
  readonly values: ReadonlyMap<ServerConfigKey, GivenValue>
  readonly notes: readonly string[]
} {
  const values: Values = new Map(given)
  const notes: string[] = []
  readCluster(values, notes)
  readTransport(values, notes)
  readLogLevel(values)
  splitRedisUrl(values)
  if ((values.get('store')?.value ?? 'disk') === 'disk' && !values.has('dataDir'))
    values.set('dataDir', { value: DEFAULT_DATA_DIR, origin: 'default' })
  return { values, notes }
}

/**
 * How nodes find each other, once it is known what else was given: `auto` is a Redis that no bytes rest in, or gossip.
 * A node that names others and has no name of its own is called by its host and port, so that two are not one.
 */
function readCluster(values: Values, notes: string[]): void {
  const asked = values.get('cluster')
  const redisUrl = values.get('redisUrl')
  const hasRedis = redisUrl !== undefined && redisUrl.value !== null
  const isStore = (values.get('store')?.value ?? 'disk') === 'redis'
  const engine = asked?.value ?? 'auto'
  if (engine === 'off') {
    if (hasRedis && !isStore) throw off('redisUrl', redisUrl.origin)
    const peers = values.get('peers')
    if (Array.isArray(peers?.value) && peers.value.length > 0) throw off('peers', peers.origin)
    return
  }
  if (engine === 'redis' && !hasRedis)
    throw new MembraneError('INVALID_CONFIG', `${asked?.origin}: a cluster on a Redis needs its address.`, {
      remedy: 'Give --redis redis://host:6379.',
    })
  if (engine === 'gossip' && hasRedis && !isStore)
    throw new MembraneError('INVALID_CONFIG', `${redisUrl.origin}: with gossip no Redis is asked.`, {
      remedy: 'Leave out --redis or --cluster, or give --store redis if bytes shall rest there.',
    })
  const isOnRedis = engine === 'redis' || (engine === 'auto' && hasRedis && !isStore)
  const peers = values.get('peers')?.value
  const hasPeers = Array.isArray(peers) && peers.length > 0
  if (values.has('nodeId') || !(hasPeers || isOnRedis)) return
  const port = Number(values.get('port')?.value ?? DEFAULT_SERVER_CONFIG.port)
  const host =
    hostname()
      .replaceAll(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '') || 'node'
  const name = `${host.slice(0, 50)}-${port}`
  values.set('nodeId', { value: name, origin: 'default' })
  notes.push(`This node is called ${name}: give --node-id for a name that outlasts its host and port.`)
}

/** How nodes find each other by a configuration: `auto` is a Redis that no bytes rest in, otherwise gossip. */
export function clusterEngineOf({
  cluster,
  redisUrl,
  store,
}: Pick<ServerConfig, 'cluster' | 'redisUrl' | 'store'>): Exclude<ServerConfig['cluster'], 'auto'> {
  if (cluster !== 'auto') return cluster
  return redisUrl !== null && store !== 'redis' ? 'redis' : 'gossip'
}

function off(key: 'redisUrl' | 'peers', origin: string): MembraneError {
  return new MembraneError('CLUSTER_OFF', `${origin}: ${key} is for a cluster, which is switched off.`, {
    remedy: 'Leave it out, or leave out --cluster off.',
    details: { key },
  })
}

/** Servers that answered the same routes in the earlier implementation; here there is one. */
const HTTP_NAMES = ['fastapi', 'stdlib']

function readTransport(values: Values, notes: string[]): void {
  const transport = values.get('transport')
  if (transport === undefined) return
  if (HTTP_NAMES.includes(String(transport.value))) {
    notes.push(`${transport.origin}: ${String(transport.value)} is http here: there is one HTTP server.`)
    values.set('transport', { ...transport, value: 'http' })
  }
  const grpcPort = values.get('grpcPort')
  if (transport.value !== 'grpc' || (grpcPort !== undefined && grpcPort.value !== null)) return
  values.set('grpcPort', { value: DEFAULT_GRPC_PORT, origin: transport.origin })
}

/** As the first server of this name wrote them, and Python does. */
const LEVEL_NAMES: Readonly<Record<string, string>> = { warning: 'warn', critical: 'fatal' }

function readLogLevel(values: Values): void {
  const level = values.get('logLevel')
  if (typeof level?.value !== 'string') return
  const name = level.value.toLowerCase()
  values.set('logLevel', { ...level, value: Object.hasOwn(LEVEL_NAMES, name) ? LEVEL_NAMES[name] : name })
}

/** The password of a URL becomes a secret of its own, so that the URL can be shown. */
function splitRedisUrl(values: Values): void {
  const url = values.get('redisUrl')
  if (typeof url?.value !== 'string') return
  // User and password end at the last @ before a path or a query; a password may hold anything else.
  const [, scheme, user, password, rest] = /^([a-z-]+:\/\/)([^:]*):(.*)@([^@]*)$/s.exec(url.value) ?? []
  if (scheme === undefined || password === undefined) {
    // A name alone may well be a password whose colon was forgotten, and would be shown.
    if (url.value.includes('@') && !values.has('redisPassword'))
      throw new MembraneError('INVALID_CONFIG', `${url.origin}: the URL of the Redis has a user without a password.`, {
        remedy: 'Write redis://user:password@host, or give the password in MEMBRANE_REDIS_PASSWORD.',
      })
    return
  }
  if (url.origin.startsWith('flag '))
    throw new MembraneError('INVALID_CONFIG', `${url.origin}: a password here is seen by everybody on this machine.`, {
      remedy: 'Give it in MEMBRANE_REDIS_PASSWORD, or the whole URL in MEMBRANE_REDIS_URL or a configuration file.',
    })
  if (values.has('redisPassword'))
    throw new MembraneError(
      'INVALID_CONFIG',
      `${url.origin}: the URL of the Redis has a password, and so has ${values.get('redisPassword')?.origin}.`,
      { remedy: 'Give one of them.' },
    )
  values.set('redisUrl', { ...url, value: `${scheme}${user === '' ? '' : `${user}@`}${rest}` })
  values.set('redisPassword', { value: decoded(password, url.origin), origin: url.origin })
}

function decoded(password: string, origin: string): string {
  try {
    return decodeURIComponent(password)
  } catch {
    throw new MembraneError('INVALID_CONFIG', `${origin}: the password in the URL of the Redis is not percent-encoded.`)
  }
}

/** The URL to connect with. It holds the password: for the store alone. Null without a Redis. */
export function revealRedisUrl({
  redisUrl,
  redisPassword,
}: {
  readonly redisUrl: string | null
  readonly redisPassword: { reveal(): string } | null
}): string | null {
  if (redisUrl === null || redisPassword === null) return redisUrl
  const [, scheme = '', user = '', rest = ''] = /^([a-z-]+:\/\/)(?:([^@]*)@)?(.*)$/s.exec(redisUrl) ?? []
  return `${scheme}${user}:${encodeURIComponent(redisPassword.reveal())}@${rest}`
}
