/** Clusters of real processes on this machine, each node behind a link that can be cut, for tests and benches. */
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterView } from '../src/api/client-cluster.ts'
import type { MembraneClient } from '../src/api/client.ts'
import { openClient } from '../src/server/client-library.ts'
import { freePort, type MembraneServer, startMembraneServer } from './membrane-server.ts'
import { type LinkShape, openShapedLink, type ShapedLink } from './shaped-link.ts'

export interface ClusterProcess {
  readonly name: string
  readonly server: MembraneServer
  /** Others reach the node through it; clients of the test do not. Null where it was not wanted. */
  readonly shaped: ShapedLink | null
  /** Where others reach it. */
  readonly address: string
  readonly client: MembraneClient
}

export interface ClusterProcessesOptions {
  readonly nodes: number
  /** Of node i, from 0. Default: all in one. */
  readonly datacentreOf?: (index: number) => string
  /** Flags of every node; by default it computes nothing. */
  readonly args?: readonly string[]
  /** Of node i, from 0. */
  readonly argsOf?: (index: number) => readonly string[]
  /** Of node i, from 0. */
  readonly environmentOf?: (index: number) => Readonly<Record<string, string>>
  /** Null: gossip. */
  readonly redisUrl?: string | null
  readonly token?: string
  /** Of node i: the link in front of it, or null for none, where links would be what is measured. Default: open links. */
  readonly linkOf?: (index: number) => LinkShape | null
}

/** What no link of this machine bounds. */
const OPEN: LinkShape = { bytesPerSecond: Infinity, delaySeconds: 0 }
const SETTLED_MS_MAX = 20_000

export class ClusterProcesses {
  readonly nodes: readonly ClusterProcess[]

  private constructor(nodes: readonly ClusterProcess[]) {
    this.nodes = nodes
  }

  /** Ends when all see all. */
  static async start(options: ClusterProcessesOptions): Promise<ClusterProcesses> {
    const { args = ['--compute', 'none'], argsOf = () => [], datacentreOf = () => 'dc-1', redisUrl = null } = options
    const { linkOf = () => OPEN } = options
    const nodes: ClusterProcess[] = []
    const cluster = new ClusterProcesses(nodes)
    try {
      for (let index = 0; index < options.nodes; index++) {
        const name = `n${index + 1}`
        const shape = linkOf(index)
        const linkPort = await freePort()
        const server = await startMembraneServer({
          environment: options.environmentOf?.(index) ?? {},
          args: [
            `--node-id=${name}`,
            `--datacentre=${datacentreOf(index)}`,
            ...(shape === null ? [] : [`--advertise=127.0.0.1:${linkPort}`]),
            ...(redisUrl === null ? ['--cluster', 'gossip'] : ['--cluster', 'redis', '--redis', redisUrl]),
            ...(redisUrl === null && index > 0 ? ['--peer', nodes[0]?.address ?? ''] : []),
            ...args,
            ...argsOf(index),
          ],
        })
        const { token } = options
        const shaped = shape === null ? null : await openShapedLink(server.port, shape, linkPort)
        const client = await openClient({ url: server.url, retriesMax: 0, ...(token === undefined ? {} : { token }) })
        nodes.push({ name, server, client, shaped, address: `127.0.0.1:${shape === null ? server.port : linkPort}` })
      }
      await cluster.until((view) => living(view).length === options.nodes)
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  at(index: number): ClusterProcess {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`There is no node ${index}.`)
    return node
  }

  linkTo(index: number): ShapedLink {
    const { shaped } = this.at(index)
    if (shaped === null) throw new Error(`There is no link in front of node ${index}.`)
    return shaped
  }

  /** Ends when it is so at all of these nodes, or throws after 20 s; gives the seconds that it took. */
  async until(isSo: (view: ClusterView) => boolean, nodes: readonly ClusterProcess[] = this.nodes): Promise<number> {
    const began = performance.now()
    for (;;) {
      const views = await Promise.all(nodes.map(({ client }) => client.cluster.view().catch(() => null)))
      if (views.every((view) => view !== null && isSo(view))) return (performance.now() - began) / 1000
      if (performance.now() - began > SETTLED_MS_MAX) {
        const logs = this.nodes.map(({ name, server }) => `${name}: ${server.log().slice(-1000)}`)
        throw new Error(
          `The cluster did not come to it: ${JSON.stringify(views.map((view) => view?.members))} ${logs.join('\n')}`,
        )
      }
      await delay(50)
    }
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.nodes.map(async ({ server, shaped, client }) => {
        await client.close()
        await server.stop()
        await shaped?.close()
      }),
    )
  }
}

/** Names of the nodes that a view sees alive. */
export function living({ members }: ClusterView): readonly string[] {
  return members.filter(({ state }) => state === 'alive').map(({ node }) => node)
}

export function stateOf({ members }: ClusterView, name: string): string | null {
  return members.find(({ node }) => node === name)?.state ?? null
}
