import { type Command } from 'commander'
import { type Layout, plan, type PlanAnswer } from '../planner/plan.ts'
import { dim, figure, printJson, printText, printNotes, printWarnings, table, tokens, wrap } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { layoutText } from './print-optimization.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { number } from './numbers.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { loadScenario } from './scenario-load.ts'

interface PlanFlags extends ScenarioFlags, GlobalFlags {
  readonly rate: number
  readonly headroom?: number
}

export function definePlan(command: Command): void {
  addScenarioFlags(command.description('least hardware for a load and an SLO'))
    .requiredOption('--rate <n>', 'load to serve, requests per second', number)
    .option('--headroom <ratio>', 'extra load that must fit too, as a share of the rate', number)
  onRun<PlanFlags>(command, async (flags) => {
    const loaded = await loadScenario(flags)
    if (await printConfigIfAsked(loaded.config, flags)) return
    const answer = plan({ spec: loaded.spec, rateRps: flags.rate, headroomRatio: flags.headroom })
    const { warnings, ...rest } = answer
    printNotes(loaded.notes)
    printWarnings(warnings)
    if (flags.json === true) printJson(rest)
    else printText(planText(answer))
  })
}

function planText(answer: PlanAnswer): string {
  const { best, localOnly, minimized, layouts } = answer
  const spared = localOnly === null ? 'no number of local instances alone does' : saving(best, localOnly, minimized)
  return [
    wrap(
      `${figure(answer.plannedRps)} req/s needs ${best.gpus.total.toLocaleString('en-US')} GPUs (${best.gpus.arithmetic}): ${describe(best)}; ${spared}.`,
    ),
    table(
      ['N remote/local/decode', 't', 'GPUs', 'cost/h', 'Gbps', 'Lambda_max', 'SLO-feasible', 'P90 TTFT'],
      layouts.map((layout) => [
        `${layoutText(layout.deployment)}${layout === best ? ' *' : ''}`,
        tokens(layout.deployment.thresholdTokens),
        layout.gpus.total,
        layout.cost?.perHour ?? null,
        layout.egressGbps,
        layout.deployment.lambdaMaxRps,
        layout.deployment.sloFeasibleRps,
        layout.deployment.ttftSeconds.p90,
      ]),
    ),
    dim(
      `* least by ${minimized === 'cost' ? 'cost per hour' : 'number of GPUs; give --remote-price and --local-price to compare by cost'}. t in tokens, rates in req/s, TTFT in s without queues${answer.best.cost === null ? '' : ', cost in the currency of the prices'}.`,
    ),
  ].join('\n\n')
}

function describe({ deployment, egressGbps }: Layout): string {
  const share = deployment.offloadedRatio
  if (share === 0) return `all local, ${layoutText(deployment)} instances`
  return `${layoutText(deployment)} instances, the ${figure(share * 100)} % of prompts above ${tokens(deployment.thresholdTokens)} uncached tokens offloaded over ${figure(egressGbps)} Gbps`
}

function saving(best: Layout, localOnly: Layout, minimized: PlanAnswer['minimized']): string {
  if (best === localOnly) return 'remote prefill would not make it smaller'
  if (minimized === 'cost' && best.cost !== null && localOnly.cost !== null) {
    return `local instances alone cost ${figure(localOnly.cost.perHour)} an hour instead of ${figure(best.cost.perHour)}`
  }
  return `local instances alone need ${localOnly.gpus.total} GPUs (${localOnly.gpus.arithmetic})`
}
