import type { Command } from 'commander'
import type { ScrubReport } from '../store/disk-scrub.ts'
import type { RecoveryReport } from '../store/disk-recovery.ts'
import type { QuarantineStats } from '../store/quarantine.ts'
import { addDataDirFlags, argumentOfKey, type DataDirFlags, withDataDir } from './data-dir.ts'
import { bad, good, printJson, printText, table } from './print.ts'
import { onRun } from './run-command.ts'
import { bytesText } from './units.ts'

interface Scrubbed {
  readonly scrub: ScrubReport
  /** Fragments that lack their bytes: tenant/key. */
  readonly lost: readonly string[]
  readonly recovery: RecoveryReport
  readonly quarantine: QuarantineStats
}

export function defineScrub(command: Command): void {
  addDataDirFlags(
    command.description('read and verify every byte of the directory; exit code 1 when some were damaged or lost'),
  )
  onRun<DataDirFlags>(command, async (flags) => {
    const scrubbed = await withDataDir(flags, async ({ fabric, disk, quarantine }): Promise<Scrubbed> => {
      const { recovery } = disk.diskStats()
      const scrub = await disk.scrub({ quarantine })
      return { scrub, lost: await fabric.dropLost(), recovery, quarantine: quarantine.stats() }
    })
    if (!isSound(scrubbed)) process.exitCode = 1
    if (flags.json === true) printJson(scrubbed)
    else printScrubbed(scrubbed)
  })
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
