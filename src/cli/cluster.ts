/** `membrane cluster up`: a cluster on this machine, for trying. */
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LocalCluster } from './local-cluster.ts'
import { dim, heading, printJson, printText, table } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

interface UpFlags extends GlobalFlags {
  readonly nodes: string
  readonly datacentres: string
  readonly engine: 'auto' | 'gossip' | 'redis'
  readonly dir: string
  readonly port: string
  readonly compute: string
  readonly replicaCount: string
}

const NODES_MAX = 32
const ENGINES = ['auto', 'gossip', 'redis'] as const

export function defineCluster(command: Command): void {
  command.description('a cluster on this machine')
  const up = command
    .command('up')
    .description('start nodes as processes of their own, each with its data directory; they end with this command')
    .option('--nodes <n>', `nodes, 1 to ${NODES_MAX}`, '3')
    .option('--datacentres <n>', 'which the nodes are divided among', '1')
    .option('--engine <engine>', 'gossip, redis, or auto: a Redis of its own where redis-server is installed', 'auto')
    .option('--dir <dir>', 'where the nodes keep their data and logs', 'membrane-cluster')
    .option('--port <port>', 'HTTP of the first node; the others come after it', '8080')
    .option('--compute <engine>', 'what computes, as for serve', 'cpu')
    .option('--replica-count <n>', 'nodes that keep each fragment', '2')
  onRun<UpFlags>(up, async (flags) => {
    const nodes = wholeOf(flags.nodes, '--nodes', NODES_MAX)
    const datacentres = wholeOf(flags.datacentres, '--datacentres', nodes)
    const engine = ENGINES.find((known) => known === flags.engine)
    if (engine === undefined)
      throw new MembraneError('INVALID_CONFIG', `--engine is one of ${ENGINES.join(', ')}, found ${flags.engine}.`)
    const cluster = await LocalCluster.start({
      folder: flags.dir,
      nodes: Array.from({ length: nodes }, (_, index) => ({
        name: `node-${index + 1}`,
        datacentre: `dc-${1 + (index % datacentres)}`,
      })),
      engine,
      firstPort: wholeOf(flags.port, '--port', 65_535 - nodes),
      replicaCount: wholeOf(flags.replicaCount, '--replica-count', 16),
      flags: ['--compute', flags.compute],
    })
    try {
      announce(cluster, flags)
      await new Promise<void>((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
      })
    } finally {
      await cluster.stop()
    }
  })
}

function announce(cluster: LocalCluster, { dir, json }: UpFlags): void {
  const nodes = cluster.nodes.map(({ plan, url, process: { pid } }) => ({ ...plan, url, pid: pid ?? null }))
  if (json === true) {
    printJson({ ready: true, engine: cluster.engine, redis: cluster.redis?.url ?? null, nodes })
    return
  }
  printText(
    heading(`${nodes.length} nodes, by ${cluster.engine}${cluster.redis === null ? '' : ` on ${cluster.redis.url}`}`),
  )
  printText(
    table(
      ['node', 'datacentre', 'HTTP', 'process'],
      nodes.map(({ name, datacentre, url, pid }) => [name, datacentre, url, pid]),
    ),
  )
  printText(
    dim(`Data and logs in ${dir}. Look: membrane cluster-status --url ${nodes[0]?.url ?? ''}. Ctrl-C ends all.`),
  )
}

function wholeOf(text: string, flag: string, max: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= max) return value
  throw new MembraneError('INVALID_CONFIG', `${flag} is a whole number from 1 to ${max}, found ${text}.`)
}
