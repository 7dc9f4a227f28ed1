/** Copies from a server into a data directory what is missing there; what has come when it is cut is kept for the next time. */
import { join } from 'node:path'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { HttpPeer } from '../server/http-peer.ts'
import { StagedFiles } from '../server/staged-files.ts'
import { type SyncOptions, type SyncReport, syncFrom } from '../server/sync-from.ts'
import { addBoundFlags, addDataDirFlags, type DataDirFlags, withNewDataDir } from './data-dir.ts'
import { withInterrupt } from './interrupt.ts'
import { printJson, printText, printWarnings } from './print.ts'
import { type ByteProgress, NO_PROGRESS, showBytes } from './progress.ts'
import { onRun } from './run-command.ts'
import { addTokenFlags, peerOptionsOf, type ServerFlags } from './server-client.ts'
import { bytesOf, bytesText, fragmentsText } from './units.ts'

interface SyncFlags extends DataDirFlags, Pick<ServerFlags, 'tokenFile' | 'ca'> {
  readonly from: string
  readonly connections?: string
  readonly rate?: number
}

const CONNECTIONS_MIN = 2
const CONNECTIONS_DEFAULT = 4
/** Of refusals that are told one by one. */
const REASONS_MAX = 5

export function defineSync(command: Command): void {
  addDataDirFlags(
    command
      .description('fetch from a server what a data directory lacks; exit code 1 when something did not come')
      .optionsGroup('From:')
      .requiredOption('--from <url>', 'the server, such as http://127.0.0.1:8080'),
  )
  addTokenFlags(command)
  addBoundFlags(command)
    .optionsGroup('How:')
    .option(
      '--connections <count>',
      `connections at once, ${CONNECTIONS_MIN} to ${LIMITS.transferConnectionsMax} (default ${CONNECTIONS_DEFAULT})`,
    )
    .option('--rate <size>', 'bytes a second at most, such as 100MB (default: as fast as it goes)', bytesOf)
  onRun<SyncFlags>(command, async (flags) => {
    const report = await sync(flags)
    if (flags.json === true) printJson(report)
    else printReport(report)
    const { refused, lost, unfinished } = report
    if (refused.length + lost.length + unfinished > 0) process.exitCode = 1
  })
}

async function sync(flags: SyncFlags): Promise<SyncReport> {
  const connections = connectionsOf(flags.connections)
  const options = await peerOptionsOf({ ...flags, url: flags.from })
  const { hashers } = await loadContentHashers()
  // One more: for descriptions and leases while all others fetch.
  const peer = new HttpPeer({ ...options, connectionsMax: connections + 1 })
  let shown: ByteProgress = NO_PROGRESS
  let doneBytes = 0
  const how: SyncOptions = {
    connections,
    ...(flags.rate === undefined ? {} : { bytesPerSecond: flags.rate }),
    planned: ({ payloadBytes }) => {
      shown = showBytes('fetching', payloadBytes)
    },
    progress: ({ bytesAccepted, bytesResumed }) => {
      shown.add(bytesAccepted + bytesResumed - doneBytes)
      doneBytes = bytesAccepted + bytesResumed
    },
  }
  try {
    return await withInterrupt((signal) =>
      withNewDataDir(flags, ({ own, tenant }) => {
        const files = new StagedFiles(join(flags.dataDir ?? '', 'transfers'))
        return syncFrom({ own, peer, hashers, files, scope: tenant }, { ...how, signal })
      }),
    )
  } finally {
    shown.end()
    peer.close()
  }
}

function connectionsOf(text: string = String(CONNECTIONS_DEFAULT)): number {
  const connections = Number(text)
  if (Number.isInteger(connections) && connections >= CONNECTIONS_MIN && connections <= LIMITS.transferConnectionsMax)
    return connections
  throw new MembraneError(
    'INVALID_REQUEST',
    `--connections takes a whole number from ${CONNECTIONS_MIN} to ${LIMITS.transferConnectionsMax}, found ${text}.`,
  )
}

function printReport(report: SyncReport): void {
  const { missing, differing, fetched, linked, refused, lost, unfinished, transfer, comparedBytes, compressed } = report
  if (missing === 0) printText(`nothing is missing: comparing took ${bytesText(comparedBytes)}`)
  else {
    const { bytesReceived = 0, bytesResumed = 0, cuts = 0 } = transfer?.counters ?? {}
    const parts = [
      `${fetched} fetched`,
      ...(linked > 0 ? [`${linked} with bytes that were here`] : []),
      ...(refused.length > 0 ? [`${refused.length} refused`] : []),
      ...(lost.length > 0 ? [`${lost.length} gone or damaged there`] : []),
      ...(unfinished > 0 ? [`${unfinished} unfinished: run it again`] : []),
    ]
    printText(`${fragmentsText(missing)} missing: ${parts.join(', ')}`)
    const seconds = transfer === null ? '' : ` in ${transfer.seconds.toFixed(1)} s`
    const resumed = bytesResumed > 0 ? `, ${bytesText(bytesResumed)} from an earlier sync` : ''
    const packed =
      compressed.wireBytes > 0
        ? `, ${bytesText(compressed.plainBytes)} of them as ${bytesText(compressed.wireBytes)} compressed`
        : ''
    const cut = cuts > 0 ? `, ${cuts} cuts` : ''
    printText(
      `${bytesText(bytesReceived)} received${packed}${seconds}${resumed}${cut}; comparing took ${bytesText(comparedBytes)}`,
    )
  }
  if (differing > 0) printText(`${fragmentsText(differing)} with other bytes than there: left as they are`)
  printWarnings(refused.slice(0, REASONS_MAX).map(({ key, reason }) => `${JSON.stringify(key)}: ${reason}`))
}
