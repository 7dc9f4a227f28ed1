/** What the demo of a cluster runs on: three nodes in two datacentres, and prompts of a real document. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterView } from '../api/client-cluster.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { LocalCluster, type LocalNode } from './local-cluster.ts'

/** Three nodes; their client, and what they see. */
export interface ClusterWorld {
  readonly cluster: LocalCluster
  /** From the first process to the last that knows all others. */
  readonly startSeconds: number
  /** In the datacentre where prompts come in. */
  readonly near: LocalNode
  readonly other: LocalNode
  /** In the other datacentre: it computes for both. */
  readonly far: LocalNode
  /** Characters of the document, from one to another. */
  readonly textOf: (start: number, end: number) => string
  /** Looked at until it is so; the seconds that passed, or null when it was not so after `secondsMax`. */
  readonly until: (at: LocalNode, isSo: (view: ClusterView) => boolean, secondsMax?: number) => Promise<number | null>
}

const DOCUMENT_PATH = fileURLToPath(new URL('../../examples/packages.txt', import.meta.url))
const WAIT_SECONDS_MAX = 30
const LOOK_MS = 25

/** Ends all processes whatever happens. */
export async function withClusterWorld<T>(folder: string, use: (world: ClusterWorld) => Promise<T>): Promise<T> {
  const text = await readFile(DOCUMENT_PATH, 'utf8').catch((cause: unknown) => {
    throw new MembraneError('FILE_UNREADABLE', `The demo's document ${DOCUMENT_PATH} cannot be read.`, { cause })
  })
  const startMs = performance.now()
  const cluster = await LocalCluster.start({
    folder,
    nodes: [
      { name: 'near', datacentre: 'east', flags: ['--threads', '1'] },
      { name: 'other', datacentre: 'east', flags: ['--threads', '1'] },
      { name: 'far', datacentre: 'west', flags: ['--threads', '2'] },
    ],
    engine: 'auto',
    firstPort: null,
    replicaCount: 2,
    // The engine of the other datacentre is the faster one, as in the paper.
    flags: ['--compute', 'cpu'],
  })
  try {
    const startSeconds = (performance.now() - startMs) / 1000
    const [near, other, far] = cluster.nodes
    assert(near !== undefined && other !== undefined && far !== undefined, 'three nodes were started')
    return await use({ cluster, startSeconds, near, other, far, textOf: (start, end) => text.slice(start, end), until })
  } finally {
    await cluster.stop()
  }
}

async function until(
  { client }: LocalNode,
  isSo: (view: ClusterView) => boolean,
  secondsMax = WAIT_SECONDS_MAX,
): Promise<number | null> {
  const startMs = performance.now()
  for (;;) {
    const view = await client.cluster.view().catch(() => null)
    const seconds = (performance.now() - startMs) / 1000
    if (view !== null && isSo(view)) return seconds
    if (seconds > secondsMax) return null
    await delay(LOOK_MS)
  }
}
