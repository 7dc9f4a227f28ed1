/** A worker of the simulating commands: runs one replication after the other and answers with what each left behind. */
import { parentPort } from 'node:worker_threads'
import { MembraneError } from '../core/errors.ts'
import { buildScenario } from '../planner/scenario.ts'
import { simulateBatch } from '../planner/sim-run.ts'
import type { SimulationAnswer, SimulationTask } from './simulate-task.ts'

parentPort?.on('message', ({ spec, options }: SimulationTask) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin; windows do.
  parentPort?.postMessage(answer({ spec, options }))
})

function answer({ spec, options }: SimulationTask): SimulationAnswer {
  try {
    return { kind: 'done', run: simulateBatch(buildScenario(spec), options) }
  } catch (error) {
    // A class does not survive the way between threads.
    if (!(error instanceof MembraneError)) throw error
    const { code, message, remedy, details } = error
    return { kind: 'failed', code, message, remedy, details }
  }
}
