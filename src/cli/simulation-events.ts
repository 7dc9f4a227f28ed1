import type { TimedEvent } from '../planner/sim-options.ts'
import { short, whole } from './report-numbers.ts'
import { timeText } from './simulation-axis.ts'
import { NUMBERED_MAX } from './simulation-layers.ts'
import type { SimulatedRun } from './simulation-page.ts'

/** What happened to the deployment during the runs. */

/** Of all runs, each once, in order of time. */
export function eventsOf(runs: readonly Pick<SimulatedRun, 'options'>[]): readonly TimedEvent[] {
  const byText = new Map(
    runs.flatMap(({ options }) => options.events ?? []).map((event) => [JSON.stringify(event), event]),
  )
  return [...byText.values()].sort((a, b) => a.atSeconds - b.atSeconds)
}

const POOLS = { remotePrefill: 'remote prefill', localPrefill: 'local prefill', decode: 'decode' } as const

/** Numbered as on the time axis; more than have numbers there are only counted. */
export function eventsText(events: readonly TimedEvent[], endSeconds: number): string {
  const texts = events.slice(0, NUMBERED_MAX).map((event, k) => {
    const what =
      event.kind === 'link'
        ? `the link has ${short(event.gbps)} Gbps`
        : `${whole(event.instances)} ${POOLS[event.pool]} ${event.kind === 'lose' ? 'lost' : 'back'}`
    return `(${k + 1}) ${timeText(event.atSeconds, endSeconds)}: ${what}`
  })
  const more = events.length > NUMBERED_MAX ? `; and ${whole(events.length - NUMBERED_MAX)} more` : ''
  return `${texts.join('; ')}${more}.`
}
