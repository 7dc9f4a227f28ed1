import type { Bench, Findings } from './bench.ts'
import { buildCommandLine, MAIN, ROOT } from './command-line.ts'
import { measureCommands, RUNS } from './harness.ts'
import { spreadOf, timeText } from './print.ts'

const TARGET_MS = 250
const OPTIMIZE = ['optimize', '--preset', 'case-study', '--json'] as const

export const bench: Bench = {
  summary: 'whole processes, from start to exit',
  probes: {},
  run: async (): Promise<Findings> => {
    buildCommandLine()
    const node = process.execPath
    const runs = measureCommands({
      optimize: [node, MAIN, ...OPTIMIZE],
      slo: [node, MAIN, ...OPTIMIZE, '--slo-ttft-p90', '6'],
      version: [node, MAIN, '--version'],
      launcher: [`${ROOT}membrane`, '--version'],
      control: [node, '-e', '0'],
    })
    const overhead = spreadOf(runs.launcher.map((ms, index) => ms - (runs.version[index] ?? Number.NaN))).median
    return {
      rows: [
        { what: 'optimize --preset case-study --json', runsMs: runs.optimize, targetMs: TARGET_MS },
        { what: 'the same with --slo-ttft-p90 6', runsMs: runs.slo },
        { what: '--version', runsMs: runs.version },
        { what: './membrane --version', runsMs: runs.launcher },
        { what: 'control: node -e 0', runsMs: runs.control },
      ],
      notes: [`The launcher adds ${timeText(overhead)} (median of ${RUNS} pairs).`],
    }
  },
}
