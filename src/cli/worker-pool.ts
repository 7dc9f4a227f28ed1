import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'

export interface PoolOptions {
  /** The worker's file; it answers each message with one message. */
  readonly url: URL
  readonly workers: number
  /** Called after each task with the share of the work that is done, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined
}

/**
 * Runs tasks on threads, the costliest first so that none is left alone with one at the end. The answers stand in the
 * order of the tasks: they do not depend on the number of threads or on who was faster.
 */
export async function runOnThreads<Task, Answer>(
  tasks: readonly { readonly task: Task; readonly cost: number }[],
  { url, workers, onProgress }: PoolOptions,
): Promise<readonly Answer[]> {
  const answers = new Map<number, Answer>()
  const waiting = [...tasks.entries()].toSorted(([, a], [, b]) => b.cost - a.cost)
  const costOfAll = tasks.reduce((sum, { cost }) => sum + cost, 0)
  let costDone = 0
  const threads = Array.from({ length: Math.min(workers, tasks.length) }, () => new Worker(url))
  const serve = async (thread: Worker): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, { task, cost }] = next
      answers.set(index, await ask<Task, Answer>(thread, task))
      costDone += cost
      onProgress?.(costDone / costOfAll)
    }
  }
  try {
    await Promise.all(threads.map(serve))
    return [...tasks.keys()].flatMap((index) => {
      const answer = answers.get(index)
      return answer === undefined ? [] : [answer]
    })
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
}

function ask<Task, Answer>(thread: Worker, task: Task): Promise<Answer> {
  return new Promise((resolve, reject) => {
    thread.removeAllListeners()
    thread.once('message', resolve).once('error', reject)
    thread.once('exit', (code) => {
      reject(new Error(`A thread ended early, with code ${code}.`))
    })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin; windows do.
    thread.postMessage(task)
  })
}

/** As many threads as there are processors, unless the user says otherwise. */
export function defaultWorkers(): number {
  return availableParallelism()
}

/** A worker's source, or what the build made of it when this is the build. */
export function workerFile(source: URL): URL {
  return import.meta.url.endsWith('.ts') ? source : new URL(source.href.replace(/\.ts$/, '.js'))
}
