import type { Analysis } from '../planner/analysis.ts'
import type { Cost } from '../planner/cost.ts'
import type { Deployment } from '../planner/optimize.ts'
import type { DeploymentName } from '../planner/search.ts'
import { type Html, html } from './report-markup.ts'
import { constraintName, percent, signed, significant, times, whole } from './report-numbers.ts'
import {
  LAMBDA_MAX,
  N_DECODE,
  N_PREFILL,
  N_REMOTE,
  THETA_DECODE,
  THETA_PREFILL,
  THETA_REMOTE,
} from './report-symbols.ts'
import { ABSENT, type Column, table } from './report-table.ts'

const KEYS = {
  'membrane-pd': 'membrane',
  'homogeneous-pd': 'homogeneous',
  'naive-heterogeneous-pd': 'naive',
} as const satisfies Readonly<Record<DeploymentName, keyof Analysis['gpus']>>

function objectiveOf(deployment: Deployment): number {
  return deployment.sloFeasibleRps ?? deployment.lambdaMaxRps
}

function numberOr(value: number | null, write: (value: number) => string): Html | string {
  return value === null ? ABSENT : write(value)
}

/** The layout of the paper's Table 6, with what a buyer asks beside it. */
export function deploymentsTable(analysis: Analysis): Html {
  const { deployments } = analysis.optimization
  const row = (name: Html | string, cell: (deployment: Deployment) => Html | string): (Html | string)[] => [
    name,
    ...deployments.map(cell),
  ]
  return table({
    caption: html`Each deployment at its best; ${LAMBDA_MAX} and TTFT contain no queueing, as in the paper's Table 6.`,
    columns: [
      { name: 'Quantity' },
      ...deployments.map(({ name }): Column => ({ name: breakable(name), isNumber: true })),
    ],
    rows: [...layoutRows(row), ...rateRows(row, analysis), ...moneyRows(row, analysis)],
  })
}

/** On a phone long names break after their hyphens, and the longest words within. */
function breakable(name: string): Html {
  const parts = name.split(/(?<=-|homo|hetero)/)
  return html`${parts.map((part) => (part === 'homo' || part === 'hetero' ? html`${part}\u00ad` : html`${part}<wbr>`))}`
}

type Row = (name: Html | string, cell: (deployment: Deployment) => Html | string) => (Html | string)[]

function layoutRows(row: Row): (Html | string)[][] {
  return [
    row('Threshold t, tokens', ({ thresholdTokens }) => numberOr(thresholdTokens, whole)),
    row(
      html`${N_REMOTE} / ${N_PREFILL} / ${N_DECODE}, instances`,
      ({ instances: { remotePrefill, localPrefill, decode } }) =>
        html`${numberOr(remotePrefill, whole)} / ${numberOr(localPrefill, whole)} / ${numberOr(decode, whole)}`,
    ),
    row(
      'TTFT mean / P90, s',
      ({ ttftSeconds }) => `${significant(ttftSeconds.mean)} / ${significant(ttftSeconds.p90)}`,
    ),
    row(html`${THETA_REMOTE} remote prefill, req/s`, ({ throughputRps }) =>
      numberOr(throughputRps.remotePrefill, significant),
    ),
    row(html`${THETA_PREFILL} local prefill, req/s`, ({ throughputRps }) =>
      numberOr(throughputRps.localPrefill, significant),
    ),
    row(html`${THETA_DECODE} decode, req/s`, ({ throughputRps }) => numberOr(throughputRps.decode, significant)),
  ]
}

function rateRows(row: Row, analysis: Analysis): (Html | string)[][] {
  const { deployments } = analysis.optimization
  const homogeneous = deployments.find(({ name }) => name === 'homogeneous-pd')
  const base = homogeneous === undefined ? 0 : objectiveOf(homogeneous)
  const hasSlo = deployments.some(({ sloFeasibleRps }) => sloFeasibleRps !== null)
  return [
    row(
      html`<strong>${LAMBDA_MAX}, req/s</strong>`,
      ({ lambdaMaxRps }) => html`<strong>${significant(lambdaMaxRps)}</strong>`,
    ),
    ...(hasSlo
      ? [
          row(
            html`<strong>SLO-feasible rate, req/s</strong>`,
            ({ sloFeasibleRps }) => html`<strong>${numberOr(sloFeasibleRps, significant)}</strong>`,
          ),
        ]
      : []),
    row(hasSlo ? 'SLO-feasible rate over homogeneous-pd' : html`${LAMBDA_MAX} over homogeneous-pd`, (deployment) =>
      base > 0 ? times(objectiveOf(deployment) / base) : ABSENT,
    ),
    row('Binding constraint', ({ bindingConstraint }) => constraintName(bindingConstraint)),
    row('Offloaded requests, %', ({ offloadedRatio }) => significant(offloadedRatio * 100)),
    row(html`Egress at ${LAMBDA_MAX}, Gbps`, ({ egressGbps }) => significant(egressGbps)),
    row('GPUs', ({ name }) => {
      const { arithmetic, total } = analysis.gpus[KEYS[name]]
      return `${arithmetic} = ${whole(total)}`
    }),
  ]
}

