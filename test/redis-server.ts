/** Starts real redis-servers on free ports of this machine, each with a folder of its own, for tests and benches. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, connect as connectTo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

const START_MS_MAX = 20_000
/** A free port may be taken before the server listens on it. */
const PORT_ATTEMPTS = 5

/** A process that ends by itself takes its servers along. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const server of running) server.kill('SIGKILL')
})

/** When writes reach the disk; `null` keeps everything in memory. */
export type AppendFsync = 'always' | 'everysec' | 'no' | null

export interface RedisServerOptions {
  readonly appendFsync?: AppendFsync
  /** Further configuration, such as `['--maxmemory', '100mb']`. */
  readonly args?: readonly string[]
  /** Certificate, key and authority of a server that speaks TLS only. */
  readonly tls?: TlsFiles
  /** Its folder, kept by whoever gives it. */
  readonly folder?: string
  /** Lines that make it a sentinel. */
  readonly sentinelConfig?: readonly string[]
}

export interface TlsFiles {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface RedisServer {
  readonly port: number
  /** `redis://` or `rediss://`. */
  readonly url: string
  readonly socketPath: string
  /** SIGKILL: what a crash of the process looks like. The port and the folder stay for `restart`. */
  readonly kill: () => Promise<void>
  /** After `kill`: on the same port, with what is in the folder. Ends when it answers. */
  readonly restart: () => Promise<void>
  /** SIGSTOP and SIGCONT: a server that no longer answers, though its connections stand. */
  readonly pause: () => void
  readonly resume: () => void
  /** Ends it and deletes its folder. */
  readonly stop: () => Promise<void>
}

/** Those of the programs that are not on PATH. */
export function missingPrograms(...names: readonly string[]): readonly string[] {
  return names.filter((name) => programPath(name) === null)
}

export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'membrane-redis-'))
  const removeFolder = async (): Promise<void> => {
    if (options.folder === undefined) await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  try {
    for (let attempt = 1; ; attempt++) {
      const port = await freePort()
      const started = await launch(port, folder, options).catch((error: unknown) => {
        if (attempt < PORT_ATTEMPTS && String(error).includes('Address already in use')) return null
        throw error
      })
      if (started !== null) return serverOf(started, port, folder, options, removeFolder)
    }
  } catch (error) {
    await removeFolder()
    throw error
  }
}

export interface RedisCluster {
  /** `redis-cluster://` with all masters. */
  readonly url: string
  readonly masters: readonly RedisServer[]
  readonly stop: () => Promise<void>
}

