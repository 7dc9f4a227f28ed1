/** Everything that `membrane serve` can be told, as one flat value: a name here is a flag, a variable and a key of a file. */
import { z } from 'zod'
import { BACKENDS } from '../core/compute.ts'
import { LIMITS } from '../core/limits.ts'
import { EVICTION_POLICY_NAMES } from '../planner/sim-options.ts'
import * as field from './server-fields.ts'

/** What computes: an engine, a service, or nothing. */
export const SERVER_COMPUTE_CHOICES = [...BACKENDS, 'gpu', 'none'] as const
/** Where bytes rest. */
const STORE_KINDS = ['disk', 'memory', 'redis'] as const
/** How nodes find each other. */
const CLUSTER_ENGINES = ['auto', 'gossip', 'redis', 'off'] as const
/** As `MEMBER_ROLES` of the cluster has them. */
const MEMBER_ROLES = ['store', 'prefill', 'decode', 'supernode'] as const
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
const LOG_FORMATS = ['auto', 'json', 'text'] as const

/** What holds where nothing is given; `null` is a door that is closed, a bound that is not there, a file that is not named. */
export const DEFAULT_SERVER_CONFIG = {
  nodeId: 'membrane-0',
  host: '127.0.0.1',
  port: 8080,
  transport: 'http',
  grpcPort: null,
  respPort: null,
  respSocket: null,
  lmPort: null,
  store: 'disk',
  dataDir: null,
  durability: 'process',
  redisUrl: null,
  redisPassword: null,
  memoryBytesMax: 1024 ** 3,
  storeBytesMax: null,
  storeEntriesMax: LIMITS.indexFragmentsMax,
  evictionPolicy: 'chain-lhd',
  ttlSeconds: null,
  semantic: true,
  compute: 'cpu',
  model: null,
  threads: null,
  device: null,
  llmUrl: null,
  llmModel: null,
  llmKeyFile: null,
  llmApiKey: null,
  residentBytesMax: 1024 ** 3,
  requestsMax: 4,
  leaseSeconds: 30,
  requestsPerSecondMax: null,
  bytesPerSecondMax: null,
  payloadBytesMax: LIMITS.redisValueBytesMax,
  bodiesBytesMax: 1024 ** 3,
  connectionsMax: 1024,
  tlsCertFile: null,
  tlsKeyFile: null,
  tlsClientCaFile: null,
  credentialsFile: null,
  allowedPeers: [],
  drainSeconds: 30,
  logLevel: 'info',
  logFile: null,
  logFormat: 'auto',
  auditFile: null,
  cluster: 'auto',
  clusterName: 'membrane',
  datacentre: 'dc-1',
  advertise: null,
  roles: ['store', 'prefill', 'decode'],
  clusterSecret: null,
  clusterSecretFile: null,
  replicationBytesPerSecond: null,
  peers: [],
  heartbeatIntervalSeconds: 0.4,
  gossipIntervalSeconds: 5,
  replicaCount: 2,
  failureRemoveThreshold: 4,
} as const

/** The data directory of a disk store that names none. */
export const DEFAULT_DATA_DIR = 'membrane-data'
/** The port that gRPC's own examples use. */
export const DEFAULT_GRPC_PORT = 50_051