function moneyRows(row: Row, { cost }: Analysis): (Html | string)[][] {
  if (cost === null) return []
  const of = (name: DeploymentName, pick: (cost: Cost) => number): Html | string => {
    const found = cost[KEYS[name]]
    return found === null ? ABSENT : significant(pick(found))
  }
  return [
    row('Cost per hour, currency of the prices', ({ name }) => of(name, (found) => found.perHour)),
    row('Cost per million tokens, currency of the prices', ({ name }) => of(name, (found) => found.perMillionTokens)),
  ]
}

export function stagesTable({ stages }: Analysis): Html {
  return table({
    caption: html`The system rate at which each stage of membrane-pd is full, and how far above the planned rate that is; 0 % binds.`,
    columns: [{ name: 'Stage' }, { name: 'Full at, req/s', isNumber: true }, { name: 'Slack, %', isNumber: true }],
    rows: stages.map(({ stage, boundRps, slackRatio }) => [
      constraintName(stage),
      significant(boundRps),
      slackText(slackRatio),
    ]),
  })
}

function slackText(slackRatio: number): Html | string {
  return slackRatio < 5e-4 ? html`<strong>0</strong> (binds)` : significant(slackRatio * 100)
}

/** What is further down is worse still, and nobody reads it. */
const ALTERNATIVES_SHOWN = 12

export function alternativesTable({ alternatives }: Analysis): Html {
  const shown = alternatives.slice(0, ALTERNATIVES_SHOWN)
  const left = alternatives.length - shown.length
  const more = left > 0 ? ` ${whole(left)} slower ones are left out.` : ''
  return table({
    caption: html`The other ways to share out the local instances, each at its best threshold, next best first.${more}`,
    columns: [
      { name: html`${N_PREFILL} / ${N_DECODE}` },
      { name: 'Threshold, tokens', isNumber: true },
      { name: 'Rate, req/s', isNumber: true },
      { name: 'Of the best, %', isNumber: true },
      { name: 'Why not' },
    ],
    rows: shown.map(({ roles, thresholdTokens, rateRps, ratioToBest, reason }) => [
      `${roles.localPrefill} / ${roles.decode}`,
      whole(thresholdTokens),
      significant(rateRps),
      significant(ratioToBest * 100),
      reason,
    ]),
  })
}

export function variantsTable(analysis: Analysis): Html {
  const planned = analysis.optimization.deployments[0]
  const base = planned === undefined ? 0 : objectiveOf(planned)
  const change = (rateRps: number): string => (base > 0 ? `${signed((rateRps / base - 1) * 100)} %` : '')
  return table({
    caption: html`What is left after a failure: with threshold and roles as planned, and with both chosen anew.`,
    columns: [
      { name: 'Failure' },
      { name: 'As planned, req/s', isNumber: true },
      { name: 'Chosen anew, req/s', isNumber: true },
    ],
    rows: analysis.variants.map(({ name, asPlannedRps, reoptimizedRps }) => [
      name,
      html`${significant(asPlannedRps)} <span class="change">(${change(asPlannedRps)})</span>`,
      html`${significant(reoptimizedRps)} <span class="change">(${change(reoptimizedRps)})</span>`,
    ]),
  })
}

const QUANTITY_AND_VALUE: readonly Column[] = [{ name: 'Quantity' }, { name: 'Value', isNumber: true }]

/** Egress is billed between regions, so it is shown without prices too. */
export function egressTable({ egress, optimization }: Analysis): Html {
  const hasSlo = optimization.deployments.some(({ sloFeasibleRps }) => sloFeasibleRps !== null)
  const rate = hasSlo ? html`the SLO-feasible rate` : LAMBDA_MAX
  return table({
    caption: html`What membrane-pd sends over the link, running steadily at ${rate}; TB = 10¹² bytes, a month has 365.25 / 12 days.`,
    columns: QUANTITY_AND_VALUE,
    rows: [
      ['Egress', `${significant(egress.gbps)} Gbps`],
      ['Share of the link', percent(egress.linkShare)],
      ['Egress a month', `${significant(egress.terabytesPerMonth)} TB`],
    ],
  })
}

/** Null without prices. */
export function costTable({ cost }: Analysis): Html | null {
  const membrane = cost?.membrane ?? null
  if (membrane === null) return null
  return table({
    caption: html`What membrane-pd costs at that rate, in the currency of the prices.`,
    columns: QUANTITY_AND_VALUE,
    rows: [
      ['GPUs and egress, per hour', significant(membrane.perHour)],
      ['of that egress, per hour', significant(membrane.egressPerHour)],
      ['Per million tokens, prompt and output', significant(membrane.perMillionTokens)],
    ],
  })
}
