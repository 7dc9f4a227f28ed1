import { assert } from '../core/errors.ts'
import { arrivalsOf, type Batches, estimate, runLength, type RunLength } from './validate-statistics.ts'
import type { System } from './validate-system.ts'
import { SYSTEMS } from './validate-systems.ts'

/** A quantity that theory gives exactly, beside what the simulator's own stations do. Times are in mean services. */
export interface ValidationRow {
  readonly system: string
  /** Offered work per server, 0 to 1. */
  readonly load: number
  readonly quantity: string
  readonly theory: number
  readonly simulated: number
  readonly standardError: number
  /** (simulated - theory) / standardError. */
  readonly z: number
  /** What the standard error must not exceed in a full run: 1 % of theory, 3 % from load 0.95 on. */
  readonly standardErrorMax: number
  /** How many batches, over all seeds, the standard error is read from. */
  readonly batches: number
  /** Arrivals that were counted, over all seeds. */
  readonly arrivals: number
  readonly seeds: readonly number[]
}

export interface ValidationOptions {
  readonly seeds: readonly number[]
  /** 1 brings every standard error below its bound; less is quicker and coarser, with fewer batches for each seed. */
  readonly effort: number
  /** Heavier loads are left out; 1 unless said. */
  readonly loadMax?: number
}

/** One system at one load with one seed: what a worker does at once. Plain data. */
export interface ValidationTask {
  readonly system: string
  readonly load: number
  readonly seed: number
  readonly length: RunLength
}

/** Three seeds are fixed, so that two runs can be compared; the fourth is the caller's. */
export const FIXED_SEEDS: readonly number[] = [1, 2, 3]

export const FULL: Pick<ValidationOptions, 'effort' | 'loadMax'> = { effort: 1 }
/** For a look in seconds: errors about three times as wide, and without the load that costs most. */
export const QUICK: Pick<ValidationOptions, 'effort' | 'loadMax'> = { effort: 0.1, loadMax: 0.95 }

/** A row this many standard errors off is a failure: by chance alone fewer than one in ten thousand. */
export const Z_MAX = 4

/** All tasks, in the order of the rows; the seeds of one system and load stand together. */
export function validationTasks({ seeds, effort, loadMax = 1 }: ValidationOptions): ValidationTask[] {
  return SYSTEMS.flatMap((system) =>
    system.loads
      .filter((load) => load <= loadMax)
      .flatMap((load) => {
        const length = runLength({
          effort,
          seeds: seeds.length,
          relativeError: AIM[isHeavy(load) ? 'heavy' : 'usual'] * relativeErrorMax(load),
          relativeVariance: system.relativeVariance(load),
          memoryArrivals: system.memoryArrivals(load),
        })
        return seeds.map((seed) => ({ system: system.name, load, seed, length }))
      }),
  )
}

/** Arrivals of a task, with the warm-up: what it costs. */
export function taskArrivals(task: ValidationTask): number {
  return arrivalsOf(task.length)
}

/** What the stations did, one entry for each row of the system. */
export function runTask({ system, load, seed, length }: ValidationTask): readonly Batches[] {
  return systemOf(system).measure({ load, seed, length })
}

/** The rows, from what each task measured, in the order of the tasks. */
export function validationRows(
  tasks: readonly ValidationTask[],
  measured: readonly (readonly Batches[])[],
): ValidationRow[] {
  assert(tasks.length === measured.length, 'every task has its measurements')
  const groups = Map.groupBy(tasks.keys(), (k) => `${tasks[k]?.system} at ${tasks[k]?.load}`)
  return [...groups.values()].flatMap((members) =>
    rowsOf(
      members.map((k) => tasks[k]).filter((task) => task !== undefined),
      members.map((k) => measured[k] ?? []),
    ),
  )
}

/** The rows that are too far from theory, or are no number at all. */
export function rowsOff(rows: readonly ValidationRow[]): readonly ValidationRow[] {
  return rows.filter(({ z }) => !(Math.abs(z) < Z_MAX))
}

/** The rows whose standard error a full run would not leave. */
export function rowsCoarse(rows: readonly ValidationRow[]): readonly ValidationRow[] {
  return rows.filter(({ standardError, standardErrorMax }) => !(standardError <= standardErrorMax))
}

function rowsOf(tasks: readonly ValidationTask[], measured: readonly (readonly Batches[])[]): ValidationRow[] {
  const [task] = tasks
  assert(task !== undefined, 'a group of tasks is not empty')
  const { system, load, length } = task
  return systemOf(system)
    .theory(load)
    .map(({ quantity, theory }, k) => {
      const runs = measured.map((rows) => rows[k]).filter((run) => run !== undefined)
      const { mean, standardError, batches } = estimate(runs)
      return {
        system,
        load,
        quantity,
        theory,
        simulated: mean,
        standardError,
        z: (mean - theory) / standardError,
        standardErrorMax: relativeErrorMax(load) * theory,
        batches,
        arrivals: tasks.length * length.batches * length.batchArrivals,
        seeds: tasks.map(({ seed }) => seed),
      }
    })
}

/** Close to saturation a percent would cost an hour. */
function relativeErrorMax(load: number): number {
  return isHeavy(load) ? 0.03 : 0.01
}

function isHeavy(load: number): boolean {
  return load >= 0.95
}

/** Which part of its bound an error aims at: errors are estimates too, and from fewer batches where the load is heavy. */
const AIM = { usual: 0.8, heavy: 0.7 } as const

function systemOf(name: string): System {
  const system = SYSTEMS.find((candidate) => candidate.name === name)
  assert(system !== undefined, `there is no system ${name}`)
  return system
}