const D = DEFAULT_SERVER_CONFIG
const DAY_SECONDS = 86_400
const BYTES_MAX = Number.MAX_SAFE_INTEGER
const closedPort = field.port.nullable().default(null)
// No stricter than the store that connects, but for what may be a piece of a password: that is refused, not shown.
const REDIS_URL =
  /^(?:rediss?|valkeys?|unix|rediss?-cluster|rediss?-sentinel):\/\/(?:[^\s@:/?#]{1,256}@)?(?:(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?(?:,|(?=[/?]|$)))*(?:\/[^\s?#@]{0,4000})?(?:\?db=\d{1,9})?$/
const noFile = field.path.nullable().default(null)

/** Checks and completes what was merged. `mergeServerConfig` is the way in: it knows where each value came from. */
export const serverConfigSchema = z
  .strictObject({
    nodeId: field
      .text('1 to 64 letters, digits, dots, underscores and dashes', NAME)
      .default(D.nodeId)
      .describe(
        'Name of this node among others, and in its answers and logs; of host name and port where others are named and it is not.',
      ),
    host: field
      .text('a host name or address', /^[A-Za-z0-9._:%-]{1,253}$/)
      .default(D.host)
      .describe(
        'Address that all TCP doors listen on; beyond loopback, credentials or client certificates are needed.',
      ),
    port: field.port.default(D.port).describe('HTTP; 0 takes a free port.'),
    transport: field
      .oneOf(['http', 'grpc'])
      .default(D.transport)
      .describe('grpc opens the gRPC door as well, on grpcPort or 50051; HTTP is always open.'),
    grpcPort: closedPort.describe('gRPC; closed unless given.'),
    respPort: closedPort.describe('RESP, which Redis clients speak; closed unless given.'),
    respSocket: noFile.describe('Unix socket for RESP, for this user only; closed unless given.'),
    lmPort: closedPort.describe('lm://, which LMCache speaks; closed unless given.'),
    store: field.oneOf(STORE_KINDS).default(D.store).describe('Where bytes rest.'),
    dataDir: noFile.describe(`Directory of the store; ${DEFAULT_DATA_DIR} for a disk store that names none.`),
    durability: field
      .oneOf(['process', 'power'])
      .default(D.durability)
      .describe('What an acknowledged write outlives: a killed process, or a power cut too.'),
    redisUrl: field
      .text('the URL of a Redis, such as redis://host:6379', REDIS_URL)
      .nullable()
      .default(null)
      .describe('Redis or Valkey: with the store redis, where bytes rest; without it, the engine of a cluster.'),
    redisPassword: field.secret
      .nullable()
      .default(null)
      .describe('Password of the Redis; from the environment or a file.'),
    memoryBytesMax: field
      .bytes(BYTES_MAX)
      .prefault(D.memoryBytesMax)
      .describe('Bytes kept in memory: all of a memory store, the hot part of another.'),
    storeBytesMax: field
      .bytes(BYTES_MAX)
      .nullable()
      .default(null)
      .describe('Bytes kept on disk or in Redis; older ones are evicted. No bound unless given.'),
    storeEntriesMax: field
      .whole(1, LIMITS.indexFragmentsMax)
      .default(D.storeEntriesMax)
      .describe('Fragments kept; others are evicted.'),
    evictionPolicy: field.oneOf(EVICTION_POLICY_NAMES).default(D.evictionPolicy).describe('What is evicted first.'),
    ttlSeconds: field
      .seconds(0.001, 3650 * DAY_SECONDS)
      .nullable()
      .default(null)
      .describe('After which a fragment that names no time of its own is gone; kept unless given.'),
    semantic: field.flag.default(D.semantic).describe('Whether texts can be searched by their meaning.'),
    compute: field.oneOf(SERVER_COMPUTE_CHOICES).default(D.compute).describe('What computes; none only stores.'),
    model: noFile.describe('GGUF file or model folder; the model that comes along unless given.'),
    threads: field
      .whole(1, LIMITS.engineThreadsMax)
      .nullable()
      .default(null)
      .describe('Threads of the engine; one for each processor unless given.'),
    device: field
      .text('a device such as cuda, vulkan, metal, webgpu or cpu', /^[a-z0-9:_-]{1,32}$/)
      .nullable()
      .default(null)
      .describe('Device of gpu or transformers; the best one, or the processor, unless given.'),
    llmUrl: field
      .text('an http or https URL without a user, a password or a query', /^https?:\/\/[^\s@?#]{1,2000}$/)
      .nullable()
      .default(null)
      .describe('Base URL of a service that computes.'),
    llmModel: field
      .text('the name of a model', /^[\x21-\x7e]{1,256}$/)
      .nullable()
      .default(null)
      .describe('Model of a service.'),
    llmKeyFile: noFile.describe('File of one line with the key of the service.'),
    llmApiKey: field.secret.nullable().default(null).describe('Key of the service; from the environment or a file.'),
    residentBytesMax: field
      .bytes(BYTES_MAX)
      .prefault(D.residentBytesMax)
      .describe("Bytes of the engine's memory for conversations between their turns."),
    requestsMax: field
      .whole(1, LIMITS.computeContextsMax)
      .default(D.requestsMax)
      .describe('Requests that compute or generate at a time; others wait.'),
    leaseSeconds: field
      .seconds(0, LIMITS.leaseMsMax / 1000)
      .prefault(D.leaseSeconds)
      .describe('How long a look-up that names no time keeps what it found from leaving.'),
    requestsPerSecondMax: field
      .amount(0.001, 1e9)
      .nullable()
      .default(null)
      .describe('Requests of one credential a second; more are refused with RATE_LIMITED. No bound unless given.'),
    bytesPerSecondMax: field
      .bytes(1e15)
      .nullable()
      .default(null)
      .describe('Payload bytes that one credential sends a second. No bound unless given.'),
    payloadBytesMax: field
      .bytes(LIMITS.payloadBytesMax)
      .prefault(D.payloadBytesMax)
      .describe('Bytes of one fragment; more is refused before it is read.'),
    bodiesBytesMax: field
      .bytes(BYTES_MAX)
      .prefault(D.bodiesBytesMax)
      .describe('Bytes of all bodies that are on their way in; others wait.'),
    connectionsMax: field
      .whole(1, 1_000_000)
      .default(D.connectionsMax)
      .describe('Connections of one door at a time; one more is closed at once.'),
    tlsCertFile: noFile.describe('Certificate chain of all TCP doors, PEM; without it they speak plain text.'),
    tlsKeyFile: noFile.describe('Private key of the certificate, PEM.'),
    tlsClientCaFile: noFile.describe('Authority whose certificates clients must show, PEM.'),
    credentialsFile: noFile.describe('Who may do what: made by `membrane token new`.'),
    allowedPeers: field
      .list(field.hostAndPort, 1024)
      .default([])
      .describe('Nodes, as host:port, that a request may make this one fetch from.'),
    drainSeconds: field
      .seconds(0, DAY_SECONDS)
      .prefault(D.drainSeconds)
      .describe('How long requests under way may take to end when the server is told to stop.'),
    logLevel: field.oneOf(LOG_LEVELS).default(D.logLevel).describe('From which level on something is logged.'),
    logFile: noFile.describe('File that logs are appended to; standard error unless given.'),
    logFormat: field
      .oneOf(LOG_FORMATS)
      .default(D.logFormat)
      .describe('json for a line of JSON each; text for readers; auto is text on a terminal, otherwise json.'),
    auditFile: noFile.describe('Record of administrative actions; audit.jsonl in the data directory unless given.'),
    cluster: field
      .oneOf(CLUSTER_ENGINES)
      .default(D.cluster)
      .describe(
        'How nodes find each other: gossip between them, leases in a Redis, or not at all; auto is the Redis that is ' +
          'given beside another store, otherwise gossip.',
      ),
    clusterName: field
      .text('1 to 64 letters, digits, dots, underscores and dashes', NAME)
      .default(D.clusterName)
      .describe('Nodes of one name are one cluster; in a Redis, the name of its keys.'),
    datacentre: field
      .text('1 to 64 letters, digits, dots, underscores and dashes', NAME)
      .default(D.datacentre)
      .describe('Where this node is: links within one are fast, those between two are measured and shared.'),
    advertise: field.hostAndPort
      .nullable()
      .default(null)
      .describe('host:port at which other nodes reach the HTTP door; the address it listens on unless given.'),
    roles: field
      .list(field.oneOf(MEMBER_ROLES), MEMBER_ROLES.length)
      .default([...D.roles])
      .describe(
        'What this node does for others: keeps replicas, computes prompts, generates, speaks for its datacentre.',
      ),
    clusterSecret: field.secret
      .nullable()
      .default(null)
      .describe('Secret by which nodes of a cluster know each other; from the environment or a file.'),
    clusterSecretFile: noFile.describe('File of one line with that secret.'),
    replicationBytesPerSecond: field
      .bytes(1e15)
      .nullable()
      .default(null)
      .describe('Bytes a second that this node fetches to restore replicas. No bound unless given.'),
    peers: field
      .list(field.hostAndPort, 1024)
      .default([])
      .describe('Nodes of the cluster to begin with, as host:port; any one of them is enough.'),
    heartbeatIntervalSeconds: field
      .seconds(0.1, 3600)
      .prefault(D.heartbeatIntervalSeconds)
      .describe('Between two rounds of probes; a node that falls silent is gone after seven of them at most.'),
    gossipIntervalSeconds: field
      .seconds(0.1, 3600)
      .prefault(D.gossipIntervalSeconds)
      .describe('Between two exchanges of what nodes know of each other.'),
    replicaCount: field.whole(1, 16).default(D.replicaCount).describe('Nodes that keep each fragment.'),
    failureRemoveThreshold: field
      .whole(1, 1000)
      .default(D.failureRemoveThreshold)
      .describe('Heartbeats for which a node that did not answer is suspected before it is taken for gone.'),
  })
  .describe('Configuration of `membrane serve`: what is not given is what stands as its default.')

/** What a server is started with, checked and complete; see `serverConfigSchema` for units and ranges. */
export type ServerConfig = {
  readonly [Key in keyof Output]: Output[Key] extends readonly (infer Item)[] ? readonly Item[] : Output[Key]
}
type Output = z.output<typeof serverConfigSchema>
/** Name of a value. */
export type ServerConfigKey = keyof ServerConfig
/** Every name, in the order in which the values are shown. */
export const SERVER_CONFIG_KEYS = Object.keys(serverConfigSchema.shape) as readonly ServerConfigKey[]
