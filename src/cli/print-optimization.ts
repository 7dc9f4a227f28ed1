import type { Analysis } from '../planner/analysis.ts'
import type { Deployment } from '../planner/optimize.ts'
import type { Cost } from '../planner/cost.ts'
import { SECONDS_PER_MONTH } from '../core/units.ts'
import { bad, type Cell, dim, figure, good, heading, percent, signedPercent, table, tokens, wrap } from './print.ts'

/** Both clusters' instances in the order of the paper's Table 6. */
export function layoutText({ instances }: Deployment): string {
  return [instances.remotePrefill, instances.localPrefill, instances.decode].map((count) => count ?? '-').join(' / ')
}

/** Table 6, with what an operator asks beside it. */
export function deploymentTable({ optimization: { deployments, ratios }, gpus, cost }: Analysis): string {
  const [membrane, homogeneous, naive] = [gpus.membrane, gpus.homogeneous, gpus.naive]
  const row = (name: string, value: (deployment: Deployment) => Cell): Cell[] => [name, ...deployments.map(value)]
  const hasSlo = deployments.some((deployment) => deployment.sloFeasibleRps !== null)
  const ratio = (value: number | null): string => (value === null ? '-' : `${value.toFixed(2)}x`)
  return table(
    ['', ...deployments.map((deployment) => deployment.name)],
    [
      row('threshold t (tokens)', (d) => tokens(d.thresholdTokens)),
      row('N remote/local/decode', layoutText),
      row('Theta remote (req/s)', (d) => d.throughputRps.remotePrefill),
      row('Theta local (req/s)', (d) => d.throughputRps.localPrefill),
      row('Theta decode (req/s)', (d) => d.throughputRps.decode),
      row('Lambda_max (req/s)', (d) => d.lambdaMaxRps),
      ...(hasSlo ? [row('SLO-feasible (req/s)', (d) => d.sloFeasibleRps)] : []),
      ['membrane-pd over it', '-', ratio(ratios.overHomogeneous), ratio(ratios.overNaive)],
      row('TTFT mean / P90 (s)', (d) => `${figure(d.ttftSeconds.mean)} / ${figure(d.ttftSeconds.p90)}`),
      row('egress (Gbps)', (d) => d.egressGbps),
      row('offloaded requests', (d) => percent(d.offloadedRatio)),
      row('bound by', (d) => d.bindingConstraint),
      ['GPUs', ...[membrane, homogeneous, naive].map((count) => `${count.total} (${count.arithmetic})`)],
      ...(cost === null
        ? []
        : [
            [
              'cost / million tokens',
              ...[cost.membrane, cost.homogeneous, cost.naive].map((item) => item?.perMillionTokens ?? null),
            ],
          ]),
    ],
  )
}

export function verdictText({ verdict }: Analysis): string {
  const paint = verdict.outcome === 'pays' ? good : bad
  return wrap(verdict.sentence).replace(verdict.headline, paint(heading(verdict.headline)))
}

/** More are in `--json --details`. */
const ALTERNATIVES_SHOWN = 8

/** Slack, shadow prices, alternatives and variants: why, and what would change it. */
export function analysisText(analysis: Analysis): string {
  const { stages, balance, shadowPrices, alternatives, variants, egress, cost } = analysis
  return [
    section(
      'Slack of each stage',
      'system rate at which it is full',
      table(
        ['stage', 'full at (req/s)', 'slack'],
        stages.map(({ stage, boundRps, slackRatio }) => [stage, boundRps, signedPercent(slackRatio)]),
      ),
    ),
    balanceText(balance),
    section(
      'What one more unit buys',
      'threshold and roles chosen anew',
      table(
        ['change', 'req/s', 'gain (req/s)', 'gain'],
        shadowPrices.map(({ change, rateRps, gainRps, gainRatio }) => [
          change,
          rateRps,
          gainRps.toFixed(3),
          signedPercent(gainRatio),
        ]),
      ),
    ),
    section(
      'Next best, and why not',
      'other splits of the local cluster',
      table(
        ['remote/local/decode', 't (tokens)', 'req/s', 'of best', 'reason'],
        alternatives
          .slice(0, ALTERNATIVES_SHOWN)
          .map(({ roles, thresholdTokens, rateRps, ratioToBest, reason }) => [
            `${roles.remotePrefill} / ${roles.localPrefill} / ${roles.decode}`,
            tokens(thresholdTokens),
            rateRps,
            percent(ratioToBest),
            reason,
          ]),
      ),
    ),
    section(
      'When something breaks',
      'req/s left, with the plan as it is and chosen anew',
      table(
        ['case', 'as planned', 'chosen anew'],
        variants.map(({ name, asPlannedRps, reoptimizedRps }) => [name, asPlannedRps, reoptimizedRps]),
      ),
    ),
    `Egress ${figure(egress.gbps)} Gbps, ${percent(egress.linkShare)} of the link, ${figure(egress.terabytesPerMonth)} TB (10^12 bytes) a month.`,
    ...(cost?.membrane === undefined || cost.membrane === null ? [] : [costText(cost.membrane)]),
  ].join('\n\n')
}

function costText({ perHour, perMillionTokens, egressPerHour }: Cost): string {
  const egress = egressPerHour > 0 ? ` (${figure(egressPerHour)} of it egress)` : ''
  const perMonth = (perHour * SECONDS_PER_MONTH) / 3600
  return wrap(
    `Cost ${figure(perHour)} an hour${egress}, ${figure(perMonth)} a month, ${figure(perMillionTokens)} per million tokens (prompt and output), in the currency of the prices.`,
  )
}

function balanceText({ thresholdImbalanceRps, roleImbalanceRps }: Analysis['balance']): string {
  const threshold =
    thresholdImbalanceRps === null
      ? 'one side has no requests'
      : `the two prefill bounds are ${Math.abs(thresholdImbalanceRps).toFixed(3)} req/s apart`
  const spare = roleImbalanceRps > 0 ? 'prefill could feed' : 'decode could take'
  return wrap(
    `Balance of threshold, Eq. (7): ${threshold}. Of roles, Eq. (8): ${spare} ${Math.abs(roleImbalanceRps).toFixed(3)} req/s more.`,
  )
}

export function section(title: string, explanation: string, body: string): string {
  return `${heading(title)} ${dim(`(${explanation})`)}\n${body}`
}
