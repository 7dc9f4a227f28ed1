import { describe, expect, it } from 'vitest'
import { QUICK, runTask, validationTasks } from '../planner/validate.ts'
import { runInWorkers } from './validate-workers.ts'

const tasks = validationTasks({ ...QUICK, seeds: [1, 2], loadMax: 0.5 }).slice(0, 10)

// Threads take a second to start on a busy machine.
describe('validation threads', { timeout: 30_000 }, () => {
  it('give what one thread gives, in the order of the tasks, however many there are', async () => {
    const here = tasks.map(runTask)
    const shares: number[] = []
    const one = await runInWorkers(tasks, { workers: 1, onProgress: (share) => shares.push(share) })
    expect(one).toEqual(here)
    expect(await runInWorkers(tasks, { workers: 2, onProgress: () => undefined })).toEqual(here)
    expect(shares).toHaveLength(tasks.length)
    expect(shares.at(-1)).toBeCloseTo(1, 12)
    expect(shares).toEqual(shares.toSorted((a, b) => a - b))
  })

  it('pass on what went wrong in one of them', async () => {
    const [task] = tasks
    if (task === undefined) throw new Error('no task')
    const failing = runInWorkers([{ ...task, system: 'M/X/1' }], { workers: 2, onProgress: () => undefined })
    await expect(failing).rejects.toThrow('there is no system M/X/1')
  })
})
