import { Worker } from 'node:worker_threads'
import { taskArrivals, type ValidationTask } from '../planner/validate.ts'
import type { Batches } from '../planner/validate-statistics.ts'

export interface WorkersOptions {
  readonly workers: number
  /** Called with the share of the work that is done, 0 to 1. */
  readonly onProgress: (share: number) => void
}

/**
 * Runs tasks on threads, the longest first so that none is left alone with one at the end. The answers stand in the
 * order of the tasks: they do not depend on the number of threads or on who was faster.
 */
export async function runInWorkers(
  tasks: readonly ValidationTask[],
  { workers, onProgress }: WorkersOptions,
): Promise<readonly (readonly Batches[])[]> {
  const measured: (readonly Batches[])[] = tasks.map(() => [])
  const waiting = [...tasks.keys()].toSorted((a, b) => costOf(tasks[b]) - costOf(tasks[a]))
  const costOfAll = tasks.reduce((sum, task) => sum + taskArrivals(task), 0)
  let costDone = 0
  const threads = Array.from({ length: Math.min(workers, tasks.length) }, () => new Worker(workerUrl()))
  const serve = async (thread: Worker): Promise<void> => {
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      measured[index] = await ask(thread, tasks[index])
      costDone += costOf(tasks[index])
      onProgress(costDone / costOfAll)
    }
  }
  try {
    await Promise.all(threads.map(serve))
    return measured
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
}

function costOf(task: ValidationTask | undefined): number {
  return task === undefined ? 0 : taskArrivals(task)
}

function ask(thread: Worker, task: ValidationTask | undefined): Promise<readonly Batches[]> {
  return new Promise((resolve, reject) => {
    thread.removeAllListeners()
    thread.once('message', resolve).once('error', reject)
    thread.once('exit', (code) => {
      reject(new Error(`A validation thread ended early, with code ${code}.`))
    })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin; windows do.
    thread.postMessage(task)
  })
}

/** Beside this file: as source when this is source, else as the build left it. */
function workerUrl(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('./validate-worker.ts', import.meta.url)
    : new URL('./validate-worker.js', import.meta.url)
}
