/** Findings as text. */
import Table from 'cli-table3'
import { medianOfSorted, sortedAscending } from '../src/core/quantile.ts'
import type { Findings, Ratio, Row } from './bench.ts'
import type { Machine } from './machine.ts'

export interface Spread {
  readonly best: number
  readonly median: number
  readonly worst: number
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = sortedAscending(values)
  return { best: sorted[0] ?? Number.NaN, median: medianOfSorted(sorted), worst: sorted.at(-1) ?? Number.NaN }
}

export function isMet(row: Row): boolean | null {
  return row.targetMs === undefined ? null : spreadOf(row.runsMs).best <= row.targetMs
}

export function findingsText(name: string, summary: string, findings: Findings): string {
  const table = new Table({
    head: ['', 'best', 'median', 'worst', 'runs', 'target', ''],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [] },
  })
  for (const row of findings.rows) table.push(cellsOf(row))
  return [
    `${name}: ${summary}`,
    table.toString(),
    ...(findings.ratios ?? []).map((ratio) => `  ${ratioText(ratio)}`),
    ...findings.rows.flatMap(({ what, note }) => (note === undefined ? [] : [`  ${what}: ${note}`])),
    ...(findings.notes ?? []).map((note) => `  ${note}`),
  ].join('\n')
}

function cellsOf(row: Row): string[] {
  const { best, median, worst } = spreadOf(row.runsMs)
  const met = isMet(row)
  return [
    row.what,
    timeText(best),
    timeText(median),
    timeText(worst),
    String(row.runsMs.length),
    row.targetMs === undefined ? '' : timeText(row.targetMs),
    met === null ? '' : met ? 'met' : 'NOT MET',
  ]
}

function ratioText({ what, values }: Ratio): string {
  const { best: least, median, worst: most } = spreadOf(values)
  return `${what}: ${factor(median)} (median; ${factor(least)} to ${factor(most)})`
}

function factor(value: number): string {
  return `${value.toPrecision(3)} x`
}

/** Three digits in the unit that fits. */
export function timeText(ms: number): string {
  const [value, unit] =
    ms < 0.001 ? [ms * 1e6, 'ns'] : ms < 1 ? [ms * 1e3, 'µs'] : ms < 1000 ? [ms, 'ms'] : [ms / 1e3, 's']
  return `${Number(value.toPrecision(3))} ${unit}`
}

export function machineText({ cpu, cores, memoryGib, platform, node, load1Minute }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGib} GiB, ${platform}, Node ${node}, load ${load1Minute}`
}
