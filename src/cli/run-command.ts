import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { printJson } from './print.ts'

/** What to call this command in examples: the launcher of a checkout says what it is. */
export const SELF = process.env['MEMBRANE_COMMAND'] ?? 'membrane'

/** Flags that every command takes. */
export interface GlobalFlags {
  readonly json?: boolean
  readonly debug?: boolean
}

/** Exit codes: 0 done, 1 failed, 2 the question has no answer (INFEASIBLE). */
const EXIT_FAILED = 1
const EXIT_INFEASIBLE = 2

/** Says what went wrong in one sentence and what to do, without a stack unless asked; sets the exit code. */
function reportFailure(error: unknown, flags: GlobalFlags): void {
  process.exitCode = error instanceof MembraneError && error.code === 'INFEASIBLE' ? EXIT_INFEASIBLE : EXIT_FAILED
  if (!(error instanceof MembraneError)) {
    // Not ours: a bug, whose stack is what helps.
    process.stderr.write(
      `membrane: internal error, please report it. ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    if (flags.json === true)
      printJson({
        error: {
          code: 'INTERNAL',
          message: error instanceof Error ? error.message : String(error),
          remedy: null,
          details: {},
        },
      })
    return
  }
  process.stderr.write(`membrane: ${sentence(error.message)}${error.remedy === null ? '' : ` ${error.remedy}`}\n`)
  if (flags.debug === true) process.stderr.write(`${error.stack ?? ''}\n`)
  if (flags.json === true) {
    const { code, message, remedy, details } = error
    printJson({ error: { code, message, remedy, details } })
  }
}

function sentence(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`
}

/** Wires an action to a command: global flags merged in, failures reported, and JSON for those who asked for it. */
export function onRun<Flags extends GlobalFlags>(
  command: Command,
  action: (flags: Flags, args: readonly string[]) => Promise<void>,
): void {
  command.action(async () => {
    const flags = command.optsWithGlobals<Flags>()
    try {
      await action(flags, command.args)
    } catch (error) {
      reportFailure(error, flags)
    }
  })
}
