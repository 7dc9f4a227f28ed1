import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { ARRIVAL_KINDS, type ArrivalKind } from '../planner/arrivals.ts'
import type { Scenario } from '../planner/scenario.ts'
import type { RoutingKind, SchedulerKind, TimedEvent } from '../planner/sim-options.ts'
import { checkOutputs } from './output-file.ts'
import { refuseGiven } from './refused-flags.ts'
import type { ScenarioFlags } from './scenario-flags.ts'
import { choice, type SimulationFlags } from './simulate-flags.ts'

/** What is looked at before a simulation starts: flags that nothing would come of, and files that cannot be written. */
export async function checkSimulationFlags(flags: SimulationFlags): Promise<void> {
  if (flags.chromeTrace === undefined)
    refuseGiven(flags, ['timelines'], 'needs --chrome-trace, whose requests it counts')
  await checkOutputs([
    { flag: '--html', path: flags.html },
    { flag: '--chrome-trace', path: flags.chromeTrace },
  ])
}

/** Only the paper's routing looks at a threshold, only costs need prices, and a blind router does neither. */
export function checkRouting(
  scenario: Scenario,
  flags: Pick<SimulationFlags, 'routing' | 'threshold'>,
  { routing, scheduler }: { readonly routing: RoutingKind; readonly scheduler: SchedulerKind | 'all' },
): void {
  if (scheduler === 'off') {
    if (flags.routing !== 'threshold')
      refuseGiven(flags, ['routing'], 'does not go with --scheduler off, which routes by chance')
    refuseGiven(flags, ['threshold'], 'does not go with --scheduler off, which does not look at lengths')
  }
  if (routing !== 'threshold')
    refuseGiven(flags, ['threshold'], `does not go with --routing ${routing}, which has no threshold`)
  const { remote, local } = scenario
  const missing = [
    ...(remote.pricePerGpuHour === null ? ['--remote-price (remote.pricePerGpuHour)'] : []),
    ...(local.pricePerGpuHour === null ? ['--local-price (local.pricePerGpuHour)'] : []),
  ]
  if (routing !== 'economic' || missing.length === 0) return
  throw new MembraneError(
    'INVALID_REQUEST',
    `Economic routing compares the prices of both clusters' GPU-hours, missing ${missing.join(' and ')}.`,
    { remedy: 'Give the flag, or the field in the configuration.' },
  )
}

/** A burstiness shapes gamma gaps unless others are asked for; beside Poisson arrivals it would be ignored. */
export function arrivalsOf(
  { arrivals, burstiness }: Pick<SimulationFlags & ScenarioFlags, 'arrivals' | 'burstiness'>,
  scenario: Scenario,
): ArrivalKind {
  const kind = choice('--arrivals', arrivals, ARRIVAL_KINDS)
  if (kind === 'poisson' && burstiness !== 1)
    refuseGiven({ burstiness }, ['burstiness'], 'does not go with --arrivals poisson, whose burstiness is 1')
  return kind ?? (scenario.burstiness === 1 ? 'poisson' : 'gamma')
}

/** A threshold in tokens: 0 sends everything that fits over the link, the bound nothing. */
export function checkThreshold(flag: string, value: number | undefined): number | undefined {
  if (value === undefined || (value >= 0 && value <= LIMITS.requestTokensMax)) return value
  throw new MembraneError(
    'INVALID_REQUEST',
    `${flag}: values must be at least 0 and at most ${LIMITS.requestTokensMax} tokens, found ${value}.`,
  )
}

/** Events that a run may end before. */
export function lateEvents(events: readonly TimedEvent[], durationSeconds: number): string[] {
  const late = events.filter(({ atSeconds }) => atSeconds >= durationSeconds)
  const [first] = late
  if (first === undefined) return []
  const count = late.length === 1 ? 'one event comes' : `${late.length} events come`
  return [
    `${count} at or after the end of arrivals at ${durationSeconds} s, the first (${first.kind}) at ${first.atSeconds} s: little or nothing will be seen of it.`,
  ]
}
