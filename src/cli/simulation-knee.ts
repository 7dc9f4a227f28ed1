import { type Figure, legendOf, numberColumns } from './report-figure.ts'
import { STYLES } from './report-layers.ts'
import { type Html, html } from './report-markup.ts'
import { requestsPerSecond, short, significant } from './report-numbers.ts'
import { ABSENT, table } from './report-table.ts'
import { CAPACITY_STYLE, EQUATION6_STYLE, kneeChart, QUOTED_STYLE, SLO_STYLE } from './simulation-knee-chart.ts'
import type { KneePoint, SimulatedRun, SimulationPage } from './simulation-page.ts'
import { plusMinus } from './simulation-tables.ts'

/** Latency against load: flat, and from the knee on steep. */
export function kneeFigure(
  points: readonly KneePoint[],
  {
    quoted,
    sloTtftSecondsP90,
    runs = [],
  }: Pick<SimulationPage, 'quoted' | 'sloTtftSecondsP90'> & { readonly runs?: SimulationPage['runs'] },
): Figure {
  const knee = [...points].sort((a, b) => a.rateRps - b.rateRps)
  const capacity = capacityOf(knee, quoted)
  const rules = [
    ...(capacity.sustainableRps === null
      ? []
      : [{ name: `capacity by request, ${requestsPerSecond(capacity.sustainableRps)}`, style: CAPACITY_STYLE }]),
    ...(capacity.equation6Rps === null
      ? []
      : [{ name: `Eq. (6), ${requestsPerSecond(capacity.equation6Rps)}`, style: EQUATION6_STYLE }]),
    ...(quoted === null
      ? []
      : [{ name: `P90 without queueing, ${significant(quoted.ttftSecondsP90)} s`, style: QUOTED_STYLE }]),
    ...(sloTtftSecondsP90 === null ? [] : [{ name: `SLO, P90 of ${short(sloTtftSecondsP90)} s`, style: SLO_STYLE }]),
  ]
  const curves = [
    { name: 'P99', style: STYLES.third },
    { name: 'P90', style: STYLES.plan },
    { name: 'P50', style: STYLES.second },
  ]
  const note = steadyNote(runs)
  const reading = [
    ...(note === null ? [] : [note]),
    bendText(knee),
    ...(sloTtftSecondsP90 === null ? [] : [sloText(knee, sloTtftSecondsP90)]),
    ...quotedText(knee, quoted?.ttftSecondsP90 ?? null),
  ].join(' ')
  return {
    id: 'figure-knee',
    title: 'TTFT against the rate of arrivals',
    chart: (size) => kneeChart({ knee, ...capacity, quoted, sloTtftSecondsP90 }, size),
    text: `Line chart of P50, P90 and P99 time to first token against the rate. ${reading}`,
    legend: html`${legendOf(curves, true)}${legendOf(rules, false)}`,
    caption: html`${reading} Each mark is a simulation of its own, the bar on it the 95 % interval of the P90; hollow where the queues were still growing or more came than can be served: the latency there depends on how long the run was. In the shaded region more comes than can be served. Eq. (6) replaces lengths by their means, which puts it at or above the capacity by request.`,
    numbers: kneeNumbers(knee),
  }
}

/** The curve leaves out what happens over time; said where the runs beside it do not. */
function steadyNote(runs: readonly SimulatedRun[]): string | null {
  const isSteady = runs.every(
    ({ options: { events = [], curve = null, scheduler = 'fixed' } }) =>
      events.length === 0 && curve === null && scheduler === 'fixed',
  )
  return isSteady
    ? null
    : 'The curve is of the steady deployment, with a fixed t, a constant rate and no events, whatever the runs below have.'
}

/** Of the deployment, which is the same at all rates; null where there is none. */
function capacityOf(
  knee: readonly KneePoint[],
  quoted: SimulationPage['quoted'],
): { readonly sustainableRps: number | null; readonly equation6Rps: number | null } {
  const capacity = knee[0]?.result.capacityRps
  const finite = (value: number | undefined): number | null =>
    value !== undefined && Number.isFinite(value) ? value : null
  return {
    sustainableRps: finite(capacity?.sustainableRps),
    equation6Rps: finite(quoted?.lambdaMaxRps ?? capacity?.equation6Rps),
  }
}

/** Where the latency has doubled is where people see the knee. */
function bendText(knee: readonly KneePoint[]): string {
  const [first] = knee
  if (first === undefined) return ''
  const base = first.result.ttftSeconds.p90
  const start = `P90 TTFT is ${significant(base)} s at ${requestsPerSecond(first.rateRps)}`
  const bend = knee.findIndex(({ result }) => result.ttftSeconds.p90 > 2 * base)
  const [before, after] = [knee[bend - 1], knee[bend]]
  return before === undefined || after === undefined
    ? `${start} and stays below twice that up to ${requestsPerSecond(knee.at(-1)?.rateRps ?? 0)}.`
    : `${start} and has doubled between ${significant(before.rateRps)} and ${requestsPerSecond(after.rateRps)}.`
}

function sloText(knee: readonly KneePoint[], boundSeconds: number): string {
  const beyond = knee.findIndex(({ result }) => result.ttftSeconds.p90 > boundSeconds)
  const last = beyond < 0 ? knee.at(-1) : knee[beyond - 1]
  return last === undefined
    ? `The SLO of ${short(boundSeconds)} s is met at none of these rates.`
    : `Of these rates, the SLO of ${short(boundSeconds)} s is met up to ${requestsPerSecond(last.rateRps)}.`
}

/** What leaving out queues hides, at the highest rate that is still stable. */
function quotedText(knee: readonly KneePoint[], quotedSeconds: number | null): string[] {
  const last = knee.findLast(({ result }) => result.verdict === 'stable')
  if (quotedSeconds === null || last === undefined) return []
  const { p90 } = last.result.ttftSeconds
  return [
    `The quoted P90 of ${significant(quotedSeconds)} s contains no queueing; at ${requestsPerSecond(last.rateRps)}, the highest stable rate here, it is ${significant(p90)} s.`,
  ]
}

function kneeNumbers(knee: readonly KneePoint[]): Html {
  return table({
    caption: html`± is half of a 95 % interval, where there were enough replications for one.`,
    columns: [
      ...numberColumns([
        'Rate, req/s',
        'Completed, req/s',
        'TTFT P50, s',
        'TTFT P90, s',
        'TTFT P99, s',
        'Egress, Gbps',
      ]),
      { name: 'Verdict' },
    ],
    rows: knee.map(({ rateRps, result: { ttftSeconds, completedRps, egressGbps, verdict } }) => [
      significant(rateRps),
      completedRps > 0 ? significant(completedRps) : ABSENT,
      significant(ttftSeconds.p50),
      plusMinus(ttftSeconds.p90, ttftSeconds.p90HalfWidth95),
      significant(ttftSeconds.p99),
      significant(egressGbps),
      verdict,
    ]),
  })
}
