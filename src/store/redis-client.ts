/**
 * A connection to a Redis, be it one server, a cluster or what sentinels watch, as the few calls that the store makes.
 * The only file that loads ioredis. Every call ends by its deadline, and nothing waits for a server that is away.
 */
import { hash } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import type { ChainableCommander, Cluster, Redis } from 'ioredis'
import { MembraneError, unreachable } from '../core/errors.ts'
import { isWrongType, redisError } from './redis-errors.ts'
import type { RedisAddress } from './redis-url.ts'

/** What a server's certificate is checked against, PEM; Node's own authorities unless given. */
export interface RedisTls {
  readonly ca?: string | Buffer
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
}

export interface RedisConnectOptions {
  readonly timeoutMs: number
  /** The longest silence while an answer is awaited; then the connection is made anew. Null for none. */
  readonly silenceMsMax: number | null
  /** Sends all commands of one turn of the event loop in one write, those of each server of a cluster too. */
  readonly isPipelined: boolean
  readonly tls: RedisTls
}

export type KeyCommand =
  | readonly [name: 'get' | 'strlen' | 'unlink', key: Buffer]
  /** From the first to the last byte, both included. */
  | readonly [name: 'getrange', key: Buffer, first: number, last: number]
  | readonly [name: 'set', key: Buffer, value: Buffer, leftMs: number | null]

/** A program in Lua that a server keeps once it was sent; see `redisScript`. */
export interface RedisScript {
  readonly text: string
  readonly sha1: string
}

/** What a script returns. */
export type ScriptReply = Buffer | number | null | readonly ScriptReply[]

/** Commands that ioredis has and does not declare: of all that give bytes, those of scripts are missing. */
interface ScriptCalls {
  evalshaBuffer(sha1: string, keys: number, ...rest: readonly (Buffer | string | number)[]): Promise<ScriptReply>
  evalBuffer(text: string, keys: number, ...rest: readonly (Buffer | string | number)[]): Promise<ScriptReply>
}

export function redisScript(text: string): RedisScript {
  return { text, sha1: hash('sha1', text) }
}

/** What lies under the key is no string, so it is none of ours. */
export const WRONG_TYPE = Symbol('WRONGTYPE')
export type Reply = Buffer | number | string | null | typeof WRONG_TYPE

/** A server that answers slower than this is taken to hang: its slowest client has a tenth of a gigabit. */
const BYTES_PER_MS_MIN = 10_000
const RECONNECT_MS = { first: 50, max: 1000 } as const

export class RedisClient {
  readonly #client: Redis | Cluster
  readonly #address: string
  readonly #timeoutMs: number

  private constructor(client: Redis | Cluster, address: string, timeoutMs: number) {
    this.#client = client
    this.#address = address
    this.#timeoutMs = timeoutMs
  }

  /** Throws STORE_UNAVAILABLE, INVALID_CONFIG when it is not let in, MISSING_PACKAGE. */
  static async connect(address: RedisAddress, options: RedisConnectOptions): Promise<RedisClient> {
    const client = await createClient(address, options)
    const connection = new RedisClient(client, address.text, options.timeoutMs)
    let said: unknown = null
    // Also keeps an error that no call waits for from ending the process.
    client.on('error', (error: unknown) => {
      said = error
    })
    try {
      await connection.#within(0, 'be connected to', () => client.connect())
      // A cluster's servers are connected to when they are first asked; what is asked meanwhile would lose its order.
      if ('nodes' in client) {
        await connection.#within(0, 'be connected to', () =>
          Promise.all(client.nodes('master').map((node) => node.ping())),
        )
      }
      return connection
    } catch (error) {
      client.disconnect()
      throw said === null ? error : redisError(said, 'be connected to', address.text)
    }
  }

  /**
   * Commands that are sent at once, in order on each server: one round trip. Between two of them others may come.
   * `bytes` that they move stretch the deadline.
   */
  async each(what: string, bytes: number, commands: readonly KeyCommand[]): Promise<readonly Reply[]> {
    return this.#within(bytes, what, () =>
      Promise.all(commands.map(async (command) => replyOf(() => send(this.#client, command)))),
    )
  }

  /** Commands on one key that nobody's come between: one round trip. */
  async atomic(what: string, bytes: number, commands: readonly KeyCommand[]): Promise<readonly Reply[]> {
    return this.#within(bytes, what, async () => {
      const transaction = this.#client.multi()
      for (const command of commands) send(transaction, command)
      const answers = (await transaction.exec()) ?? []
      return Promise.all(
        answers.map(([error, answer]) =>
          replyOf(() => (error === null ? Promise.resolve(answer) : Promise.reject(error))),
        ),
      )
    })
  }

  /**
   * A script on keys of one hash slot, which nobody's commands come between: one round trip once the server knows it.
   * Texts of the answer are bytes.
   */
  async script(
    what: string,
    bytes: number,
    {
      script,
      keys,
      args,
    }: {
      readonly script: RedisScript
      readonly keys: readonly Buffer[]
      readonly args: readonly (Buffer | string | number)[]
    },
  ): Promise<ScriptReply> {
    const rest = [...keys, ...args]
    const client = this.#client as unknown as ScriptCalls
    return this.#within(bytes, what, async () => {
      try {
        return await client.evalshaBuffer(script.sha1, keys.length, ...rest)
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        return client.evalBuffer(script.text, keys.length, ...rest)
      }
    })
  }

  /** Keys that match, in batches; some may come twice. Every master is asked. */
  async *scan(pattern: Buffer, count: number): AsyncGenerator<readonly Buffer[]> {
    const masters = 'nodes' in this.#client ? this.#client.nodes('master') : [this.#client]
    for (const master of masters) {
      let cursor = '0'
      do {
        // The pattern's type asks for text; its bytes are sent as they are.
        const [next, keys] = await this.#within(0, 'list keys', () =>
          master.scanBuffer(cursor, 'MATCH', pattern as unknown as string, 'COUNT', count),
        )
        if (keys.length > 0) yield keys
        cursor = next.toString('latin1')
      } while (cursor !== '0')
    }
  }

  close(): void {
    this.#client.disconnect()
  }

  async #within<T>(bytes: number, what: string, call: () => Promise<T>): Promise<T> {
    const limitMs = this.#timeoutMs + Math.ceil(bytes / BYTES_PER_MS_MIN)
    let timer: NodeJS.Timeout | undefined
    try {
      const deadline = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`no answer within ${limitMs} ms`))
          // What waits on this connection would only grow: it is given up, and made anew.
          this.#client.disconnect(true)
        }, limitMs)
      })
      return await Promise.race([call(), deadline])
    } catch (error) {
      throw redisError(error, what, this.#address)
    } finally {
      clearTimeout(timer)
    }
  }
}

