import { LIMITS } from '../core/limits.ts'
import { MembraneError } from '../core/errors.ts'
import type { Analysis } from '../planner/analysis.ts'
import { assumption } from '../planner/assumptions.ts'
import { requestCapacity } from '../planner/request-capacity.ts'
import type { Scenario } from '../planner/scenario.ts'
import type { SimulationOptions } from '../planner/sim-options.ts'
import { openSimulation, type ReplicationData } from '../planner/sim-run.ts'
import { simulationAssumptions } from '../planner/simulation-assumptions.ts'
import { type SimulationResult, summarize } from '../planner/simulation-result.ts'
import { p90Gain } from '../planner/study.ts'
import { ttftQuantile, ttftWithoutQueues } from '../planner/ttft.ts'
import { LOAD_SHARE, type LoadPlan, type ReportLoad, steadyLoad } from './report-load.ts'
import { type DisturbanceQuestions, disturbanceQuestions } from './report-load-disturbances.ts'
import { membraneOf, rolesOf } from './report-series.ts'
import { type Question, runSimulations } from './simulate-run.ts'
import { defaultWorkers } from './worker-pool.ts'

/** Simulates the plan of a report: all questions at once, so that no thread waits for another. */

const REQUESTS = 200_000
const REPLICATIONS = 8

/** Shares of the sustainable rate, beside the rates that are simulated anyway. */
const KNEE_LOADS = [0.3, 0.5, 0.65, 0.75, 0.82, 0.9, 0.94, 0.97]
const KNEE_REQUESTS = 80_000
/** Rates nearer than this to another, as a share of the sustainable rate, would only hide it. */
const KNEE_GAP = 0.015

/** Whether the SLO is met is asked with more than a mark of the knee curve. */
const SLO_REQUESTS = 80_000

export async function simulateLoad(scenario: Scenario, analysis: Analysis): Promise<ReportLoad> {
  const deployment = membraneOf(analysis)
  const { lambdaMaxRps } = deployment
  const plan = { roles: rolesOf(deployment), thresholdTokens: deployment.thresholdTokens ?? 0 }
  const steady = steadyLoad(scenario, plan, { rateRps: LOAD_SHARE * lambdaMaxRps, requests: REQUESTS })
  const reason = whyImpossible(scenario, steady)
  if (reason !== null) return { kind: 'impossible', reason }
  const { sustainableRps } = requestCapacity(scenario, steady)
  const ask = (options: SimulationOptions, replications: number): Question => ({ scenario, options, replications })
  const main = ask(steady, REPLICATIONS)
  const slo = sloQuestion(scenario, plan, deployment.sloFeasibleRps)
  const atRates = [main, ...(slo === null ? [] : [slo])]
  const knee = kneeRates(
    sustainableRps,
    atRates.map(({ options }) => options.rateRps),
  ).map((rateRps) => ask(steadyLoad(scenario, plan, { rateRps, requests: KNEE_REQUESTS }), REPLICATIONS))
  const asked = disturbanceQuestions(scenario, plan, sustainableRps)
  const disturbed = asked.kind === 'left-out' ? [] : asked.questions
  const pairs = disturbed.map(({ fixed, scheduled }) => {
    const replications = asked.kind === 'left-out' ? 0 : asked.replications
    return { fixed: ask(fixed, replications), scheduled: ask(scheduled, replications) }
  })
  const questions = [...atRates, ...knee, ...pairs.flatMap(({ fixed, scheduled }) => [fixed, scheduled])]
  const workers = Math.min(defaultWorkers(), LIMITS.workersMax)
  const answers = await runSimulations(questions, { workers, what: 'simulating the plan under load' })
  const runsOf = new Map(questions.map((question, k) => [question, answers[k] ?? []]))
  const runs = (question: Question): readonly ReplicationData[] => runsOf.get(question) ?? []
  const result = (question: Question): SimulationResult => summarize(scenario, question.options, runs(question))
  const { thresholdTokens } = plan
  const { mean, p90 } = ttftWithoutQueues(scenario, thresholdTokens)
  return {
    kind: 'simulated',
    options: steady,
    result: result(main),
    lambdaMaxRps,
    quoted: { mean, p90, p99: ttftQuantile(scenario, thresholdTokens, 0.99) },
    knee: [...atRates, ...knee]
      .map((question) => ({ rateRps: question.options.rateRps, result: result(question) }))
      .toSorted((a, b) => a.rateRps - b.rateRps),
    slo:
      slo === null
        ? null
        : {
            boundSeconds: scenario.slo.ttftSecondsP90 ?? 0,
            feasibleRps: slo.options.rateRps,
            result: result(slo),
          },
    disturbances: answersOf(asked, pairs, { runs, result }),
    assumptions: [assumption('report-load'), ...simulationAssumptions(questions.map(({ options }) => options))],
  }
}

/** Null where it can be simulated. */
function whyImpossible(scenario: Scenario, options: SimulationOptions): string | null {
  try {
    openSimulation(scenario, options)
    return null
  } catch (error) {
    if (error instanceof MembraneError) return error.message
    throw error
  }
}

function sloQuestion(scenario: Scenario, plan: LoadPlan, feasibleRps: number | null): Question | null {
  if (scenario.slo.ttftSecondsP90 === null || feasibleRps === null || feasibleRps < LIMITS.rateRpsMin) return null
  const options = steadyLoad(scenario, plan, { rateRps: feasibleRps, requests: SLO_REQUESTS })
  return { scenario, options, replications: REPLICATIONS }
}

function kneeRates(sustainableRps: number, others: readonly number[]): number[] {
  const isFree = (rateRps: number): boolean =>
    others.every((other) => Math.abs(other - rateRps) > KNEE_GAP * sustainableRps)
  return KNEE_LOADS.map((load) => load * sustainableRps).filter(
    (rateRps) => rateRps >= LIMITS.rateRpsMin && isFree(rateRps),
  )
}

function answersOf(
  asked: DisturbanceQuestions,
  pairs: readonly { readonly fixed: Question; readonly scheduled: Question }[],
  {
    runs,
    result,
  }: {
    readonly runs: (question: Question) => readonly ReplicationData[]
    readonly result: (question: Question) => SimulationResult
  },
): Extract<ReportLoad, { readonly kind: 'simulated' }>['disturbances'] {
  if (asked.kind === 'left-out') return asked
  const { rateRps, seconds, replications, questions } = asked
  const rows = pairs.flatMap(({ fixed, scheduled }, k) => {
    const question = questions[k]
    if (question === undefined) return []
    const { name, what } = question
    const gain = p90Gain(runs(scheduled), runs(fixed))
    return [{ name, what, fixed: result(fixed), scheduled: result(scheduled), gain }]
  })
  return { kind: 'simulated', rateRps, seconds, replications, rows }
}
