/** Three real nodes: one is killed, hung, or killed under a rate limit; and what serving costs at one, two and three. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { ClusterProcesses, stateOf } from '../test/cluster-processes.ts'
import type { Bench, Findings } from './bench.ts'

const FRAGMENT_BYTES = 1024 * 1024
const FRAGMENTS = 300
const COPIES = 2
const LIMIT_BYTES_PER_SECOND = 20e6
const SERVED_BYTES = 2e9
const CLIENTS = 4
/** Clock ticks of /proc, which are 100 a second on every Linux. */
const TICKS_PER_SECOND = 100

interface Loss {
  readonly detectedSeconds: number
  readonly restoredSeconds: number
  readonly restoredBytes: number
  readonly reads: number
  readonly failed: number
  readonly lost: number
}

export const bench: Bench = {
  summary: 'three nodes: a death noticed, copies restored, reads served meanwhile; CPU seconds of serving',
  probes: {},
  run: async (): Promise<Findings> => {
    const killed = await lose('SIGKILL', null)
    const hung = await lose('SIGSTOP', null)
    const limited = await lose('SIGKILL', LIMIT_BYTES_PER_SECOND)
    const transferred = await transferRate()
    const serving = []
    for (const nodes of [1, 2, 3]) serving.push(await servingCost(nodes))
    const rateOf = ({ restoredBytes, restoredSeconds }: Loss): number => restoredBytes / restoredSeconds
    /** The limit is of each node that fetches; two are left. */
    const perNode = rateOf(limited) / 2
    return {
      rows: [
        { what: 'killed: noticed', runsMs: [1000 * killed.detectedSeconds], targetMs: 3000 },
        { what: 'killed: all have two copies again, from then on', runsMs: [1000 * killed.restoredSeconds] },
        { what: 'hung (SIGSTOP): noticed', runsMs: [1000 * hung.detectedSeconds], targetMs: 3000 },
        { what: 'hung: all have two copies again, from then on', runsMs: [1000 * hung.restoredSeconds] },
      ],
      ratios: [
        { what: 'copies restored over the transfer plane (target 0.5)', values: [rateOf(killed) / transferred] },
        {
          what: 'copies restored over their limit (target 0.9 to 1.1)',
          values: [perNode / LIMIT_BYTES_PER_SECOND],
        },
      ],
      notes: [
        ...Object.entries({ killed, hung, limited }).map(
          ([how, { reads, failed, lost, restoredBytes }]) =>
            `${how}: ${FRAGMENTS} fragments of 1 MiB, ${lost} lost; ${(restoredBytes / 1e6).toFixed(0)} MB restored; ${reads} reads meanwhile, ${failed} failed (${((100 * failed) / reads).toFixed(2)} %).`,
        ),
        `Restored at ${mbps(rateOf(killed))} (killed), ${mbps(rateOf(hung))} (hung), ${mbps(perNode)} at each node where ${mbps(LIMIT_BYTES_PER_SECOND)} is the limit; a copy by the transfer plane between two of the same nodes runs at ${mbps(transferred)}.`,
        ...serving.map(
          ({ nodes, cpuSecondsPerGigabyte, bytesPerSecond }) =>
            `Serving at ${nodes} ${nodes === 1 ? 'node' : 'nodes'}: ${cpuSecondsPerGigabyte.toFixed(2)} CPU seconds of the nodes per GB, at ${mbps(bytesPerSecond)} by ${CLIENTS} clients of the same machine.`,
        ),
      ],
    }
  },
}

async function lose(signal: 'SIGKILL' | 'SIGSTOP', limit: number | null): Promise<Loss> {
  const cluster = await ClusterProcesses.start({
    nodes: 3,
    linkOf: () => null,
    args: ['--compute', 'none', ...(limit === null ? [] : ['--replication-rate', String(limit)])],
  })
  try {
    const keys = await fill(cluster)
    const [a, b, c] = [cluster.at(0), cluster.at(1), cluster.at(2)]
    const survivors = [a, b]
    const before = await copiesAt(survivors)
    const reading = readOn(cluster, keys)
    await delay(500)
    if (signal === 'SIGKILL') await c.server.kill()
    else c.server.signal('SIGSTOP')
    const detectedSeconds = await cluster.until((view) => stateOf(view, c.name) === 'gone', survivors)
    const beganMs = performance.now()
    // Two nodes are left: each has everything then.
    while ((await copiesAt(survivors)) < COPIES * FRAGMENTS) await delay(20)
    const restoredSeconds = (performance.now() - beganMs) / 1000
    const { reads, failed } = await reading.end()
    let lost = 0
    for (const key of keys) if ((await a.client.head(key)) === null) lost += 1
    const restoredBytes = (COPIES * FRAGMENTS - before) * FRAGMENT_BYTES
    return { detectedSeconds, restoredSeconds, restoredBytes, reads, failed, lost }
  } finally {
    await cluster.stop()
  }
}

