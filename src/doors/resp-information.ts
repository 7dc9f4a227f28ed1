/** RESP commands about the server: INFO, CONFIG, TIME. What they say is true, or left out. */
import { type RespReply, respArray, respText } from '../api/resp-codec-replies.ts'
import type { RespArgs, RespCall, RespCommandTable } from './resp-command.ts'
import { refuse } from './resp-refusal.ts'
import { textOf, wordOf } from './resp-arguments.ts'
import { matchesGlob } from './resp-glob.ts'
import type { RespSession } from './resp-parts.ts'

/** Whose commands these are, as far as they go: clients choose by it what they send. */
const REDIS_VERSION = '7.0.0'

const COMMON = { keys: [0, 0, 0], group: 'server', flags: ['loading', 'stale'] } as const

export const SERVER_COMMANDS: RespCommandTable = {
  info: {
    ...COMMON,
    arity: -1,
    summary: 'What this server is, in the sections that clients of Redis read.',
    run: (call, args) => info(call, args),
  },
  time: {
    ...COMMON,
    arity: 1,
    summary: 'Seconds since 1970, and microseconds.',
    run: ({ session }) => {
      const ms = session.door.nowMs()
      return respArray([respText(String(Math.floor(ms / 1000))), respText(String(Math.floor((ms % 1000) * 1000)))])
    },
  },
}

export const CONFIG_COMMANDS: RespCommandTable = {
  get: {
    ...COMMON,
    arity: -3,
    flags: ['admin', 'noscript', 'loading', 'stale'],
    summary: 'Settings whose names match.',
    run: ({ session }, args) => {
      const settings = Object.entries(settingsOf(session))
      const patterns = args.slice(2).map((pattern) => encoder.encode(wordOf(pattern)))
      const entries = settings
        .filter(([name]) => patterns.some((pattern) => matchesGlob(pattern, encoder.encode(name))))
        .map(([name, value]) => [respText(name), respText(value)] as const)
      return { kind: 'map', entries }
    },
  },
  resetstat: {
    ...COMMON,
    arity: 2,
    flags: ['admin', 'noscript', 'loading', 'stale'],
    summary: 'Refused: the counts of a node are of its whole life.',
    run: () => {
      throw refuse('ERR counts are of the whole life of the node and are not set back')
    },
  },
  set: {
    ...COMMON,
    arity: -4,
    flags: ['admin', 'noscript', 'loading', 'stale'],
    summary: 'Refused: a node is configured when it is started.',
    run: () => {
      throw refuse('ERR the node is configured when it is started: membrane serve --help')
    },
  },
}

const encoder = new TextEncoder()

/** There is no dump and no append-only file here; whether values outlive the process is for the node's store. */
function settingsOf({ door }: RespSession): Readonly<Record<string, string>> {
  return {
    appendonly: 'no',
    save: '',
    databases: '1',
    maxclients: String(door.connectionsMax),
    timeout: '0',
    'proto-max-bulk-len': String(door.payloadBytesMax),
    port: String(door.address.kind === 'tcp' ? door.address.port : 0),
    unixsocket: door.address.kind === 'unix' ? door.address.path : '',
  }
}

async function info(call: RespCall, args: RespArgs): Promise<RespReply> {
  const wanted = new Set(args.slice(1).map((word) => textOf(word).toLowerCase()))
  const isAll = wanted.size === 0 || ['all', 'default', 'everything'].some((word) => wanted.has(word))
  const text = Object.entries(sectionsOf(call))
    .filter(([name]) => isAll || wanted.has(name.toLowerCase()))
    .map(([name, lines]) => `# ${name}\r\n${lines.map(([field, value]) => `${field}:${value}\r\n`).join('')}`)
    .join('\r\n')
  return respText(text)
}

type Lines = readonly (readonly [string, string | number])[]

/** Nothing of other tenants: neither keys nor how much they hold. */
function sectionsOf({ session }: RespCall): Readonly<Record<string, Lines>> {
  const { door } = session
  const upSeconds = Math.max(0, Math.floor((door.nowMs() - door.startedAtMs) / 1000))
  return {
    Server: [
      ['redis_version', REDIS_VERSION],
      ['membrane_version', door.version],
      ['redis_mode', 'standalone'],
      ['os', `${process.platform} ${process.arch}`],
      ['arch_bits', 64],
      ['process_id', process.pid],
      ['tcp_port', door.address.kind === 'tcp' ? door.address.port : 0],
      ['uptime_in_seconds', upSeconds],
      ['uptime_in_days', Math.floor(upSeconds / 86_400)],
    ],
    Clients: [
      ['connected_clients', door.sessions.size],
      ['maxclients', door.connectionsMax],
      ['cluster_connections', 0],
    ],
    Memory: [
      ['used_memory_rss', process.memoryUsage.rss()],
      ['body_bytes', door.budget.bytes],
      ['body_bytes_max', door.budget.bytesMax],
    ],
    Persistence: [
      ['loading', 0],
      ['async_loading', 0],
    ],
    Stats: [
      ['total_connections_received', door.counts.connections],
      ['total_commands_processed', door.counts.commands],
      ['rejected_connections', door.counts.rejected],
    ],
    Replication: [
      ['role', 'master'],
      ['connected_slaves', 0],
    ],
    Cluster: [['cluster_enabled', 0]],
  }
}
