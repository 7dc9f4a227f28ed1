import type { Command } from 'commander'
import { curvesOf, summarize } from '../planner/simulation-result.ts'
import { p90Gain } from '../planner/study.ts'
import { writeOutput } from './output-file.ts'
import { printJson, printNotes, printText, printWarnings } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { number } from './numbers.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { addSimulationFlags, type SimulationFlags, workersOf } from './simulate-flags.ts'
import { studyOfFile } from './simulate-file.ts'
import { type Study, studyOfFlags } from './simulate-load.ts'
import { comparisonText, resultText } from './simulate-print.ts'
import { runSimulations } from './simulate-run.ts'

interface SimulateFlags extends ScenarioFlags, SimulationFlags, GlobalFlags {
  readonly rate?: number
  readonly scenario?: string
}

export function defineSimulate(command: Command): void {
  addSimulationFlags(
    addScenarioFlags(
      command.description(
        'discrete-event simulation of a plan under load: queues, the shared link, continuous batching, the scheduler',
      ),
    )
      .optionsGroup('Load:')
      .option('--rate <n>', 'mean arrivals, requests per second', number)
      .option(
        '--scenario <name|file>',
        'what happens over time, under several schedulers: steady, burst, link-drop, diurnal-week, cluster-loss, agents, or a file (diurnal-week takes a minute or two)',
      ),
  )
  onRun<SimulateFlags>(command, async (flags) => {
    const study = flags.scenario === undefined ? await studyOfFlags(flags) : await studyOfFile(flags.scenario, flags)
    if (await printConfigIfAsked(study.loaded.config, flags)) return
    printNotes(study.loaded.notes)
    printWarnings(study.warnings)
    await runStudy(study, flags)
  })
}

/** Runs every scheduler of a study and prints what came of it; also for `membrane replay`. */
export async function runStudy(study: Study, flags: SimulationFlags & GlobalFlags): Promise<void> {
  const { scenario, replications } = study
  const startedMs = performance.now()
  const runs = await runSimulations(
    study.runs.map(({ options }) => ({ scenario, options, replications })),
    { workers: workersOf(flags), what: 'simulating' },
  )
  const wallSeconds = (performance.now() - startedMs) / 1000
  const answers = study.runs.map(({ name, options }, k) => ({
    name,
    options,
    result: summarize(scenario, options, runs[k] ?? []),
    curves: curvesOf(runs[k] ?? []),
  }))
  const fixed = study.runs.findIndex(({ name }) => name === 'fixed')
  const gains = study.runs.flatMap(({ name }, k) =>
    k === fixed || fixed < 0 ? [] : [{ name, gain: p90Gain(runs[k] ?? [], runs[fixed] ?? []) }],
  )
  const requests = answers.reduce((sum, { result }) => sum + result.requests, 0)
  const wall = { wallSeconds, requestsPerWallSecond: requests / wallSeconds }
  const [only] = answers
  if (flags.json === true) {
    if (answers.length === 1 && only !== undefined) printJson({ ...only.result, ...wall })
    else {
      printJson({
        scenario: study.title,
        runs: answers.map(({ name, result }) => ({ scheduler: name, ...result })),
        p90TtftGainOverFixed: Object.fromEntries(gains.map(({ name, gain }) => [name, gain])),
        ...wall,
      })
    }
  } else if (answers.length === 1 && only !== undefined) printText(resultText(study, only, wall))
  else printText(comparisonText(study, answers, gains, wall))
  if (flags.chromeTrace !== undefined) {
    const { chromeTrace } = await import('../planner/chrome-trace.ts')
    await writeOutput(
      { flag: '--chrome-trace', path: flags.chromeTrace },
      JSON.stringify(chromeTrace(only?.curves.timelines ?? [])),
      'open it in chrome://tracing or ui.perfetto.dev',
    )
  }
  if (flags.html !== undefined) {
    const { writeSimulationPage } = await import('./simulate-page.ts')
    await writeSimulationPage(flags.html, { study, answers, gains, workers: workersOf(flags) })
  }
}
