/** A cluster on this machine: nodes as processes of their own, each with its data directory, and a Redis where there is one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MembraneClient } from '../api/client.ts'
import { MembraneError } from '../core/errors.ts'

/** What one node is started with, beside what all have. */
export interface LocalNodePlan {
  readonly name: string
  readonly datacentre: string
  /** Further flags of `membrane serve`. */
  readonly flags?: readonly string[]
}

export interface LocalClusterOptions {
  readonly folder: string
  readonly nodes: readonly LocalNodePlan[]
  /** `auto` takes a redis-server when one is installed. */
  readonly engine: 'auto' | 'gossip' | 'redis'
  /** HTTP of the first node, the others after it; null takes free ones. */
  readonly firstPort: number | null
  readonly replicaCount: number
  /** Flags of all nodes. */
  readonly flags: readonly string[]
  /** Where the nodes' logs go: files in their folders, or standard error too. */
  readonly isVerbose?: boolean
}

export interface LocalNode {
  readonly plan: LocalNodePlan
  readonly url: string
  readonly port: number
  readonly process: ChildProcess
  readonly client: MembraneClient
}

const START_MS_MAX = 60_000
const STOP_MS_MAX = 40_000

/** See the top of this file. */
export class LocalCluster {
  readonly engine: 'gossip' | 'redis'
  readonly nodes: LocalNode[] = []
  readonly #options: LocalClusterOptions
  readonly #redis: { readonly process: ChildProcess; readonly url: string } | null

  private constructor(options: LocalClusterOptions, redis: LocalCluster['redis']) {
    this.#options = options
    this.#redis = redis
    this.engine = redis === null ? 'gossip' : 'redis'
  }

  /** Ends when every node knows all others. Throws MISSING_PACKAGE where a Redis is asked for and not installed. */
  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    await mkdir(options.folder, { recursive: true })
    const redis = options.engine === 'gossip' ? null : await startRedis(options)
    const cluster = new LocalCluster(options, redis)
    try {
      for (const [index, plan] of options.nodes.entries())
        await cluster.add(plan, options.firstPort === null ? null : options.firstPort + index)
      await cluster.settled()
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  /** Where its Redis is; null with gossip. */
  get redis(): { readonly process: ChildProcess; readonly url: string } | null {
    return this.#redis
  }

  /** Starts a node; ends when it answers. */
  async add(plan: LocalNodePlan, port: number | null = null): Promise<LocalNode> {
    const httpPort = port ?? (await freePort())
    const folder = join(this.#options.folder, plan.name)
    await mkdir(folder, { recursive: true })
    const [first] = this.nodes
    const membership =
      this.#redis === null
        ? ['--cluster', 'gossip', ...(first === undefined ? [] : ['--peer', `127.0.0.1:${first.port}`])]
        : ['--cluster', 'redis', '--redis', this.#redis.url]
    const [script = ''] = process.argv.slice(1)
    const flags = [
      'serve',
      `--node-id=${plan.name}`,
      `--datacentre=${plan.datacentre}`,
      `--port=${httpPort}`,
      `--data-dir=${join(folder, 'data')}`,
      `--log-file=${join(folder, 'log.jsonl')}`,
      `--replica-count=${this.#options.replicaCount}`,
      ...membership,
      ...this.#options.flags,
      ...(plan.flags ?? []),
    ]
    const child = spawn(process.execPath, [script, ...flags], {
      stdio: ['ignore', 'ignore', this.#options.isVerbose === true ? 'inherit' : 'pipe'],
    })
    let said = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = `${said}${text}`.slice(-4000)
    })
    const url = `http://127.0.0.1:${httpPort}`
    const client = new MembraneClient({ url, hashers: null, retriesMax: 0 })
    const node: LocalNode = { plan, url, port: httpPort, process: child, client }
    process.once('exit', () => child.kill('SIGKILL'))
    await untilAnswers(node, () => said)
    const at = this.nodes.findIndex((other) => other.plan.name === plan.name)
    if (at >= 0) this.nodes.splice(at, 1, node)
    else this.nodes.push(node)
    return node
  }

  /** Ends when every running node sees all others alive. Throws PEER_UNAVAILABLE after a minute. */
  async settled(): Promise<void> {
    const deadlineMs = performance.now() + START_MS_MAX
    const running = this.nodes.filter(isRunning)
    for (;;) {
      const views = await Promise.all(running.map(({ client }) => client.cluster.view().catch(() => null)))
      const isWhole = views.every(
        (view) => view !== null && view.members.filter(({ state }) => state === 'alive').length === running.length,
      )
      if (isWhole) return
      if (performance.now() > deadlineMs)
        throw new MembraneError('PEER_UNAVAILABLE', 'The nodes did not find each other within a minute.', {
          remedy: `See their logs in ${this.#options.folder}.`,
        })
      await delay(50)
    }
  }

  /** Lets every node end by itself, then the Redis; what does not end is killed. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => ended(node.process, 'SIGTERM')))
    await Promise.all(this.nodes.map(({ client }) => client.close()))
    if (this.#redis !== null) await ended(this.#redis.process, 'SIGTERM')
  }
}

function isRunning({ process: { exitCode, signalCode } }: LocalNode): boolean {
  return exitCode === null && signalCode === null
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill(signal)
  // One that was stopped hears nothing else.
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
  await exit
  clearTimeout(timer)
}

async function untilAnswers({ client, process: child, plan }: LocalNode, said: () => string): Promise<void> {
  const deadlineMs = performance.now() + START_MS_MAX
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new MembraneError('PEER_UNAVAILABLE', `The node ${plan.name} ended while it started: ${said().trim()}`)
    const health = await client.admin.health({ timeoutMs: 2000 }).catch(() => null)
    if (health !== null) return
    if (performance.now() > deadlineMs)
      throw new MembraneError('PEER_UNAVAILABLE', `The node ${plan.name} did not answer within a minute.`)
    await delay(50)
  }
}

async function startRedis({ engine, folder }: LocalClusterOptions) {
  const port = await freePort()
  const child = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  process.once('exit', () => child.kill('SIGKILL'))
  const isThere = await new Promise<boolean>((resolve) => {
    child.once('error', () => resolve(false))
    child.once('exit', () => resolve(false))
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('Ready to accept connections')) resolve(true)
    })
  })
  if (isThere) return { process: child, url: `redis://127.0.0.1:${port}` }
  if (engine === 'auto') return null
  throw new MembraneError('MISSING_PACKAGE', 'redis-server cannot be run.', {
    remedy: 'Install redis-server, and see that it is on the PATH; or use --engine gossip.',
  })
}

/** Another process may take it before it is used: then the node says so. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address === 'object' && address !== null) return address.port
  throw new MembraneError('ADDRESS_UNAVAILABLE', 'There is no free port on this machine.')
}
