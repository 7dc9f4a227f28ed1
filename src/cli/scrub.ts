import type { Command } from 'commander'
import type { ScrubReport } from '../store/disk-scrub.ts'
import type { RecoveryReport } from '../store/disk-recovery.ts'
import type { QuarantineStats } from '../store/quarantine.ts'
import type { Scrubbed as ServerScrubbed } from '../api/client-shapes.ts'
import { argumentOfKey } from './data-dir.ts'
import { addPlaceFlags, type Place, type PlaceFlags, withPlace } from './place.ts'
import { bad, good, printJson, printText, table } from './print.ts'
import { onRun } from './run-command.ts'
import { bytesText, fragmentsText } from './units.ts'

interface Scrubbed {
  readonly scrub: ScrubReport
  /** Fragments that lack their bytes: tenant/key. */
  readonly lost: readonly string[]
  readonly recovery: RecoveryReport
  readonly quarantine: QuarantineStats
}

export function defineScrub(command: Command): void {
  addPlaceFlags(command.description('read and verify every byte; exit code 1 when some were damaged or lost'))
  onRun<PlaceFlags>(command, async (flags) => {
    await withPlace(flags, async (place) => {
      if (place.kind === 'directory') await scrubDirectory(place, flags)
      else await scrubServer(place, flags)
    })
  })
}

async function scrubDirectory(
  { opened: { fabric, disk, quarantine } }: Extract<Place, { kind: 'directory' }>,
  flags: PlaceFlags,
): Promise<void> {
  const { recovery } = disk.diskStats()
  const scrub = await disk.scrub({ quarantine })
  const scrubbed = { scrub, lost: await fabric.dropLost(), recovery, quarantine: quarantine.stats() }
  if (!isSound(scrubbed)) process.exitCode = 1
  if (flags.json === true) printJson(scrubbed)
  else printScrubbed(scrubbed)
}

/** The server says less: which fragments, and whose, is in its log. */
async function scrubServer({ client }: Extract<Place, { kind: 'server' }>, flags: PlaceFlags): Promise<void> {
  const scrubbed = await client.admin.scrub()
  if (scrubbed.damaged > 0 || !scrubbed.isComplete) process.exitCode = 1
  if (flags.json === true) printJson(scrubbed)
  else printText(serverText(scrubbed))
}

function serverText({ entries, payloadBytes, damaged, isComplete }: ServerScrubbed): string {
  const verified = `verified ${entries} entries, ${bytesText(payloadBytes)}`
  if (!isComplete) return bad(`${verified}; it was stopped before the end.`)
  return damaged === 0
    ? good(`${verified}: every byte is what its hash says.`)
    : bad(`${verified}; ${fragmentsText(damaged)} damaged or lost, and missing from now on; put them again.`)
}

function isSound({ scrub, lost, recovery }: Scrubbed): boolean {
  return scrub.damaged.length === 0 && lost.length === 0 && recovery.damagedRegions === 0
}

function printScrubbed(scrubbed: Scrubbed): void {
  const { scrub, lost, recovery, quarantine } = scrubbed
  printText(
    table(
      ['what', 'found'],
      [
        ['verified', `${scrub.entries} entries, ${bytesText(scrub.payloadBytes)}`],
        ['damaged now', scrub.damaged.length],
        ['damaged stretches found at open', recovery.damagedRegions],
        ['writes cut short by a crash', recovery.droppedRecords],
        ['fragments lost', lost.length],
        ['bytes that belong to nothing', scrub.orphanBytes],
        ['in quarantine', `${quarantine.files} payloads, ${bytesText(quarantine.bytes)}`],
      ],
    ),
  )
  for (const key of lost) {
    const slash = key.indexOf('/')
    printText(`${bad('lost')}  ${argumentOfKey(key.slice(slash + 1))}  of ${key.slice(0, slash)}`)
  }
  printText(
    isSound(scrubbed)
      ? good('Every byte is what its hash says.')
      : bad('What was damaged is missing from now on; put it again.'),
  )
}
