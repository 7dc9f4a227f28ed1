import { assumptionsOf } from '../planner/scenario.ts'
import type { SimulationCurves } from '../planner/simulation-result.ts'
import { summarize } from '../planner/simulation-result.ts'
import { defaultReplications, type Gain } from '../planner/study.ts'
import { simulationAssumptions } from '../planner/simulation-assumptions.ts'
import { ttftWithoutQueues } from '../planner/ttft.ts'
import { writeOutput } from './output-file.ts'
import type { Study } from './simulate-load.ts'
import { type Answer, gainSentence } from './simulate-print.ts'
import { runSimulations } from './simulate-run.ts'
import { simulationPage } from './simulation-html.ts'

interface PageQuestion {
  readonly study: Study
  readonly answers: readonly (Answer & { readonly curves: SimulationCurves })[]
  readonly gains: readonly { readonly name: string; readonly gain: Gain }[]
  readonly workers: number
}

/** Rates of the knee curve, as shares of the sustainable rate, and the requests of each. */
const KNEE_LOADS = [0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97]
const KNEE_REQUESTS = 40_000

/** Writes the page; where the load is steady, with the knee curve around it. */
export async function writeSimulationPage(
  path: string,
  { study, answers, gains, workers }: PageQuestion,
): Promise<void> {
  const { scenario, plan } = study
  const [first] = answers
  const isSteady = first !== undefined && first.options.workload === undefined
  const knee = isSteady ? await kneeOf(study, first, workers) : null
  const page = simulationPage({
    title: study.title,
    command: `membrane ${process.argv.slice(2).join(' ')}`,
    lead: gains.map(({ name, gain }) => gainSentence(name, gain)),
    runs: answers,
    knee,
    quoted:
      first === undefined
        ? null
        : {
            ttftSecondsP90: ttftWithoutQueues(scenario, plan.thresholdTokens).p90,
            lambdaMaxRps: first.result.capacityRps.equation6Rps,
          },
    sloTtftSecondsP90: scenario.slo.ttftSecondsP90,
    assumptions: [...assumptionsOf(scenario), ...simulationAssumptions(answers.map(({ options }) => options))],
    warnings: study.warnings,
  })
  await writeOutput({ flag: '--html', path }, await page, 'open it in a browser; it needs no network')
}

async function kneeOf({ scenario }: Study, { options, result }: Answer, workers: number) {
  const rates = KNEE_LOADS.map((load) => load * result.capacityRps.sustainableRps)
  const questions = rates.map((rateRps) => ({
    scenario,
    options: {
      ...options,
      rateRps,
      requests: KNEE_REQUESTS,
      scheduler: 'fixed' as const,
      events: [],
      curve: null,
      seriesSeconds: undefined,
      timelines: 0,
    },
    replications: defaultReplications(KNEE_REQUESTS),
  }))
  const runs = await runSimulations(questions, { workers, what: 'knee curve' })
  return questions.map((question, k) => ({
    rateRps: question.options.rateRps,
    result: summarize(scenario, question.options, runs[k] ?? []),
  }))
}
