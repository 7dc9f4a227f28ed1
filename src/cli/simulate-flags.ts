import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { ARRIVAL_KINDS } from '../planner/arrivals.ts'
import { ROUTINGS, SCHEDULERS } from '../planner/sim-options.ts'
import { number, whole } from './numbers.ts'
import { defaultWorkers } from './worker-pool.ts'

/** What the simulating commands have in common. */
export interface SimulationFlags {
  readonly requests?: number
  readonly seed: string
  readonly threshold?: number
  readonly localPrefill?: number
  readonly arrivals?: string
  readonly routing?: string
  readonly scheduler?: string
  readonly transfer?: string
  readonly layers?: number
  readonly rttMs?: number
  readonly flowGbpsMax?: number
  readonly stagingGigabytes?: number
  readonly replications?: number
  readonly workers?: number
  readonly html?: string
  readonly chromeTrace?: string
  readonly timelines?: number
}

/** No flag has a default here, so that one that would be ignored is known to be given. */
export function addSimulationFlags(
  command: Command,
  { hasPages }: { readonly hasPages: boolean } = { hasPages: true },
): Command {
  addRunFlags(command)
  if (!hasPages) return command
  return command
    .optionsGroup('Output:')
    .option('--html <file>', 'write a page: knee curve, distributions, queues, link and threshold over time')
    .option('--chrome-trace <file>', 'write single requests for chrome://tracing and Perfetto')
    .option('--timelines <n>', `how many requests --chrome-trace shows (default ${DEFAULT_TIMELINES})`, whole)
}

export const DEFAULT_TIMELINES = 1000
/** As in simulation files. */
export const DEFAULT_LAYERS = 60

function addRunFlags(command: Command): void {
  command
    .optionsGroup('Run:')
    .option('--requests <n>', 'how many requests arrive', whole)
    .option('--seed <n>', 'the same seed gives the same numbers', '1')
    .option('--replications <n>', 'independent runs that share the requests (default: by their number)', whole)
    .option('--workers <n>', 'threads; the numbers do not depend on them (default: one a processor)', whole)
    .optionsGroup('Scheduler and network:')
    .option(
      '--scheduler <kind>',
      `${SCHEDULERS.join(', ')}: dual-timescale, a fixed threshold, or no look at lengths (default fixed)`,
    )
    .option('--routing <kind>', `${ROUTINGS.join(', ')} (default threshold)`)
    .option('--threshold <n>', 'uncached tokens above which prompts are offloaded (default: the best one)', whole)
    .option('--local-prefill <n>', 'local instances that prefill (default: the best split)', whole)
    .option(
      '--arrivals <kind>',
      `${ARRIVAL_KINDS.join(', ')}; --burstiness shapes gamma and weibull (default poisson, gamma with a burstiness)`,
    )
    .option('--transfer <mode>', 'after-prefill, or layerwise: KV crosses the link while it is computed')
    .option(
      '--layers <n>',
      `layers whose KV is sent one by one, with --transfer layerwise (default ${DEFAULT_LAYERS})`,
      whole,
    )
    .option('--rtt-ms <n>', 'round trip between the clusters (default 0)', number)
    .option('--flow-gbps-max <n>', 'bandwidth of one transfer at most', number)
    .option('--staging-gigabytes <n>', 'memory for KV that waits for a decode slot, 10^9 bytes', number)
}

/** One of a closed list, or INVALID_REQUEST that names it. */
export function choice<T extends string>(flag: string, value: string | undefined, known: readonly T[]): T | undefined {
  if (value === undefined) return undefined
  const found = known.find((name) => name === value)
  if (found !== undefined) return found
  throw new MembraneError('INVALID_REQUEST', `${flag} must be one of ${known.join(', ')}, found "${value}".`)
}

/** A seed is a whole number; anything else would silently be another run. */
export function parseSeed(text: string): number {
  const seed = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(seed)) return seed
  throw new MembraneError('INVALID_REQUEST', `--seed must be a whole number of at least 0, found "${text}".`)
}

export function workersOf({ workers }: SimulationFlags): number {
  return bounded('--workers', workers ?? Math.min(defaultWorkers(), LIMITS.workersMax), LIMITS.workersMax)
}

export function bounded(flag: string, value: number, most: number): number {
  if (value >= 1 && value <= most) return value
  throw new MembraneError('INVALID_REQUEST', `${flag} must be from 1 to ${most}, found ${value}.`)
}
