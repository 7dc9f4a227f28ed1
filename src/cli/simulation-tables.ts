import type { LatencySummary, SimulationResult, StageSummary } from '../planner/simulation-result.ts'
import { type Html, html } from './report-markup.ts'
import { percent, short, significant, whole } from './report-numbers.ts'
import { N_DECODE, N_PREFILL, N_REMOTE } from './report-symbols.ts'
import { ABSENT, type Column, table } from './report-table.ts'
import { eventsOf, eventsText } from './simulation-events.ts'
import type { QuotedPlan, SimulatedRun } from './simulation-page.ts'

/** All runs beside each other: what was asked, how long requests took, what the system did. */

type Cell = Html | string
type Row = readonly Cell[]

function columnsOf(runs: readonly SimulatedRun[]): Column[] {
  return [{ name: 'Quantity' }, ...runs.map(({ name }): Column => ({ name, isNumber: true }))]
}

/** A value with half of its 95 % interval, where there is one. */
export function plusMinus(value: number, halfWidth95: number | null): string {
  if (halfWidth95 === null) return significant(value)
  // Below the last digit of the value, an interval is rounding.
  return `${significant(value)}\u00a0±\u00a0${halfWidth95 < 5e-4 * value ? '0' : HALF_WIDTH.format(halfWidth95)}`
}

/** Of an uncertainty nobody needs a third digit. */
const HALF_WIDTH = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 2 })

export function setupTable(runs: readonly SimulatedRun[]): Html {
  const row = rowFor(runs)
  const events = eventsOf(runs)
  const happened = events.length === 0 ? '' : ` Events: ${eventsText(events, events.at(-1)?.atSeconds ?? 0)}`
  return table({
    caption: html`The settings that runs may differ in.${happened}`,
    columns: columnsOf(runs),
    rows: [
      row('Scheduler', ({ options }) => options.scheduler ?? 'fixed'),
      row('Routing', ({ options }) => (options.scheduler === 'off' ? 'by chance' : (options.routing ?? 'threshold'))),
      row('Arrivals', ({ options }) => arrivalsText(options)),
      row('Mean rate, req/s', ({ options }) => rateText(options)),
      row(
        html`${N_REMOTE} / ${N_PREFILL} / ${N_DECODE} at the start, instances`,
        ({ options: { roles } }) =>
          `${whole(roles.remotePrefill)} / ${whole(roles.localPrefill)} / ${whole(roles.decode)}`,
      ),
      row('Threshold t at the start, tokens', ({ options }) =>
        options.scheduler === 'off' ? ABSENT : whole(options.thresholdTokens),
      ),
      row('Transfer of KV', ({ options }) =>
        options.transfer?.mode === 'layerwise' ? 'layer by layer' : 'after prefill',
      ),
      row('Requests, all replications', ({ result }) => whole(result.requests)),
      row('Replications', ({ result }) => whole(result.replications)),
      row('Seed of the first', ({ result }) => String(result.seed)),
    ],
  })
}

function rowFor(runs: readonly SimulatedRun[]): (name: Cell, cell: (run: SimulatedRun) => Cell) => Row {
  return (name, cell) => [name, ...runs.map(cell)]
}

function arrivalsText({ workload, arrivals, curve }: SimulatedRun['options']): string {
  if (workload?.kind === 'trace') return 'trace'
  if (workload?.kind === 'agents') return 'agent sessions'
  return `${arrivals ?? 'poisson'}${(curve ?? null) === null ? '' : ', on a curve'}`
}

function rateText({ workload, rateRps }: SimulatedRun['options']): Cell {
  if (workload?.kind !== 'trace') return significant(rateRps)
  return workload.rateRps === null ? 'as in the trace' : significant(workload.rateRps)
}

/** The latencies with the unit that they are written in. */
const LATENCIES = [
  { name: 'TTFT', of: (result) => result.ttftSeconds, unit: 's', scale: 1 },
  { name: 'First token', of: (result) => result.firstTokenSeconds, unit: 's', scale: 1 },
  { name: 'TPOT', of: (result) => result.tpotSeconds, unit: 'ms', scale: 1000 },
  { name: 'End to end', of: (result) => result.e2eSeconds, unit: 's', scale: 1 },
] as const satisfies readonly {
  readonly name: string
  readonly of: (result: SimulationResult) => LatencySummary
  readonly unit: string
  readonly scale: number
}[]

