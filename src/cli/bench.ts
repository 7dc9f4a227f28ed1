import type { Command } from 'commander'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { MembraneError } from '../core/errors.ts'
import { medianOfSorted, sortedAscending } from '../core/quantile.ts'
import { type Comparison, compareDoors } from './bench-doors.ts'
import { wholeNumberOf } from './numbers.ts'
import { bad, dim, good, heading, printJson, printText, table } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

interface BenchFlags extends GlobalFlags {
  readonly runs: number
  readonly runMb: number
  readonly only?: string
}

export function defineBench(command: Command): void {
  command
    .description("this machine's doors beside a redis-server with the same promise, in turns, with one client for both")
    .option('--runs <n>', 'runs of each side; medians are shown', wholeNumberOf(3), 7)
    .option('--run-mb <n>', 'megabytes that one run moves', wholeNumberOf(32), 256)
    .option('--only <text>', 'only comparisons whose names have this in them')
  onRun<BenchFlags>(command, async (flags) => {
    const isJson = flags.json === true
    const isShown = !isJson && process.stderr.isTTY
    const { comparisons, measured } = await compareDoors({
      runs: flags.runs,
      runBytes: flags.runMb * 1024 * 1024,
      only: flags.only ?? null,
      onProgress: (what) => {
        if (isShown) process.stderr.write(`\r\u001B[K${what}`)
      },
    })
    if (isShown) process.stderr.write('\r\u001B[K')
    if (comparisons.length + measured.length === 0)
      throw new MembraneError('INVALID_REQUEST', `Nothing that is measured has "${flags.only}" in its name.`, {
        remedy: 'Run `membrane bench` to see all names.',
      })
    const rows = comparisons.map((one) => ({ ...one, ...spreadOf(one) }))
    if (isJson) {
      printJson({ machine: machine(), comparisons: rows, measured })
      return
    }
    printText(heading('Doors beside a redis-server'))
    printText(
      table(
        ['', 'ours', 'peer', 'ratio', 'from', 'to', 'target', ''],
        rows.map((row) => [
          row.peer === 'redis' ? row.what : `${row.what} / ${row.peer}`,
          speedText(row, row.oursMs),
          speedText(row, row.peerMs),
          `${row.ratio.toFixed(2)}x`,
          `${row.least.toFixed(2)}x`,
          `${row.most.toFixed(2)}x`,
          row.target === null ? '' : `${row.target}x`,
          row.target === null ? '' : verdict(row.ratio >= row.target),
        ]),
      ),
    )
    for (const { what, valueMs, targetMs } of measured)
      printText(`${what}: ${valueMs.toFixed(2)} ms (target ${targetMs} ms) ${verdict(valueMs <= targetMs)}`)
    printText(dim(`${machine()}; medians of ${flags.runs} runs in turns`))
  })
}

function verdict(isMet: boolean): string {
  return isMet ? good('met') : bad('NOT MET')
}

/** The ratio of medians, and the least and greatest of single turns. */
function spreadOf({ oursMs, peerMs }: Comparison): {
  readonly ratio: number
  readonly least: number
  readonly most: number
} {
  const ratios = sortedAscending(peerMs.map((peer, run) => peer / (oursMs[run] ?? Number.NaN)))
  return {
    ratio: medianOf(peerMs) / medianOf(oursMs),
    least: ratios[0] ?? Number.NaN,
    most: ratios.at(-1) ?? Number.NaN,
  }
}

function speedText({ bytes }: Comparison, runsMs: readonly number[]): string {
  const ms = medianOf(runsMs)
  return bytes === 0 ? `${ms.toFixed(3)} ms` : `${(bytes / 1e6 / ms).toFixed(2)} GB/s`
}

function medianOf(values: readonly number[]): number {
  return medianOfSorted(sortedAscending(values))
}

function machine(): string {
  const load = (loadavg()[0] ?? 0).toFixed(1)
  return `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores, Node ${process.version}, load ${load}`
}