/** Put at all nodes in turn; ends when all have their copies. */
async function fill(cluster: ClusterProcesses): Promise<readonly string[]> {
  const keys: string[] = []
  for (let index = 0; index < FRAGMENTS; index++) {
    const key = `opaque/=bench-${index}`
    await cluster.at(index % cluster.nodes.length).client.put({ key, payload: randomBytes(FRAGMENT_BYTES) })
    keys.push(key)
  }
  const wanted = Math.min(COPIES, cluster.nodes.length) * FRAGMENTS
  while ((await copiesAt(cluster.nodes)) < wanted) await delay(50)
  return keys
}

async function copiesAt(nodes: ClusterProcesses['nodes']): Promise<number> {
  const usages = await Promise.all(
    nodes.map(async ({ server }) => (await (await fetch(`${server.url}/v1/usage`)).json()) as { fragments: number }),
  )
  return usages.reduce((sum, { fragments }) => sum + fragments, 0)
}

/** Reads what needs no copy to be read: one of the first few, at the two that stay. */
function readOn(cluster: ClusterProcesses, keys: readonly string[]) {
  const over = new AbortController()
  const counts = { reads: 0, failed: 0 }
  const reading = (async () => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      const key = keys[turn % 20] ?? ''
      const found = await cluster
        .at(turn % 2)
        .client.get(key)
        .catch(() => null)
      counts.reads += 1
      if (found === null) counts.failed += 1
      await delay(5)
    }
  })()
  return {
    end: async () => {
      over.abort()
      await reading
      return counts
    },
  }
}

/** Bytes a second of a copy of all that one node has by another: what a repair is held against. */
async function transferRate(): Promise<number> {
  const from = await ClusterProcesses.start({ nodes: 1, linkOf: () => null })
  const address = from.at(0).address
  const to = await ClusterProcesses.start({
    nodes: 1,
    linkOf: () => null,
    args: ['--compute', 'none', '--allow-peer', address],
  })
  try {
    await fill(from)
    const beganMs = performance.now()
    const { url } = to.at(0).server
    const started = await fetch(`${url}/v1/transfer/pull`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ peer: address }),
    })
    if (!started.ok) throw new Error(`The copy did not begin: ${await started.text()}`)
    while ((await copiesAt(to.nodes)) < FRAGMENTS) await delay(10)
    return (FRAGMENTS * FRAGMENT_BYTES) / ((performance.now() - beganMs) / 1000)
  } finally {
    await to.stop()
    await from.stop()
  }
}

async function servingCost(nodes: number) {
  const cluster = await ClusterProcesses.start({ nodes, linkOf: () => null })
  try {
    const keys = await fill(cluster)
    // The first read of each node fetches it: what is measured is serving.
    for (const { client } of cluster.nodes) for (const key of keys) await client.get(key)
    const before = cpuSeconds(cluster)
    const beganMs = performance.now()
    let at = 0
    const reads = Math.ceil(SERVED_BYTES / FRAGMENT_BYTES)
    const readers = Array.from({ length: CLIENTS }, async () => {
      while (at < reads) {
        const turn = at++
        await cluster.at(turn % nodes).client.get(keys[turn % keys.length] ?? '')
      }
    })
    await Promise.all(readers)
    const seconds = (performance.now() - beganMs) / 1000
    return {
      nodes,
      cpuSecondsPerGigabyte: (cpuSeconds(cluster) - before) / (SERVED_BYTES / 1e9),
      bytesPerSecond: SERVED_BYTES / seconds,
    }
  } finally {
    await cluster.stop()
  }
}

function cpuSeconds(cluster: ClusterProcesses): number {
  return cluster.nodes.reduce((sum, { server }) => {
    const [, rest = ''] = readFileSync(`/proc/${server.pid()}/stat`, 'utf8').split(') ')
    const fields = rest.split(' ')
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }, 0)
}

function mbps(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e6).toFixed(0)} MB/s`
}
