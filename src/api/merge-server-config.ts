/**
 * One configuration out of several layers: flags win over the environment, that over a file, that over the defaults. Each
 * value keeps where it came from, so that a refusal can say which flag, variable or line to change.
 */
import { MembraneError } from '../core/errors.ts'
import { nearestName } from '../core/nearest-name.ts'
import type { ConfigLayer, GivenValue } from './server-layers.ts'
import { clusterEngineOf, meant } from './server-meaning.ts'
import { SERVER_OPTION_NAMES } from './server-names.ts'
import {
  DEFAULT_SERVER_CONFIG,
  SERVER_CONFIG_KEYS,
  type ServerConfig,
  type ServerConfigKey,
  serverConfigSchema,
} from './server-schema.ts'

/** A configuration, where each of its values came from, and what whoever starts the server should know. */
export interface EffectiveServerConfig {
  readonly config: ServerConfig
  readonly origins: Readonly<Record<ServerConfigKey, string>>
  readonly notes: readonly string[]
}

/** Where a value came from that nobody gave. */
export const DEFAULT_ORIGIN = 'default'

/**
 * Layers in any order; flags win over the environment, and that over a file. Throws INVALID_CONFIG for an unknown name, a
 * value out of its range, or values that do not go together, and CLUSTER_OFF for what only a cluster has. No message shows a secret.
 */
export function mergeServerConfig(layers: readonly ConfigLayer[]): EffectiveServerConfig {
  const given = new Map<ServerConfigKey, GivenValue>()
  for (const kind of ['file', 'environment', 'flags'] as const)
    for (const layer of layers) if (layer.kind === kind) take(layer, given)
  const { values, notes } = meant(given)
  const result = serverConfigSchema.safeParse(Object.fromEntries([...values].map(([key, { value }]) => [key, value])))
  if (!result.success) throw refusal(result.error.issues, values)
  const origins = Object.fromEntries(
    SERVER_CONFIG_KEYS.map((key) => [key, values.get(key)?.origin ?? DEFAULT_ORIGIN]),
  ) as Record<ServerConfigKey, string>
  checkTogether(result.data, origins)
  return { config: result.data, origins, notes }
}

function take({ values }: ConfigLayer, given: Map<ServerConfigKey, GivenValue>): void {
  for (const [name, value] of values) {
    const key = SERVER_CONFIG_KEYS.find((known) => known === name)
    if (key === undefined) throw unknownName(name, value.origin)
    given.set(key, value)
  }
}

function unknownName(name: string, origin: string): MembraneError {
  const nearest = nearestName(name, SERVER_CONFIG_KEYS)
  // What is no word may be a piece of a secret that broke off its line.
  const shown = /^[A-Za-z_-]{1,32}$/.test(name) ? JSON.stringify(name) : 'of this name'
  return new MembraneError('INVALID_CONFIG', `${origin}: there is no setting ${shown}.`, {
    remedy:
      nearest === null
        ? '`membrane config --schema server` lists every setting.'
        : `Did you mean ${nearest}? \`membrane config --schema server\` lists every setting.`,
    details: { name: shown, nearest },
  })
}

interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

function refusal(issues: readonly Issue[], values: ReadonlyMap<ServerConfigKey, GivenValue>): MembraneError {
  const places = issues.map(({ path, message }) => {
    const key = SERVER_CONFIG_KEYS.find((known) => known === path[0])
    const given = key === undefined ? undefined : values.get(key)
    return { key, origin: given?.origin ?? '', message, found: key === undefined ? '' : foundText(key, given?.value) }
  })
  const [first] = places
  const others = places.length - 1
  return new MembraneError(
    'INVALID_CONFIG',
    `${first?.origin}: ${first?.key}: expected ${first?.message}${first?.found}${others > 0 ? ` (and ${others} more)` : ''}.`,
    {
      remedy: kubernetesRemedy(values) ?? '`membrane config --schema server` describes every setting.',
      details: { issues: places.map(({ key, origin, message }) => ({ key, origin, expected: message })) },
    },
  )
}