/** Three masters without replicas, which between them hold all slots. */
export async function startRedisCluster(options: Pick<RedisServerOptions, 'appendFsync'> = {}): Promise<RedisCluster> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
  const masters: RedisServer[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(masters.map((master) => master.stop()))
  }
  try {
    for (let index = 0; index < 3; index++) masters.push(await startRedisServer({ ...options, args }))
    const addresses = masters.map(({ port }) => `127.0.0.1:${port}`)
    await run(needed('redis-cli'), ['--cluster', 'create', ...addresses, '--cluster-yes'])
    for (const { port } of masters) {
      await until(async () => (await cli(port, 'cluster', 'info')).includes('cluster_state:ok'))
    }
    return { url: `redis-cluster://${addresses.join(',')}`, masters, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export interface RedisSentinel {
  /** `redis-sentinel://`, with the name of what it watches. */
  readonly url: string
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly stop: () => Promise<void>
}

/** One sentinel that watches a master with one replica, and makes the replica master soon after the master is gone. */
export async function startRedisSentinel(): Promise<RedisSentinel> {
  const servers: RedisServer[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()))
  }
  const start = async (options: RedisServerOptions): Promise<RedisServer> => {
    const server = await startRedisServer(options)
    servers.push(server)
    return server
  }
  try {
    const master = await start({})
    const replica = await start({ args: ['--replicaof', '127.0.0.1', String(master.port)] })
    await until(async () => (await cli(replica.port, 'info', 'replication')).includes('master_link_status:up'))
    const watch = [`sentinel monitor main 127.0.0.1 ${master.port} 1`, 'sentinel down-after-milliseconds main 500']
    const sentinel = await start({ sentinelConfig: [...watch, 'sentinel failover-timeout main 2000'] })
    await until(async () => (await cli(sentinel.port, 'sentinel', 'replicas', 'main')).includes(String(replica.port)))
    return { url: `redis-sentinel://127.0.0.1:${sentinel.port}/main`, master, replica, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A certificate authority and a server's certificate for 127.0.0.1, made by openssl. */
export async function makeCertificates(folder: string): Promise<TlsFiles> {
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: readonly string[]) => run(needed('openssl'), args)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const authority = ['-subj', '/CN=test authority', '-keyout', path('ca.key'), '-out', path('ca.crt')]
  await openssl('req', '-x509', ...newKey, '-days', '2', ...authority)
  const request = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const signed = ['-CA', path('ca.crt'), '-CAkey', path('ca.key'), '-keyout', path('server.key')]
  await openssl('req', '-x509', ...newKey, '-days', '2', ...request, ...signed, '-out', path('server.crt'))
  return { ca: path('ca.crt'), cert: path('server.crt'), key: path('server.key') }
}

/** Waits for something that another process will do. Throws when it takes too long. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + START_MS_MAX
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`Not within ${START_MS_MAX} ms: ${isSo.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Runs redis-cli against a server without TLS. */
export async function cli(port: number, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(needed('redis-cli'), ['-p', String(port), ...args], { maxBuffer: 64 * 1024 * 1024 })
  return stdout
}

function serverOf(
  first: ChildProcess,
  port: number,
  folder: string,
  options: RedisServerOptions,
  removeFolder: () => Promise<void>,
): RedisServer {
  let server = first
  return {
    port,
    url: `${options.tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
    socketPath: join(folder, 'redis.sock'),
    kill: () => end(server, 'SIGKILL'),
    restart: async () => {
      server = await launch(port, folder, options)
    },
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
    stop: async () => {
      await end(server, 'SIGKILL')
      await removeFolder()
    },
  }
}

/** Ends when the server is ready for connections; throws what it printed when it ends before. */
async function launch(port: number, folder: string, options: RedisServerOptions): Promise<ChildProcess> {
  const server = spawn(needed('redis-server'), flagsOf(port, folder, options), { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const ready = new Promise<void>((resolve, reject) => {
    const read = (text: string): void => {
      output = `${output}${text}`.slice(-10_000)
      if (/Ready to accept connections|Sentinel ID is/.test(output)) resolve()
    }
    server.stdout.setEncoding('utf8').on('data', read)
    server.stderr.setEncoding('utf8').on('data', read)
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`redis-server ended at once: ${output}`)))
  })
  const timer = setTimeout(() => server.kill('SIGKILL'), START_MS_MAX)
  try {
    await ready
  } finally {
    clearTimeout(timer)
  }
  running.add(server)
  server.once('exit', () => running.delete(server))
  return server
}

function flagsOf(port: number, folder: string, options: RedisServerOptions): readonly string[] {
  const { appendFsync = null, args = [], tls, sentinelConfig } = options
  if (sentinelConfig !== undefined) {
    // A sentinel writes to its configuration.
    const path = join(folder, 'sentinel.conf')
    const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, ...sentinelConfig]
    writeFileSync(path, `${lines.join('\n')}\n`)
    return [path, '--sentinel']
  }
  return [
    ...(tls === undefined ? ['--port', String(port)] : ['--port', '0', '--tls-port', String(port)]),
    ...(tls === undefined
      ? []
      : ['--tls-cert-file', tls.cert, '--tls-key-file', tls.key, '--tls-ca-cert-file', tls.ca]),
    ...(tls === undefined ? [] : ['--tls-auth-clients', 'no']),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--unixsocket',
    join(folder, 'redis.sock'),
    '--save',
    '',
    ...(appendFsync === null ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', appendFsync]),
    ...args,
  ]
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  server.kill(signal)
  await ended
}

/** A cluster's nodes also take the port 10,000 above, so that one has to be free too. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const probe = createServer().once('error', reject)
      probe.listen(0, '127.0.0.1', () => {
        const address = probe.address()
        probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
      })
    })
    if (port <= 55_000 && port > 0 && !(await isListening(port + 10_000))) return port
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTo(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function needed(name: string): string {
  const path = programPath(name)
  if (path === null) throw new Error(`${name} is not on PATH: run scripts/setup --services.`)
  return path
}

function programPath(name: string): string | null {
  const paths = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name))
  return paths.find(isExecutable) ?? null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
