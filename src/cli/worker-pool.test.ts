import { describe, expect, it } from 'vitest'
import { QUICK, runTask, taskArrivals, type ValidationTask, validationTasks } from '../planner/validate.ts'
import type { Batches } from '../planner/validate-statistics.ts'
import { runOnThreads, workerFile } from './worker-pool.ts'

const url = workerFile(new URL('./validate-worker.ts', import.meta.url))
const tasks = validationTasks({ ...QUICK, seeds: [1, 2], loadMax: 0.5 }).slice(0, 10)

function runTasks(
  some: readonly ValidationTask[],
  workers: number,
  onProgress?: (share: number) => void,
): Promise<readonly (readonly Batches[])[]> {
  return runOnThreads(
    some.map((task) => ({ task, cost: taskArrivals(task) })),
    { url, workers, onProgress },
  )
}

// Threads take a second to start on a busy machine.
describe('threads', { timeout: 30_000 }, () => {
  it('give what one thread gives, in the order of the tasks, however many there are', async () => {
    const here = tasks.map(runTask)
    const shares: number[] = []
    const one = await runTasks(tasks, 1, (share) => shares.push(share))
    expect(one).toEqual(here)
    expect(await runTasks(tasks, 2)).toEqual(here)
    expect(shares).toHaveLength(tasks.length)
    expect(shares.at(-1)).toBeCloseTo(1, 12)
    expect(shares).toEqual(shares.toSorted((a, b) => a - b))
  })

  it('pass on what went wrong in one of them', async () => {
    const [task] = tasks
    if (task === undefined) throw new Error('no task')
    const failing = runTasks([{ ...task, system: 'M/X/1' }], 2)
    await expect(failing).rejects.toThrow('there is no system M/X/1')
  })
})