/** A secret in a wrong place is a secret all the same: only short plain values are repeated, and of secrets none. */
function foundText(key: ServerConfigKey, value: unknown): string {
  if (SERVER_OPTION_NAMES[key].isSecret === true || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return `, found ${value}`
  if (typeof value !== 'string') return `, found ${Array.isArray(value) ? 'a list' : 'something else'}`
  // It may hold a password, or be one that was put into the wrong place.
  if (/@|:\/\//.test(value)) return ''
  return `, found ${JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)}`
}

/** For a service that is called membrane, Kubernetes sets MEMBRANE_PORT=tcp://10.0.0.1:8080 in every pod. */
function kubernetesRemedy(values: ReadonlyMap<ServerConfigKey, GivenValue>): string | null {
  const port = values.get('port')
  if (typeof port?.value !== 'string' || !port.value.startsWith('tcp://')) return null
  return 'Kubernetes sets it for a service called membrane: give the pod enableServiceLinks: false, or use --port.'
}

type Refuse = (key: ServerConfigKey, problem: string, remedy: string) => never

/** Nodes know each other by a secret wherever anybody has to be known. */
function checkCluster(config: ServerConfig, refuse: Refuse): void {
  const { clusterSecret, clusterSecretFile, credentialsFile, peers, advertise } = config
  if (clusterSecret !== null && clusterSecretFile !== null)
    refuse('clusterSecretFile', 'the secret of the cluster is given twice', 'Give one of the two.')
  if (clusterSecret !== null && clusterSecret.reveal().length < SECRET_CHARACTERS_MIN)
    refuse(
      'clusterSecret',
      `a secret of at least ${SECRET_CHARACTERS_MIN} characters was expected`,
      'Make one with `openssl rand -hex 32`.',
    )
  const asksForOthers = peers.length > 0 || clusterEngineOf(config) === 'redis'
  if (asksForOthers && credentialsFile !== null && clusterSecret === null && clusterSecretFile === null)
    refuse(
      'credentialsFile',
      'with credentials, nodes have to know each other too',
      'Give every node the same MEMBRANE_CLUSTER_SECRET or --cluster-secret-file.',
    )
  if (advertise !== null && /^(?:0\.0\.0\.0|\[::\]|\[0*\]):/.test(advertise))
    refuse('advertise', 'it is an address that nobody can reach', 'Give the host:port that other nodes use.')
}

const SECRET_CHARACTERS_MIN = 16

function checkTogether(config: ServerConfig, origins: Readonly<Record<ServerConfigKey, string>>): void {
  const refuse = (key: ServerConfigKey, problem: string, remedy: string): never => {
    throw new MembraneError('INVALID_CONFIG', `${origins[key]}: ${key}: ${problem}.`, { remedy, details: { key } })
  }
  const { store, dataDir, redisUrl, compute } = config
  if (store === 'redis' && redisUrl === null)
    refuse('store', 'a Redis is needed to rest in', 'Give --redis URL or MEMBRANE_REDIS_URL.')
  if (redisUrl === null && config.redisPassword !== null)
    refuse('redisPassword', 'there is no Redis to send it to', 'Leave it out, or give --redis.')
  checkCluster(config, refuse)
  if (store === 'memory' && config.storeBytesMax !== null)
    refuse('storeBytesMax', 'a memory store is bounded by memoryBytesMax', 'Give --max-memory instead.')
  if (store !== 'disk' && config.durability !== DEFAULT_SERVER_CONFIG.durability)
    refuse('durability', `the store ${store} makes no such promise`, 'Leave it out, or give --store disk.')
  if (store === 'disk' && dataDir === null) refuse('dataDir', 'a disk store needs a directory', 'Give --data-dir.')
  for (const key of ['model', 'threads', 'device', 'llmUrl', 'llmModel', 'llmKeyFile', 'llmApiKey'] as const)
    if (compute === 'none' && config[key] !== null)
      refuse(key, 'nothing computes with compute none', 'Leave it out, or name an engine with --compute.')
  if ((config.tlsCertFile === null) !== (config.tlsKeyFile === null))
    refuse(
      config.tlsCertFile === null ? 'tlsKeyFile' : 'tlsCertFile',
      'a certificate and its key go together',
      'Give --tls-cert and --tls-key.',
    )
  if (config.tlsClientCaFile !== null && config.tlsCertFile === null)
    refuse('tlsClientCaFile', 'certificates of clients need TLS', 'Give --tls-cert and --tls-key too.')
  if (config.payloadBytesMax > config.bodiesBytesMax)
    refuse(
      origins.payloadBytesMax === DEFAULT_ORIGIN ? 'bodiesBytesMax' : 'payloadBytesMax',
      `one payload (${config.payloadBytesMax} bytes) would not fit among all bodies (${config.bodiesBytesMax} bytes)`,
      'Lower --max-payload, or raise --max-bodies.',
    )
  const taken = new Set<number>()
  for (const key of ['port', 'grpcPort', 'respPort', 'lmPort'] as const) {
    const port = config[key] ?? 0
    if (port > 0 && taken.has(port)) refuse(key, `port ${port} is another door's`, 'Give each door a port of its own.')
    taken.add(port)
  }
}