/** A promise of the reply, except in a transaction. */
function send(client: Redis | Cluster | ChainableCommander, command: KeyCommand): unknown {
  switch (command[0]) {
    case 'get':
      return client.getBuffer(command[1])
    case 'strlen':
      return client.strlen(command[1])
    case 'unlink':
      return client.unlink(command[1])
    case 'getrange':
      return client.getrangeBuffer(command[1], command[2], command[3])
    case 'set': {
      const [, key, value, leftMs] = command
      return leftMs === null ? client.set(key, value) : client.set(key, value, 'PX', leftMs)
    }
    default:
      return unreachable(command)
  }
}

async function replyOf(send: () => unknown): Promise<Reply> {
  try {
    return (await send()) as Reply
  } catch (error) {
    if (isWrongType(error)) return WRONG_TYPE
    throw error
  }
}

async function createClient(
  address: RedisAddress,
  { timeoutMs, silenceMsMax, isPipelined, tls }: RedisConnectOptions,
): Promise<Redis | Cluster> {
  const { Redis, Cluster } = await loadPackage()
  const { kind, hosts, socketPath, isTls, username, password, db, masterName } = address
  const secure = isTls ? { tls: secureOptions(tls) } : {}
  const common = {
    ...secure,
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    connectTimeout: timeoutMs,
    ...(silenceMsMax === null ? {} : { socketTimeout: silenceMsMax }),
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    disableClientInfo: true,
  }
  const retry = (times: number): number => Math.min(RECONNECT_MS.first * 2 ** Math.min(times, 10), RECONNECT_MS.max)
  if (kind === 'cluster') {
    const options = {
      redisOptions: common,
      lazyConnect: true,
      enableOfflineQueue: false,
      enableAutoPipelining: isPipelined,
      clusterRetryStrategy: retry,
      // A moment for a failover to be noticed; beyond, the caller decides.
      maxRedirections: 4,
      slotsRefreshTimeout: timeoutMs,
      // A certificate names hosts, not what they resolve to.
      dnsLookup: (name: string, callback: (error: null, address: string) => void) => callback(null, name),
    }
    return new Cluster(
      hosts.map(({ host, port }) => ({ host, port })),
      options,
    )
  }
  const single = {
    ...common,
    db,
    lazyConnect: true,
    enableOfflineQueue: false,
    enableAutoPipelining: isPipelined,
    retryStrategy: retry,
    // A master that was demoted: ask anew who is master.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  if (kind === 'sentinel') {
    const sentinels = hosts.map(({ host, port }) => ({ host, port }))
    return new Redis({ ...single, sentinels, name: masterName ?? '', sentinelRetryStrategy: retry })
  }
  const [first] = hosts
  return socketPath === null ? new Redis({ ...single, ...first }) : new Redis({ ...single, path: socketPath })
}

function secureOptions({ ca, cert, key }: RedisTls): SecureContextOptions {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

async function loadPackage(): Promise<Pick<typeof import('ioredis'), 'Redis' | 'Cluster'>> {
  try {
    return await import('ioredis')
  } catch (cause) {
    const message = 'A Redis store needs the package ioredis, which is not installed.'
    throw new MembraneError('MISSING_PACKAGE', message, { cause, remedy: 'Run: npm install ioredis' })
  }
}
