/** `membrane cluster-status`: the nodes of a cluster as one of them sees them, and how prompts are routed. */
import type { Command } from 'commander'
import type { ClusterView } from '../api/client-cluster.ts'
import { bad, dim, good, heading, printJson, printText, printWarnings, table } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { addTokenFlags, type ServerFlags, withServer } from './server-client.ts'
import { bytesText } from './units.ts'

interface ClusterStatusFlags extends GlobalFlags, ServerFlags {
  readonly host: string
  readonly port: string
}

/** Decisions that are shown; --json has all that the node remembers. */
const DECISIONS_SHOWN = 8

export function defineClusterStatus(command: Command): void {
  addTokenFlags(
    command
      .description('nodes of a cluster as one of them sees them; exit code 1 when one that belongs to it is gone')
      .optionsGroup('Which node to ask:')
      .option('--url <url>', 'such as http://127.0.0.1:8080; or by its parts:')
      .option('--host <host>', 'host name or address', 'localhost')
      .option('--port <port>', 'HTTP port', '8080'),
  )
  onRun<ClusterStatusFlags>(command, async (flags) => {
    const url = flags.url ?? `http://${flags.host}:${flags.port}`
    const view = await withServer({ ...flags, url }, (client) => client.cluster.view())
    if (flags.json === true) printJson(view)
    else print(view)
    if (view.members.some(({ state }) => state === 'gone')) process.exitCode = 1
  })
}

function print(view: ClusterView): void {
  const { cluster, engine, self, members, routing, replication, directory } = view
  const living = members.filter(({ state }) => state === 'alive').length
  printText(heading(`${cluster}: ${living} of ${members.length} nodes alive, by ${engine}, as ${self} sees them`))
  printText(
    table(
      ['node', 'state', 'datacentre', 'address', 'roles', 'fragments', 'bytes', 'load', 'wait', 'version'],
      members.map((member) => [
        member.node,
        stateText(member),
        member.datacentre,
        member.address,
        member.roles.join(' '),
        member.fragments,
        bytesText(member.storedBytes),
        `${(100 * member.eventLoopRatio).toFixed(0)} %`,
        member.prefill === null ? null : `${member.prefill.waitSeconds.toFixed(2)} s`,
        member.version,
      ]),
    ),
  )
  const links = members.flatMap(({ node, links: reports }) => reports.map((link) => ({ node, ...link })))
  if (links.length > 0)
    printText(
      table(
        ['link from', 'to', 'bandwidth', 'round trip', 'lost', 'in use'],
        links.map(({ node, datacentre, bytesPerSecond, rttSeconds, lossRatio, utilisation }) => [
          node,
          datacentre,
          `${((8 * bytesPerSecond) / 1e9).toFixed(2)} Gbps`,
          `${(1000 * rttSeconds).toFixed(1)} ms`,
          `${(100 * lossRatio).toFixed(1)} %`,
          `${(100 * utilisation).toFixed(0)} %`,
        ]),
      ),
    )
  printText(dim(`Directory: ${countsText(directory)}. Replication: ${countsText(replication)}.`))
  if (routing !== null) printRouting(routing)
  printWarnings(view.notes)
}

function printRouting({ thresholdTokens, regime, why, changes, decisions }: NonNullable<ClusterView['routing']>): void {
  printText(
    heading(
      `Threshold of remote prefill: ${Math.round(thresholdTokens).toLocaleString('en-US')} uncached tokens (${regime})`,
    ),
  )
  printText(why)
  for (const { atMs, text } of changes.slice(-DECISIONS_SHOWN)) printText(dim(`${timeText(atMs)}  ${text}`))
  for (const { atMs, text } of decisions.slice(-DECISIONS_SHOWN)) printText(dim(`${timeText(atMs)}  ${text}`))
}

function stateText({ state, isDraining }: ClusterView['members'][number]): string {
  if (state === 'alive') return isDraining ? 'draining' : good('alive')
  return state === 'left' ? dim('left') : bad(state)
}

function countsText(counts: Readonly<Record<string, number | null>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count === null ? '–' : Number(count.toPrecision(6))}`)
    .join(', ')
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19)
}
