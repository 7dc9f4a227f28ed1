import { randomInt } from 'node:crypto'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import {
  FIXED_SEEDS,
  FULL,
  QUICK,
  rowsCoarse,
  rowsOff,
  taskArrivals,
  type ValidationOptions,
  type ValidationRow,
  validationRows,
  type ValidationTask,
  validationTasks,
  Z_MAX,
} from '../planner/validate.ts'
import type { Batches } from '../planner/validate-statistics.ts'
import { bad, figure, good, percent, printJson, printNotes, printText, printWarnings, table } from './print.ts'
import { showProgress } from './progress.ts'
import { type GlobalFlags, onRun, SELF } from './run-command.ts'
import { whole } from './numbers.ts'
import { defaultWorkers, runOnThreads, workerFile } from './worker-pool.ts'

interface ValidateFlags extends GlobalFlags {
  readonly seed?: number
  readonly quick?: boolean
  readonly workers: number
}

export function defineValidate(command: Command): void {
  command
    .description(
      `the simulator's pools and link against queueing theory; exit 1 when a row is ${Z_MAX} standard errors off, or a full run leaves an error above its bound`,
    )
    .option('--seed <n>', `the fourth seed, beside ${FIXED_SEEDS.join(', ')} (default: a fresh one, printed)`, whole)
    .option('--quick', 'a tenth of the work: a few seconds, errors about three times as wide, loads up to 0.95')
    .option('--workers <n>', 'threads; the rows do not depend on them', whole, defaultWorkers())
  onRun<ValidateFlags>(command, async (flags) => {
    checkFlags(flags)
    const seed = flags.seed ?? freshSeed()
    printNotes([seedNote(flags, seed)])
    const options = { ...(flags.quick === true ? QUICK : FULL), seeds: [...FIXED_SEEDS, seed] }
    const rows = await runRows(options, flags.workers)
    const off = rowsOff(rows)
    const coarse = rowsCoarse(rows)
    if (flags.json === true) printJson(rows)
    else printText(`${rowsTable(rows)}\n\n${verdict(rows, off)}`)
    if (coarse.length > 0) printWarnings([coarseWarning(coarse, flags)])
    if (off.length > 0 || (flags.quick !== true && coarse.length > 0)) process.exitCode = 1
  })
}

function checkFlags({ workers, seed }: ValidateFlags): void {
  if (workers < 1 || workers > LIMITS.workersMax) {
    const found = `--workers must be from 1 to ${LIMITS.workersMax}, found ${workers}.`
    throw new MembraneError('INVALID_REQUEST', found)
  }
  if (seed !== undefined && FIXED_SEEDS.includes(seed)) {
    throw new MembraneError('INVALID_REQUEST', `--seed must not be ${seed}, which is one of the fixed seeds.`, {
      remedy: 'The same run twice would make the errors look smaller than they are.',
    })
  }
}

/** Never one of the fixed ones, which would count the same runs twice. */
function freshSeed(): number {
  return randomInt(Math.max(...FIXED_SEEDS) + 1, 2 ** 32)
}

function seedNote({ seed, quick }: ValidateFlags, used: number): string {
  if (seed !== undefined) return `Seeds ${FIXED_SEEDS.join(', ')} and ${used}.`
  const again = `${SELF} validate${quick === true ? ' --quick' : ''} --seed ${used}`
  return `Seeds ${FIXED_SEEDS.join(', ')} and, fresh, ${used}; the same again: ${again}`
}

async function runRows(options: ValidationOptions, workers: number): Promise<readonly ValidationRow[]> {
  const tasks = validationTasks(options)
  const progress = showProgress('validating')
  try {
    const measured = await runOnThreads<ValidationTask, readonly Batches[]>(
      tasks.map((task) => ({ task, cost: taskArrivals(task) })),
      { url: workerFile(new URL('./validate-worker.ts', import.meta.url)), workers, onProgress: progress.update },
    )
    return validationRows(tasks, measured)
  } finally {
    progress.end()
  }
}

function rowsTable(rows: readonly ValidationRow[]): string {
  return table(
    ['system', 'load', 'quantity', 'theory', 'simulated', 'error', 'z'],
    rows.map(({ system, load, quantity, theory, simulated, standardError, standardErrorMax, z }) => [
      system,
      String(load),
      quantity,
      theory.toPrecision(4),
      simulated.toPrecision(4),
      `${((100 * standardError) / theory).toFixed(2)} %${standardError <= standardErrorMax ? '' : ' (wide)'}`,
      z.toFixed(2),
    ]),
  )
}

function verdict(rows: readonly ValidationRow[], off: readonly ValidationRow[]): string {
  if (off.length > 0) return bad(`${off.length} of ${rows.length} rows are ${Z_MAX} standard errors or more off.`)
  const largest = Math.max(...rows.map(({ z }) => Math.abs(z)))
  return good(
    `All ${rows.length} rows are within ${Z_MAX} standard errors of theory; the largest is ${figure(largest)}.`,
  )
}

function coarseWarning(coarse: readonly ValidationRow[], { quick }: ValidateFlags): string {
  const widest = Math.max(...coarse.map(({ standardError, theory }) => standardError / theory))
  const rows = `The standard errors of ${coarse.length} rows are wider than their bounds, up to ${percent(widest)} of theory`
  return quick === true ? `${rows}: this was the quick run.` : `${rows}.`
}
