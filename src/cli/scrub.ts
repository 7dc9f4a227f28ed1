import type { Command } from 'commander'
import { addDataDirFlags, type DataDirFlags, withDataDir } from './data-dir.ts'
import { bad, good, printJson, printText, table } from './print.ts'
import { onRun } from './run-command.ts'

export function defineScrub(command: Command): void {
  addDataDirFlags(
    command.description('read and verify every byte of the directory; exit code 1 when some were damaged or lost'),
  )
  onRun<DataDirFlags>(command, async (flags) => {
    const report = await withDataDir(flags, async ({ fabric, disk, quarantine }) => {
      const { recovery } = disk.diskStats()
      const scrubbed = await disk.scrub()
      const { recovery: canonical } = fabric.stats()
      return { scrubbed, recovery, canonical, quarantine: quarantine.stats() }
    })
    const isSound = report.scrubbed.damaged.length === 0
    if (!isSound) process.exitCode = 1
    if (flags.json === true) {
      printJson(report)
      return
    }
    printText(
      table(
        ['found', 'count'],
        Object.entries(report.scrubbed).map(([name, value]) => [name, value]),
      ),
    )
    printText(
      isSound
        ? good('Every byte is what its hash says.')
        : bad('Damaged fragments are missing from now on; put them again.'),
    )
  })
}
