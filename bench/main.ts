/**
 * Runs benches and prints what they find: npm run bench [-- [name…] [--json] [--real] [--svg FILE] [--messages N]]
 * Benches are no tests: nothing fails because a machine was busy.
 */
import { parseArgs } from 'node:util'
import { type Bench, BENCH_NAMES, type Findings, isBenchName, loadBench } from './bench.ts'
import { RUNS } from './harness.ts'
import { calibrationMs, describeMachine } from './machine.ts'
import { findingsText, isMet, machineText, spreadOf, timeText } from './print.ts'

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    real: { type: 'boolean' },
    svg: { type: 'string' },
    messages: { type: 'string' },
  },
})
const unknown = positionals.find((name) => !isBenchName(name))
const messages = flags.messages === undefined ? null : Number(flags.messages)
if (unknown !== undefined) {
  console.error(`There is no bench "${unknown}". Choose from ${BENCH_NAMES.join(', ')}.`)
  process.exitCode = 1
} else if (messages !== null && !(Number.isSafeInteger(messages) && messages > 0)) {
  console.error(`--messages is a whole number, 1 or more; it is "${flags.messages}".`)
  process.exitCode = 1
} else {
  await runBenches(positionals.length === 0 ? BENCH_NAMES : positionals.filter(isBenchName))
}

async function runBenches(names: readonly (typeof BENCH_NAMES)[number][]): Promise<void> {
  const isText = flags.json !== true
  const machine = describeMachine()
  const before = calibrate()
  if (isText) console.log(`${machineText(machine)}\n${calibrationText('before', before)}`)
  const benches = []
  for (const name of names) {
    const bench = await loadBench(name)
    const findings = await findingsOf(bench)
    if (isText) console.log(`\n${findingsText(name, bench.summary, findings)}`)
    const rows = findings.rows.map((row) => ({ ...row, ...spreadOf(row.runsMs), isMet: isMet(row) }))
    const ratios = (findings.ratios ?? []).map((ratio) => ({ ...ratio, median: spreadOf(ratio.values).median }))
    benches.push({ name, summary: bench.summary, rows, ratios, notes: findings.notes ?? [] })
  }
  const after = calibrate()
  if (isText) console.log(`\n${calibrationText('after', after)}`)
  else console.log(JSON.stringify({ machine, calibrationMs: { before, after }, benches }, null, 2))
}

/** One bench that cannot run (a build that fails, a file that is gone) keeps no other from running. */
async function findingsOf(bench: Bench): Promise<Findings> {
  try {
    const counted = messages === null ? {} : { messages }
    return await bench.run({ isReal: flags.real === true, svgPath: flags.svg ?? null, ...counted })
  } catch (error) {
    process.exitCode = 1
    return { rows: [], notes: [`FAILED: ${error instanceof Error ? error.message : String(error)}`] }
  }
}

function calibrate(): number[] {
  return Array.from({ length: RUNS }, calibrationMs)
}

function calibrationText(when: string, runsMs: readonly number[]): string {
  const { best, median, worst } = spreadOf(runsMs)
  return `Calibration loop ${when}: best of ${RUNS} ${timeText(best)}, median ${timeText(median)}, worst ${timeText(worst)}`
}
