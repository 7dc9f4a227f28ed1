/** A worker of `membrane validate`: takes one task after the other and answers each with what it measured. */
import { parentPort } from 'node:worker_threads'
import { runTask, type ValidationTask } from '../planner/validate.ts'

parentPort?.on('message', (task: ValidationTask) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin; windows do.
  parentPort?.postMessage(runTask(task))
})
