/** A check of `membrane doctor`: what was looked at, how it is, and what to do when it is not well. */
import { MembraneError } from '../core/errors.ts'

export interface CheckResult {
  readonly name: string
  /** A warning is worth a look; only what failed makes the command fail. */
  readonly state: 'ok' | 'warning' | 'failed'
  /** What was found, with units. */
  readonly found: string
  /** What to do about it; null when it is well. */
  readonly remedy: string | null
}

/** What a check finds. */
export type Finding = Omit<CheckResult, 'name'>

export interface Check {
  readonly name: string
  /** What it throws is a failure; it has to end when the signal aborts. */
  readonly run: (signal: AbortSignal) => Promise<Finding>
}

/** A part that does not answer for so long is not well. */
const CHECK_MS_MAX = 30_000

export function ok(found: string): Finding {
  return { state: 'ok', found, remedy: null }
}

export function warning(found: string, remedy: string): Finding {
  return { state: 'warning', found, remedy }
}

export function failed(found: string, remedy: string): Finding {
  return { state: 'failed', found, remedy }
}

/** One after the other: what they measure is theirs. */
export async function runChecks(
  checks: readonly Check[],
  onResult: (result: CheckResult) => void,
  timeoutMs = CHECK_MS_MAX,
): Promise<readonly CheckResult[]> {
  const results: CheckResult[] = []
  for (const { name, run } of checks) {
    const result = { name, ...(await findingOf(run, timeoutMs)) }
    results.push(result)
    onResult(result)
  }
  return results
}

async function findingOf(run: Check['run'], timeoutMs: number): Promise<Finding> {
  const cancel = new AbortController()
  const { promise: timeout, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const error = new MembraneError('DEADLINE_EXCEEDED', `It did not answer within ${timeoutMs / 1000} s.`, {
      remedy: 'Check that it is not stopped or overloaded.',
    })
    cancel.abort(error)
    reject(error)
  }, timeoutMs)
  try {
    return await Promise.race([run(cancel.signal), timeout])
  } catch (error) {
    return findingOfError(error)
  } finally {
    clearTimeout(timer)
  }
}

function findingOfError(error: unknown): Finding {
  if (error instanceof MembraneError)
    return failed(error.message, error.remedy ?? 'Look at the log of the server, under the time of this check.')
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
  return failed(
    `${error instanceof Error ? error.message : String(error)}${code}`,
    'Check the address, and that something listens there.',
  )
}
