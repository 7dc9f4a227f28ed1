import { MembraneError } from '../core/errors.ts'
import type { Scenario } from '../planner/scenario.ts'
import type { SimulationOptions } from '../planner/sim-options.ts'
import { type ReplicationData, simulateBatch } from '../planner/sim-run.ts'
import { replicationsOf } from '../planner/study.ts'
import { showProgress } from './progress.ts'
import type { SimulationAnswer, SimulationTask } from './simulate-task.ts'
import { tuneForSimulation } from './simulation-speed.ts'
import { runOnThreads, workerFile } from './worker-pool.ts'

/** A question to simulate: one deployment under one load. */
export interface Question {
  readonly scenario: Scenario
  readonly options: SimulationOptions
  readonly replications: number
}

/** All replications of all questions, on threads where there are several of both. The answers do not depend on the threads. */
export async function runSimulations(
  questions: readonly Question[],
  { workers, what }: { readonly workers: number; readonly what: string },
): Promise<readonly (readonly ReplicationData[])[]> {
  const parts = questions.map(({ scenario, options, replications }) => ({
    scenario,
    options: replicationsOf(options, replications),
  }))
  const tasks = parts.flatMap(({ scenario, options }) => options.map((one) => ({ scenario, options: one })))
  tuneForSimulation()
  const progress = showProgress(what)
  try {
    const runs =
      workers === 1 || tasks.length === 1
        ? await runHere(tasks, progress.update)
        : await runThere(tasks, workers, progress.update)
    let next = 0
    return parts.map(({ options }) => runs.slice(next, (next += options.length)))
  } finally {
    progress.end()
  }
}

interface Task {
  readonly scenario: Scenario
  readonly options: SimulationOptions
}

async function runHere(tasks: readonly Task[], onProgress: (share: number) => void): Promise<ReplicationData[]> {
  const requests = tasks.reduce((sum, { options }) => sum + options.requests, 0)
  const runs: ReplicationData[] = []
  let done = 0
  for (const { scenario, options } of tasks) {
    const before = done
    runs.push(
      simulateBatch(scenario, options, (completed) => {
        onProgress((before + completed) / requests)
      }),
    )
    done += options.requests
    // Lets Ctrl-C through.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return runs
}

async function runThere(
  tasks: readonly Task[],
  workers: number,
  onProgress: (share: number) => void,
): Promise<ReplicationData[]> {
  const answers = await runOnThreads<SimulationTask, SimulationAnswer>(
    tasks.map(({ scenario: { spec }, options }) => ({ task: { spec, options }, cost: options.requests })),
    { url: workerFile(new URL('./simulate-worker.ts', import.meta.url)), workers, onProgress },
  )
  return answers.map((answer) => {
    if (answer.kind === 'done') return answer.run
    const { code, message, remedy, details } = answer
    throw new MembraneError(code, message, { details, ...(remedy === null ? {} : { remedy }) })
  })
}
