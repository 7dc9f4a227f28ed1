/** The phase in which a node is killed: what was stored is read throughout, and has two copies again. */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { keyOfName } from '../server/client-library.ts'
import type { ClusterWorld } from './demo-cluster-world.ts'
import type { PhaseOutcome } from './demo-full-phase.ts'
import type { LocalNode } from './local-cluster.ts'
import { secondsText } from './print-generation.ts'
import { bytesText } from './units.ts'

export const KILL_PHASE = {
  name: 'kill',
  title: 'Kill: a node dies, and nothing that was stored is lost',
  run: runKill,
} as const

const FRAGMENTS = 40
const FRAGMENT_BYTES = 1024 * 1024
const COPIES = 2
const PREFIX = keyOfName('demo-')
const WAIT_SECONDS_MAX = 30
const LOOK_MS = 25
/** Those that are read while the node dies: reading makes copies, and the others show that they are made without it. */
const READ_FRAGMENTS = 10

async function runKill(world: ClusterWorld): Promise<PhaseOutcome> {
  const { near, other, far, until } = world
  const stored = new Map<string, Buffer>()
  for (let index = 0; index < FRAGMENTS; index++) {
    const key = keyOfName(`demo-${index}`)
    const payload = randomBytes(FRAGMENT_BYTES)
    await other.client.put({ key, payload })
    stored.set(key, payload)
  }
  const copiedSeconds = await untilCopies([near, other, far], COPIES * FRAGMENTS)
  const reads = readAll(world, new Map([...stored].slice(0, READ_FRAGMENTS)))
  await delay(200)
  const killedMs = performance.now()
  other.process.kill('SIGKILL')
  const detectedSeconds = await until(near, ({ members }) =>
    members.some(({ node, state }) => node === other.plan.name && state === 'gone'),
  )
  // Two nodes are left: each has everything.
  const restoredSeconds = await untilCopies([near, far], COPIES * FRAGMENTS)
  const wholeSeconds = restoredSeconds === null ? null : (performance.now() - killedMs) / 1000
  const { read, failed, wrong } = await reads.end()
  const lost = await countLost(world, stored)
  const { replication } = await far.client.cluster.view()
  return {
    says: [
      `${FRAGMENTS} fragments of ${bytesText(FRAGMENT_BYTES)} are put at ${other.plan.name}; ${copiedSeconds === null ? 'not all have' : `after ${secondsText(copiedSeconds)} all have`} ${COPIES} copies. Then its process is killed.`,
      `Noticed after ${timeText(detectedSeconds)}; ${COPIES} copies of all again after ${timeText(wholeSeconds)}. Meanwhile ${read.toLocaleString('en-US')} reads of ${READ_FRAGMENTS} of them at the other two: ${failed} failed, ${wrong} gave other bytes. Lost: ${lost} of ${FRAGMENTS}.`,
    ],
    figures: { copiedSeconds, detectedSeconds, wholeSeconds, read, failed, wrong, lost, replication },
    checks: [
      { claim: 'every fragment gets two copies', holds: copiedSeconds !== null },
      { claim: 'the death is noticed', holds: detectedSeconds !== null },
      { claim: 'no fragment is lost', holds: lost === 0 },
      { claim: 'no read gives other bytes', holds: wrong === 0 },
      { claim: 'every fragment has two copies again', holds: wholeSeconds !== null },
    ],
  }
}

/** Counted where they lie; the seconds until there are so many, or null. */
async function untilCopies(nodes: readonly LocalNode[], wanted: number): Promise<number | null> {
  const startMs = performance.now()
  for (;;) {
    let copies = 0
    for (const { client } of nodes) for await (const _ of client.list(PREFIX)) copies += 1
    const seconds = (performance.now() - startMs) / 1000
    if (copies >= wanted) return seconds
    if (seconds > WAIT_SECONDS_MAX) return null
    await delay(LOOK_MS)
  }
}

/** Reads at both nodes that stay, one after the other, until it is ended. */
function readAll({ near, far }: ClusterWorld, stored: ReadonlyMap<string, Buffer>) {
  const counts = { read: 0, failed: 0, wrong: 0 }
  const over = new AbortController()
  const readOn = async (): Promise<void> => {
    for (let turn = 0; !over.signal.aborted; turn++)
      for (const [key, payload] of stored) {
        if (over.signal.aborted) return
        const { client } = turn % 2 === 0 ? near : far
        const found = await client.get(key).catch(() => null)
        counts.read += 1
        if (found === null) counts.failed += 1
        else if (!payload.equals(found.payload)) counts.wrong += 1
        await delay(1)
      }
  }
  const reading = readOn()
  return {
    end: async () => {
      over.abort()
      await reading
      return counts
    },
  }
}

async function countLost({ near }: ClusterWorld, stored: ReadonlyMap<string, Buffer>): Promise<number> {
  let lost = 0
  for (const [key, payload] of stored) {
    const found = await near.client.get(key).catch(() => null)
    if (found === null || !payload.equals(found.payload)) lost += 1
  }
  return lost
}

function timeText(seconds: number | null): string {
  return seconds === null ? 'more than 30 s' : secondsText(seconds)
}
