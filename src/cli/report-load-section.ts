import type { Scenario } from '../planner/scenario.ts'
import { pair, type Section } from './report-document.ts'
import { figureMarkup } from './report-figure.ts'
import { DISTURBED_SHARE } from './report-load-disturbances.ts'
import { loadFigure } from './report-load-figure.ts'
import {
  capacitySentence,
  disturbanceSentence,
  extentText,
  loadSentence,
  planText,
  sloSentence,
} from './report-load-text.ts'
import { type Disturbances, type ReportLoad, type SimulatedLoad, ttftRatios } from './report-load.ts'
import { type Html, html } from './report-markup.ts'
import { durationText, requestsPerSecond, short, significant } from './report-numbers.ts'
import type { Renderer } from './report-svg.ts'
import { table } from './report-table.ts'
import { plusMinus } from './simulation-tables.ts'

/** The part of the report that contains queues. */
export async function loadSection(scenario: Scenario, load: ReportLoad, render: Renderer): Promise<Section> {
  return { id: 'under-load', title: 'Under load', content: await contentOf(scenario, load, render) }
}

/** The words of the figure stand beside it where there is room, as on the page of a simulation. */
export const LOAD_STYLE = `
#under-load>*+*{margin-top:1.5rem}
#under-load .lead{margin-bottom:0}
#under-load .pair{gap:1.25rem 2.5rem}
#under-load .pair p,#under-load ul{margin:0}
#under-load ul:not(.legend){padding-left:1.2rem}
#under-load li+li{margin-top:.4rem}
#under-load .legend li+li{margin-top:0}
#under-load>h3{margin-bottom:0}
#under-load>h3+*{margin-top:.6rem}
@media (min-width:62.01rem){
#figure-knee{display:grid;grid-template-columns:minmax(0,44rem) minmax(0,1fr);column-gap:2.5rem}
#figure-knee>:not(.chart,figcaption){grid-column:1/-1}
#figure-knee figcaption{align-self:center}
}
@media (max-width:36rem){#under-load .pair table{font-size:.75rem}#under-load .pair :is(th,td):not(:last-child){padding-right:.4rem}}
`

async function contentOf(scenario: Scenario, load: ReportLoad, render: Renderer): Promise<Html[]> {
  switch (load.kind) {
    case 'left-out':
      return [
        html`<p>Left out (<code>--no-load</code>): nothing on this page is simulated. The figures above contain no queueing, except where they say so in closed form.</p>`,
      ]
    case 'impossible':
      return [html`<p>This plan cannot be simulated: ${load.reason}</p>`]
    case 'simulated':
      return [
        html`<p class="lead">${loadSentence(load)}</p>`,
        pair([
          html`<p>${capacitySentence(load)}${load.slo === null ? '' : ` ${sloSentence(load.slo)}`}</p>`,
          ttftTable(load),
        ]),
        await figureMarkup(loadFigure(load, scenario.slo.ttftSecondsP90), render),
        ...disturbancesContent(load),
      ]
    default:
      return load satisfies never
  }
}

function ttftTable(load: SimulatedLoad): Html {
  const { options, result, quoted } = load
  const { ttftSeconds } = result
  const ratios = ttftRatios(load)
  const row = (name: string, at: 'mean' | 'p90' | 'p99', halfWidth95: number | null): (string | Html)[] => [
    name,
    significant(quoted[at]),
    plusMinus(ttftSeconds[at], halfWidth95),
    significant(ratios[at]),
  ]
  return table({
    caption: html`TTFT of the plan (${planText(options)}) at ${requestsPerSecond(options.rateRps)}: ${arrivalsText(load)}; ${extentText(load)}. ± is half of a 95 % interval.`,
    columns: [
      { name: 'TTFT' },
      { name: 'Without queueing,\u00a0s', isNumber: true },
      { name: 'Simulated,\u00a0s', isNumber: true },
      { name: 'Ratio', isNumber: true },
    ],
    rows: [
      row('Mean', 'mean', ttftSeconds.meanHalfWidth95),
      row('P90', 'p90', ttftSeconds.p90HalfWidth95),
      row('P99', 'p99', null),
    ],
  })
}

function arrivalsText({ options: { arrivals } }: SimulatedLoad): string {
  return arrivals === 'gamma' ? 'gamma arrivals with the burstiness of the scenario' : 'Poisson arrivals'
}

function disturbancesContent({ disturbances }: SimulatedLoad): Html[] {
  const title = html`<h3>Disturbances: the scheduler against a fixed threshold</h3>`
  if (disturbances.kind === 'left-out')
    return [title, html`<p>Disturbances were not simulated: ${disturbances.reason}.</p>`]
  const { rows } = disturbances
  return [
    title,
    pair([
      html`<ul>${rows.map((row) => html`<li><strong>${row.what}.</strong> ${disturbanceSentence(row)}</li>\n`)}</ul>`,
      disturbancesTable(disturbances),
    ]),
  ]
}

function disturbancesTable({
  rateRps,
  seconds,
  replications,
  rows,
}: Extract<Disturbances, { readonly kind: 'simulated' }>): Html {
  return table({
    caption: html`P90 TTFT in seconds at ${requestsPerSecond(rateRps)}, ${short(100 * DISTURBED_SHARE)} % of what the plan sustains, for ${durationText(seconds)} in ${replications} replications. Both saw the same requests at the same times; the gain is paired by replication, ± is half of a 95 % interval. What the scheduler gains where nothing happens has nothing to do with a disturbance, and the longer a disturbance lasts, the larger TTFT becomes.`,
    columns: [
      { name: 'Disturbance' },
      { name: 'Fixed t', isNumber: true },
      { name: 'Scheduler', isNumber: true },
      { name: 'Gain, %', isNumber: true },
    ],
    rows: rows.map(({ name, fixed, scheduled, gain }) => [
      SHORT_NAMES[name],
      plusMinus(fixed.ttftSeconds.p90, fixed.ttftSeconds.p90HalfWidth95),
      plusMinus(scheduled.ttftSeconds.p90, scheduled.ttftSeconds.p90HalfWidth95),
      gainText(gain.mean, gain.halfWidth95),
    ]),
  })
}

const SHORT_NAMES = { none: 'None', 'link-drop': 'Link to a tenth', bursts: 'Bursts' } as const

/** Of a difference, digits below its noise say nothing. */
function gainText(mean: number, halfWidth95: number | null): string {
  const spread = halfWidth95 === null ? '' : `\u00a0±\u00a0${(100 * halfWidth95).toFixed(1)}`
  return `${(100 * mean).toFixed(1)}${spread}`
}
