import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { type ValidationRow, validationRows } from '../planner/validate.ts'
import { bad, good, printJson, printText, table } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { whole } from './scenario-flags.ts'

interface ValidateFlags extends GlobalFlags {
  readonly seed: number
  readonly arrivals: number
}

/** A row this many standard errors off is a failure: by chance alone one in sixteen thousand. */
const Z_MAX = 4

export function defineValidate(command: Command): void {
  command
    .description(
      "the simulator's queues, link and loss against queueing theory; exit 1 when any is 4 standard errors off",
    )
    .option('--seed <n>', 'the same seed gives the same rows', whole, 1)
    .option('--arrivals <n>', 'arrivals of each run: the error falls with their square root', whole, 200_000)
  onRun<ValidateFlags>(command, async ({ seed, arrivals, json }) => {
    if (arrivals < 1000 || arrivals > LIMITS.validationArrivalsMax) {
      throw new MembraneError(
        'INVALID_REQUEST',
        `--arrivals must be from 1,000 to ${LIMITS.validationArrivalsMax.toLocaleString('en-US')}, found ${arrivals}.`,
      )
    }
    const rows = validationRows({ seed, arrivals })
    const failed = rows.filter(({ z }) => Math.abs(z) >= Z_MAX)
    if (json === true) printJson(rows)
    else printText(`${rowsTable(rows)}\n\n${verdict(rows.length, failed.length, seed)}`)
    if (failed.length > 0) process.exitCode = 1
  })
}

function rowsTable(rows: readonly ValidationRow[]): string {
  return table(
    ['system', 'load', 'quantity', 'theory', 'simulated', 'error', 'z'],
    rows.map(({ system, load, quantity, theory, simulated, standardError, z }) => [
      system,
      String(load),
      quantity,
      theory.toPrecision(4),
      simulated.toPrecision(4),
      `${((100 * standardError) / theory).toFixed(2)} %`,
      z.toFixed(2),
    ]),
  )
}

function verdict(rows: number, failed: number, seed: number): string {
  if (failed > 0) return bad(`${failed} of ${rows} rows are ${Z_MAX} standard errors or more off (seed ${seed}).`)
  return good(`All ${rows} rows are within ${Z_MAX} standard errors of theory (seed ${seed}).`)
}
