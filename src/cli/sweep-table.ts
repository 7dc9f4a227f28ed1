import type { SimulationOptions } from '../planner/sim-options.ts'
import type { SimulationResult } from '../planner/simulation-result.ts'
import { heading, table, tokens } from './print.ts'

/** One point of a sweep, asked and answered. */
export interface Row {
  readonly point: ReadonlyMap<string, number>
  readonly options: SimulationOptions
  readonly result: SimulationResult
}

interface Column {
  readonly name: string
  readonly value: (row: Row) => number | string | null
}

const COLUMNS: readonly Column[] = [
  { name: 'TTFT mean s', value: ({ result }) => result.ttftSeconds.mean },
  { name: 'P50 s', value: ({ result }) => result.ttftSeconds.p50 },
  { name: 'P90 s', value: ({ result }) => result.ttftSeconds.p90 },
  { name: 'P90 ± s', value: ({ result }) => result.ttftSeconds.p90HalfWidth95 },
  { name: 'P99 s', value: ({ result }) => result.ttftSeconds.p99 },
  { name: 'offloaded', value: ({ result }) => result.offloadedRatio },
  { name: 'egress Gbps', value: ({ result }) => result.egressGbps },
  { name: 'completed req/s', value: ({ result }) => result.completedRps },
  { name: 't', value: ({ options }) => options.thresholdTokens },
  { name: 'N_p', value: ({ options }) => options.roles.localPrefill },
  { name: 'verdict', value: ({ result }) => result.verdict },
]

export function sweepText(title: string, axes: readonly { readonly name: string }[], rows: readonly Row[]): string {
  const head = [...axes.map(({ name }) => name), ...COLUMNS.map(({ name }) => name)]
  const body = rows.map((row) => [
    ...axes.map(({ name }) =>
      name === 'threshold' ? tokens(row.point.get(name) ?? null) : String(row.point.get(name)),
    ),
    ...COLUMNS.map(({ name, value }) => cellText(name, value(row))),
  ])
  return `${heading(`Sweep of ${title}`)}: ${rows.length} simulations of ${rows[0]?.result.requests.toLocaleString('en-US') ?? 0} requests; t and N_p (local prefill instances) at the start.\n\n${table(head, body)}`
}

function cellText(name: string, value: number | string | null): string | null {
  if (typeof value !== 'number') return value
  if (name === 't') return tokens(value)
  return name === 'N_p' ? String(value) : value.toPrecision(name === 'P90 ± s' ? 2 : 4)
}

/** As many digits as printed JSON has; nothing where there is no interval. */
const CSV_DIGITS = 9

export function csvOf(axes: readonly { readonly name: string }[], rows: readonly Row[]): string {
  const cell = (value: number | string | null): string =>
    value === null ? '' : typeof value === 'string' ? value : String(Number(value.toPrecision(CSV_DIGITS)))
  const lines = [
    // ASCII: spreadsheets guess at other letters.
    [...axes.map(({ name }) => name), ...COLUMNS.map(({ name }) => name.replace('±', 'half width'))].join(','),
    ...rows.map((row) =>
      [...axes.map(({ name }) => row.point.get(name)), ...COLUMNS.map(({ value }) => cell(value(row)))].join(','),
    ),
  ]
  return `${lines.join('\n')}\n`
}
