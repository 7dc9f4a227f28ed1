import type { Analysis } from '../planner/analysis.ts'
import type { Deployment } from '../planner/optimize.ts'
import type { Scenario } from '../planner/scenario.ts'
import type { Outcome } from '../planner/verdict.ts'
import { type Html, html } from './report-markup.ts'
import { constraintName, percent, requestsPerSecond, short, significant, times, whole } from './report-numbers.ts'
import { membraneOf } from './report-series.ts'
import { LAMBDA_MAX, N_DECODE, N_PREFILL, N_REMOTE } from './report-symbols.ts'
import { tile, tileList } from './report-tiles.ts'

/** The top of the report: what the answer is, before why. */
export function verdictSection(scenario: Scenario, analysis: Analysis): Html {
  const { outcome, headline, sentence } = analysis.verdict
  return html`<section class="verdict ${outcome}" aria-labelledby="verdict">
<p class="scenario">Scenario <strong>${scenario.name}</strong></p>
<h1 id="verdict"><span class="sign" aria-hidden="true">${SIGNS[outcome]}</span>${headline}</h1>
<p class="lead">${afterHeadline(sentence, headline)}</p>
${tileList(tiles(scenario, analysis))}
</section>`
}

const SIGNS: Readonly<Record<Outcome, string>> = { pays: '✓', loses: '✕', equal: '=' }

/** The sentence opens with the headline, which need not be read twice. */
function afterHeadline(sentence: string, headline: string): string {
  if (!sentence.startsWith(headline)) return sentence
  const rest = sentence.slice(headline.length).replace(/^:\s*/, '')
  return rest.charAt(0).toUpperCase() + rest.slice(1)
}

function tiles(scenario: Scenario, analysis: Analysis): Html[] {
  const plan = membraneOf(analysis)
  const { instances } = plan
  const split = [instances.remotePrefill, instances.localPrefill, instances.decode]
    .map((count) => String(count ?? 0))
    .join(' / ')
  const { egress } = analysis
  return [
    tile(
      html`${LAMBDA_MAX}, no queueing`,
      significant(plan.lambdaMaxRps),
      'req/s',
      `bound by ${bindingWithoutSlo(analysis, plan)}`,
    ),
    ...(plan.sloFeasibleRps === null
      ? []
      : [tile('SLO-feasible rate', significant(plan.sloFeasibleRps), 'req/s', sloText(scenario))]),
    tile(
      'Threshold',
      whole(plan.thresholdTokens ?? 0),
      'tokens',
      `${percent(plan.offloadedRatio)} of requests offloaded`,
    ),
    tile('Split, instances', split, '', html`${N_REMOTE} / ${N_PREFILL} / ${N_DECODE}`),
    tile(
      'Egress',
      significant(egress.gbps),
      'Gbps',
      `${percent(egress.linkShare)} of ${short(scenario.link.gbps)} Gbps`,
    ),
    ratioTile(analysis),
    ...costTile(analysis),
  ]
}

function bindingWithoutSlo({ stages }: Analysis, plan: Deployment): string {
  if (plan.bindingConstraint !== 'slo') return constraintName(plan.bindingConstraint)
  const [tightest] = [...stages].sort((a, b) => a.boundRps - b.boundRps)
  return tightest === undefined ? constraintName('slo') : constraintName(tightest.stage)
}

export function sloText({ slo }: Scenario): string {
  const parts = [
    ...(slo.ttftSecondsP90 === null ? [] : [`P90 TTFT ≤ ${short(slo.ttftSecondsP90)} s`]),
    ...(slo.tpotSeconds === null ? [] : [`TPOT ≤ ${short(slo.tpotSeconds * 1000)} ms`]),
  ]
  return parts.join(', ')
}

function ratioTile({ verdict, optimization }: Analysis): Html {
  const baseline = optimization.deployments.find(({ name }) => name === 'homogeneous-pd')
  if (verdict.overHomogeneous === null || baseline === undefined) {
    return tile('Over homogeneous-pd', '–', '', 'the baseline meets the SLO at no rate')
  }
  const rate = requestsPerSecond(baseline.sloFeasibleRps ?? baseline.lambdaMaxRps)
  const atEqualCost = verdict.overHomogeneousAtEqualCost
  const note = atEqualCost === null ? `of its ${rate}` : `of its ${rate}; ${times(atEqualCost)} at equal cost`
  return tile('Over homogeneous-pd', times(verdict.overHomogeneous), '', note)
}

function costTile({ cost }: Analysis): Html[] {
  const membrane = cost?.membrane ?? null
  if (membrane === null) return []
  return [
    tile(
      'Cost per million tokens',
      significant(membrane.perMillionTokens),
      '',
      `${significant(membrane.perHour)} per hour, in the currency of the prices`,
    ),
  ]
}
