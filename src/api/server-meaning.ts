/** What given values mean beyond themselves: older names, secrets inside of URLs, and what only a cluster would have. */
import { MembraneError } from '../core/errors.ts'
import type { GivenValue } from './server-layers.ts'
import { DEFAULT_DATA_DIR, DEFAULT_GRPC_PORT, DEFAULT_SERVER_CONFIG, type ServerConfigKey } from './server-schema.ts'

type Values = Map<ServerConfigKey, GivenValue>

/** Throws INVALID_CONFIG and CLUSTER_OFF. */
export function meant(given: ReadonlyMap<ServerConfigKey, GivenValue>): {
  readonly values: ReadonlyMap<ServerConfigKey, GivenValue>
  readonly notes: readonly string[]
} {
  const values: Values = new Map(given)
  const notes: string[] = []
  refuseCluster(values)
  readTransport(values, notes)
  readLogLevel(values)
  splitRedisUrl(values)
  if ((values.get('store')?.value ?? 'disk') === 'disk' && !values.has('dataDir'))
    values.set('dataDir', { value: DEFAULT_DATA_DIR, origin: 'default' })
  return { values, notes }
}

const CLUSTER_KEYS = [
  'peers',
  'heartbeatIntervalSeconds',
  'gossipIntervalSeconds',
  'replicaCount',
  'failureRemoveThreshold',
] as const satisfies readonly ServerConfigKey[]

function refuseCluster(values: Values): void {
  const store = values.get('store')?.value ?? 'disk'
  const key =
    CLUSTER_KEYS.find((name) => asksForCluster(name, values.get(name))) ??
    (values.has('redisUrl') && values.get('redisUrl')?.value !== null && store !== 'redis' ? 'redisUrl' : undefined)
  if (key === undefined) return
  const isRedis = key === 'redisUrl'
  throw new MembraneError(
    'CLUSTER_OFF',
    `${values.get(key)?.origin}: ${key} is for a cluster, and this version runs one node alone.`,
    {
      remedy: isRedis ? 'Leave it out, or give --store redis if bytes shall rest there.' : 'Leave it out.',
      details: { key },
    },
  )
}

/** A file that was printed by `membrane config --show` names the defaults too. */
function asksForCluster(key: (typeof CLUSTER_KEYS)[number], given: GivenValue | undefined): boolean {
  if (given === undefined) return false
  if (key === 'peers') return !Array.isArray(given.value) || given.value.length > 0
  return !given.origin.startsWith('file ') || given.value !== DEFAULT_SERVER_CONFIG[key]
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
