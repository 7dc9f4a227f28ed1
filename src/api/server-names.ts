/** How each value of a server's configuration is called: as a flag, as a variable, and how text becomes it. */
import { unreachable } from '../core/errors.ts'
import { DEFAULT_SERVER_CONFIG, type ServerConfigKey } from './server-schema.ts'

/** How one value is given. */
export interface ServerOptionNames {
  /** As commander takes it; null for what must not be seen in a list of processes. */
  readonly flag: string | null
  /** The one letter of the flag. */
  readonly letter?: string
  /** What the help shows in place of the value. */
  readonly placeholder: string
  /** What the text of a flag or a variable becomes before it is checked. */
  readonly kind: 'text' | 'number' | 'boolean' | 'list'
  /** Variables beside the one that the name makes, which comes first. */
  readonly otherVariables?: readonly string[]
  /** What is never shown: a secret, or what may hold one. */
  readonly isSecret?: boolean
}

const file = (flag: string): ServerOptionNames => ({ flag, placeholder: 'file', kind: 'text' })
const number = (flag: string): ServerOptionNames => ({ flag, placeholder: 'n', kind: 'number' })
const size = (flag: string): ServerOptionNames => ({ flag, placeholder: 'size', kind: 'text' })
const time = (flag: string): ServerOptionNames => ({ flag, placeholder: 'time', kind: 'text' })
const name = (flag: string, placeholder = 'name'): ServerOptionNames => ({ flag, placeholder, kind: 'text' })

/** By name. */
export const SERVER_OPTION_NAMES: Readonly<Record<ServerConfigKey, ServerOptionNames>> = {
  nodeId: { ...name('--node-id'), letter: '-n' },
  // No letter: -h is help everywhere.
  host: name('--host', 'address'),
  port: { ...number('--port'), letter: '-p' },
  transport: { ...name('--transport'), letter: '-t' },
  grpcPort: number('--grpc-port'),
  respPort: number('--resp-port'),
  respSocket: name('--resp-socket', 'path'),
  lmPort: number('--lm-port'),
  store: name('--store', 'kind'),
  dataDir: name('--data-dir', 'dir'),
  durability: name('--durability', 'kind'),
  redisUrl: { ...name('--redis', 'url'), letter: '-r', isSecret: true },
  redisPassword: { flag: null, placeholder: '', kind: 'text', isSecret: true },
  memoryBytesMax: { ...size('--max-memory'), letter: '-m' },
  storeBytesMax: size('--max-bytes'),
  storeEntriesMax: number('--max-entries'),
  evictionPolicy: name('--policy'),
  ttlSeconds: time('--ttl'),
  semantic: { flag: '--semantic', placeholder: '', kind: 'boolean' },
  compute: { ...name('--compute', 'engine'), letter: '-c' },
  model: file('--model'),
  threads: number('--threads'),
  device: name('--device'),
  llmUrl: { ...name('--llm-url', 'url'), otherVariables: ['MEMBRANE_LLM_BASE_URL'] },
  llmModel: name('--llm-model'),
  llmKeyFile: file('--llm-key-file'),
  llmApiKey: { flag: null, placeholder: '', kind: 'text', isSecret: true },
  residentBytesMax: size('--resident-bytes'),
  // What workers were to the first server of this name: how many requests are worked on at a time.
  requestsMax: { ...number('--max-requests'), otherVariables: ['MEMBRANE_MAX_WORKERS'] },
  leaseSeconds: time('--lease'),
  requestsPerSecondMax: number('--requests-per-second'),
  bytesPerSecondMax: size('--bytes-per-second'),
  payloadBytesMax: size('--max-payload'),
  bodiesBytesMax: size('--max-bodies'),
  connectionsMax: number('--max-connections'),
  tlsCertFile: file('--tls-cert'),
  tlsKeyFile: file('--tls-key'),
  tlsClientCaFile: file('--tls-client-ca'),
  credentialsFile: file('--credentials'),
  allowedPeers: { flag: '--allow-peer', placeholder: 'host:port', kind: 'list' },
  drainSeconds: time('--drain'),
  logLevel: { ...name('--log-level', 'level'), letter: '-l' },
  logFile: file('--log-file'),
  logFormat: name('--log-format'),
  auditFile: file('--audit-file'),
  cluster: name('--cluster', 'engine'),
  clusterName: name('--cluster-name'),
  datacentre: name('--datacentre'),
  advertise: name('--advertise', 'host:port'),
  roles: { flag: '--role', placeholder: 'role', kind: 'list' },
  clusterSecret: { flag: null, placeholder: '', kind: 'text', isSecret: true },
  clusterSecretFile: file('--cluster-secret-file'),
  replicationBytesPerSecond: size('--replication-rate'),
  peers: { flag: '--peer', placeholder: 'host:port', kind: 'list' },
  heartbeatIntervalSeconds: time('--heartbeat-interval'),
  gossipIntervalSeconds: time('--gossip-interval'),
  replicaCount: number('--replica-count'),
  failureRemoveThreshold: number('--failure-remove-threshold'),
}

/**
 * The variables of a value, the one that it is called by first: `memoryBytesMax` is MEMBRANE_MEMORY_BYTES_MAX and, as its
 * flag is --max-memory, MEMBRANE_MAX_MEMORY.
 */
export function variablesOf(key: ServerConfigKey): readonly string[] {
  const { flag, otherVariables = [] } = SERVER_OPTION_NAMES[key]
  const own = `MEMBRANE_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
  const ofFlag = flag === null ? [] : [`MEMBRANE_${flag.slice('--'.length).replaceAll('-', '_').toUpperCase()}`]
  return [...new Set([own, ...ofFlag, ...otherVariables])]
}

/** What the text of a flag or a variable is taken for; what it does not fit stays text, for the check to refuse. */
export function valueOfText(key: ServerConfigKey, text: string): unknown {
  const { kind, isSecret } = SERVER_OPTION_NAMES[key]
  const trimmed = text.trim()
  // What closes a door or takes a bound away that a file has set.
  if (trimmed === 'none' && isSecret !== true && DEFAULT_SERVER_CONFIG[key] === null) return null
  switch (kind) {
    case 'number':
      return trimmed !== '' && Number.isFinite(Number(trimmed)) ? Number(trimmed) : text
    case 'boolean':
      return BOOLEANS[trimmed.toLowerCase()] ?? text
    case 'list':
      return trimmed === ''
        ? []
        : trimmed
            .split(',')
            .map((item) => item.trim())
            .filter((item) => item !== '')
    case 'text':
      return isSecret === true ? text : trimmed
    default:
      return unreachable(kind)
  }
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
}