export function latenciesTable(runs: readonly SimulatedRun[], quoted: QuotedPlan | null): Html {
  const row = rowFor(runs)
  const without =
    quoted === null ? '' : ` Without queueing, the plan quotes a P90 TTFT of ${significant(quoted.ttftSecondsP90)} s.`
  return table({
    caption: html`TTFT ends when the KV is complete where it is decoded; the first token also waits for a decode slot and takes one step. ± is half of a 95 % interval: of a mean from batches of one run, of a P90 from replications; it is left out where there were too few.${without}`,
    columns: columnsOf(runs),
    rows: LATENCIES.flatMap(({ name, of, unit, scale }) => {
      const interval = (value: number, half: number | null): string =>
        plusMinus(value * scale, half === null ? null : half * scale)
      return [
        row(html`<strong>${name} mean</strong>, ${unit}`, ({ result }) =>
          interval(of(result).mean, of(result).meanHalfWidth95),
        ),
        row(`${name} P50, ${unit}`, ({ result }) => interval(of(result).p50, of(result).p50HalfWidth95)),
        row(`${name} P90, ${unit}`, ({ result }) => interval(of(result).p90, of(result).p90HalfWidth95)),
        row(`${name} P99, ${unit}`, ({ result }) => interval(of(result).p99, of(result).p99HalfWidth95)),
      ]
    }),
  })
}

export function loadTable(runs: readonly SimulatedRun[]): Html {
  const row = rowFor(runs)
  const isAny = (of: (result: SimulationResult) => boolean): boolean => runs.some(({ result }) => of(result))
  return table({
    caption: html`What the system did with the load. Stable: it kept up. Backlogged: a queue was still growing at the end. Overloaded: more came than it can serve.`,
    columns: columnsOf(runs),
    rows: [
      row('Verdict', ({ result }) => html`<strong>${result.verdict}</strong>`),
      row('Completed while requests arrived, req/s', ({ result }) => significant(result.completedRps)),
      row('Capacity by request, req/s', ({ result }) => finite(result.capacityRps.sustainableRps)),
      row('Capacity by Eq. (6), req/s', ({ result }) => finite(result.capacityRps.equation6Rps)),
      row('Offloaded requests', ({ result }) => percent(result.offloadedRatio)),
      row('Egress, Gbps', ({ result }) => significant(result.egressGbps)),
      row('Threshold t, min / mean / max, tokens', ({ options, result: { thresholdTokens } }) =>
        options.scheduler === 'off'
          ? ABSENT
          : `${whole(thresholdTokens.min)} / ${whole(thresholdTokens.mean)} / ${whole(thresholdTokens.max)}`,
      ),
      row('Most requests in the system at once', ({ result }) => whole(result.inSystem.max)),
      ...(isAny(({ inSystem }) => inSystem.boundPassedSeconds !== null)
        ? [row('Passed the bound on requests in the system', ({ result }) => boundText(result))]
        : []),
      ...(isAny(({ cache }) => cache !== null)
        ? [
            row('Prompt tokens found in caches', ({ result: { cache } }) =>
              cache === null ? ABSENT : percent(cache.hitRatioTokens),
            ),
          ]
        : []),
      ...(isAny(({ repeatedPrefills }) => repeatedPrefills > 0)
        ? [row('Prefills repeated after a loss', ({ result }) => whole(result.repeatedPrefills))]
        : []),
      ...(isAny(({ copiedGigabytes }) => copiedGigabytes > 0)
        ? [row('Prefixes copied across, GB', ({ result }) => significant(result.copiedGigabytes))]
        : []),
    ],
  })
}

function finite(value: number): Cell {
  return Number.isFinite(value) ? significant(value) : ABSENT
}

function boundText({ inSystem: { bound, boundPassedSeconds } }: SimulationResult): Cell {
  return boundPassedSeconds === null ? 'never' : `${whole(bound)} after ${short(Math.round(boundPassedSeconds))} s`
}

/** With what its servers are. */
const STAGES: Readonly<Record<StageSummary['name'], string>> = {
  remotePrefill: 'Remote prefill, instances',
  link: 'Link',
  localPrefill: 'Local prefill, instances',
  decode: 'Decode, slots',
}

/** The runs of one stage below each other, which is what is compared. */
export function stagesTable(runs: readonly SimulatedRun[]): Html {
  const names = Object.keys(STAGES) as StageSummary['name'][]
  return table({
    caption: html`How busy each stage was and how long requests waited for it. All transfers in flight share the link: they slow each other down rather than wait, except for room at the other end. The link is in use while any transfer is in flight. Servers are means over time.`,
    columns: [
      { name: 'Stage' },
      { name: 'Run' },
      { name: 'Servers', isNumber: true },
      { name: 'In use, %', isNumber: true },
      { name: 'Mean wait, s', isNumber: true },
      { name: 'P90 wait, s', isNumber: true },
    ],
    rows: names.flatMap((name) =>
      runs.flatMap(({ name: run, result }) =>
        result.stages
          .filter((stage) => stage.name === name)
          .map(({ servers, utilisation, waitSeconds }) => [
            STAGES[name],
            run,
            short(Number(servers.toPrecision(3))),
            significant(utilisation * 100),
            significant(waitSeconds.mean),
            significant(waitSeconds.p90),
          ]),
      ),
    ),
  })
}
