/** What an engine's bounds are: as given, or told from observed requests, or by default; and which of these it was. */
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions } from './engine-options.ts'
import type { ObservedRequests } from './observed-requests.ts'

/** Bounds that the user knows; what is left out is told from the data or taken by default. */
export type KnownEngine = { readonly [Name in keyof EngineOptions]?: EngineOptions[Name] | undefined }

/** How a bound is known. */
export type LimitOrigin = 'given' | 'told from the data' | 'default'

export interface EngineBounds {
  readonly options: EngineOptions
  readonly origins: Readonly<Record<keyof EngineOptions, LimitOrigin>>
}

/** Slots are full when this share of the most that ever decoded at once do; they fall short of it while one is refilled. */
const FULL_SHARE = 0.9

/** Slots bound an engine that is full for this share of the time in which somebody waits. */
const WAITING_SHARE = 0.5

/** Looks at the outcomes of the first `count` requests alone. Lockstep is for the fit to decide: see `calibrate`. */
export function engineBounds(observed: ObservedRequests, count: number, known: KnownEngine): EngineBounds {
  const { sequencesMax, batchTokensMax, kvTokensMax, replicas, isLockstep, stepsInFlight } = known
  const defaults = DEFAULT_ENGINE_OPTIONS
  const replicaCount = replicas ?? defaults.replicas
  const told = sequencesMax === undefined ? toldSlots(observed, count, replicaCount) : null
  const origin = (value: unknown): LimitOrigin => (value === undefined ? 'default' : 'given')
  return {
    options: {
      sequencesMax: sequencesMax ?? told ?? defaults.sequencesMax,
      batchTokensMax: batchTokensMax ?? defaults.batchTokensMax,
      kvTokensMax: kvTokensMax ?? defaults.kvTokensMax,
      replicas: replicaCount,
      isLockstep: isLockstep ?? defaults.isLockstep,
      stepsInFlight: stepsInFlight ?? defaults.stepsInFlight,
    },
    origins: {
      sequencesMax: told === null ? origin(sequencesMax) : 'told from the data',
      batchTokensMax: origin(batchTokensMax),
      kvTokensMax: origin(kvTokensMax),
      replicas: origin(replicas),
      isLockstep: origin(isLockstep),
      stepsInFlight: origin(stepsInFlight),
    },
  }
}

/** Slots of one replica: the most that decoded at once, if others waited meanwhile or it is more than the default. */
function toldSlots(observed: ObservedRequests, count: number, replicas: number): number | null {
  const spans = occupancy(observed, count)
  const peak = spans.reduce((most, { seconds, decoding }) => (seconds > 0 ? Math.max(most, decoding) : most), 0)
  const waitingSpans = spans.filter(({ waiting }) => waiting > 0)
  const waitingSeconds = totalSeconds(waitingSpans)
  const fullSeconds = totalSeconds(waitingSpans.filter(({ decoding }) => decoding >= FULL_SHARE * peak))
  // No replicas at all are refused by the simulation, in better words.
  const slots = Math.ceil(peak / Math.max(1, replicas))
  // One at a time is also what prompts look like that leave no room to decode.
  const isBound = peak > 1 && waitingSeconds > 0 && fullSeconds >= WAITING_SHARE * waitingSeconds
  return isBound || slots > DEFAULT_ENGINE_OPTIONS.sequencesMax ? slots : null
}

/** A time in which the same number waited for a first token, and the same number had one and waited for more. */
interface Occupancy {
  readonly seconds: number
  readonly waiting: number
  readonly decoding: number
}

function occupancy(observed: ObservedRequests, count: number): readonly Occupancy[] {
  const changes: { readonly atSeconds: number; readonly waiting: number; readonly decoding: number }[] = []
  for (let job = 0; job < count; job++) {
    const first = observed.firstTokenSeconds[job] ?? 0
    changes.push({ atSeconds: observed.arrivalSeconds[job] ?? 0, waiting: 1, decoding: 0 })
    changes.push({ atSeconds: first, waiting: -1, decoding: 1 })
    changes.push({ atSeconds: observed.lastTokenSeconds[job] ?? first, waiting: 0, decoding: -1 })
  }
  // At one time those who leave go first: a slot is not in use twice.
  changes.sort((one, other) => one.atSeconds - other.atSeconds || one.decoding - other.decoding)
  let waiting = 0
  let decoding = 0
  return changes.map((change, index) => {
    waiting += change.waiting
    decoding += change.decoding
    return { seconds: (changes[index + 1]?.atSeconds ?? change.atSeconds) - change.atSeconds, waiting, decoding }
  })
}

function totalSeconds(spans: readonly Occupancy[]): number {
  return spans.reduce((sum, { seconds }) => sum + seconds, 0)
}
