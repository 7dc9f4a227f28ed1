import type { LengthCells } from './cells.ts'
import { allenCunneen, type Wait, waitTail } from './queueing.ts'
import type { Scenario } from './scenario.ts'
import type { Roles } from './split.ts'

/** What queueing needs to know of one threshold, summed once and used for every assignment of roles and rate. */
export interface QueueView {
  readonly cells: LengthCells
  /** Cells before this index stay, the others are offloaded. */
  readonly firstOffloaded: number
  readonly thresholdTokens: number
  readonly offloadedRatio: number
  readonly remote: ServiceMoments
  readonly local: ServiceMoments
  /** E[S_kv; L > t], bytes for each request of the whole stream. */
  readonly kvBytesPerRequest: number
}

interface ServiceMoments {
  /** E[S] and E[S^2] of the requests on this side; 0 without any. */
  readonly meanSeconds: number
  readonly secondMoment: number
}

/** The view of the threshold at `ends[firstOffloaded - 1]`, or of 0 (everything offloaded). */
export function queueView(cells: LengthCells, firstOffloaded: number): QueueView {
  const { ends, offloaded, kept } = cells
  return {
    cells,
    firstOffloaded,
    thresholdTokens: firstOffloaded === 0 ? 0 : (ends[firstOffloaded - 1] ?? 0),
    offloadedRatio: offloaded.mass[firstOffloaded] ?? 0,
    remote: serviceMoments(offloaded, firstOffloaded),
    local: serviceMoments(kept, firstOffloaded),
    kvBytesPerRequest: offloaded.kvBytes[firstOffloaded] ?? 0,
  }
}

function serviceMoments(sums: LengthCells['kept'], firstOffloaded: number): ServiceMoments {
  const mass = sums.mass[firstOffloaded] ?? 0
  if (mass <= 0) return { meanSeconds: 0, secondMoment: 0 }
  return {
    meanSeconds: (sums.seconds[firstOffloaded] ?? 0) / mass,
    secondMoment: (sums.squaredSeconds[firstOffloaded] ?? 0) / mass,
  }
}

interface Waits {
  readonly remote: Wait
  readonly local: Wait
  /** Share of the link that is busy: a transfer lasts 1 / (1 - load) times as long as alone (processor sharing). */
  readonly linkLoad: number
}

const NO_WAIT: Wait = { probability: 0, decayPerSecond: Number.POSITIVE_INFINITY }

/** Waits at a system rate, or null when a stage cannot keep up with it. */
function waitsAt(scenario: Scenario, view: QueueView, roles: Roles, rateRps: number): Waits | null {
  const remote = poolWait(scenario, rateRps, view.offloadedRatio, roles.remotePrefill, view.remote)
  const local = poolWait(scenario, rateRps, 1 - view.offloadedRatio, roles.localPrefill, view.local)
  const linkLoad = (rateRps * view.kvBytesPerRequest) / scenario.link.bytesPerSecond
  return remote === null || local === null || linkLoad >= 1 ? null : { remote, local, linkLoad }
}

/** One side's wait. A share too small to be anything but rounding has no queue. */
function poolWait(
  scenario: Scenario,
  rateRps: number,
  share: number,
  servers: number,
  moments: ServiceMoments,
): Wait | null {
  if (share <= 1e-12 || rateRps <= 0) return NO_WAIT
  if (servers === 0) return null
  // ASSUMPTION: burst-splitting.
  const burstiness = 1 + share * (scenario.burstiness - 1)
  return allenCunneen({ servers, rateRps: rateRps * share, burstiness, ...moments })
}

/**
 * P(TTFT > seconds): the wait, then prefill, then the transfer on a link that others use too. Adding up stops once the
 * sum is above `enough`. Longest requests first, because most questions are answered by them alone.
 */
function ttftTail(view: QueueView, waits: Waits, seconds: number, enough: number): number {
  const { weights, localPrefillSeconds, remotePrefillSeconds, transferSeconds } = view.cells
  const stretch = 1 / (1 - waits.linkLoad)
  let tail = 0
  for (let k = weights.length - 1; k >= view.firstOffloaded && tail <= enough; k--) {
    const service = (remotePrefillSeconds[k] ?? 0) + (transferSeconds[k] ?? 0) * stretch
    tail += (weights[k] ?? 0) * waitTail(waits.remote, seconds - service)
  }
  for (let k = view.firstOffloaded - 1; k >= 0 && tail <= enough; k--) {
    tail += (weights[k] ?? 0) * waitTail(waits.local, seconds - (localPrefillSeconds[k] ?? 0))
  }
  return tail
}

/** The share of requests that may miss a P90 bound. */
const LATE_MAX = 0.1

/** Whether every stage keeps up with the rate and P90 TTFT meets the bound, if there is one. */
export function meetsTtft(scenario: Scenario, view: QueueView, roles: Roles, rateRps: number): boolean {
  const waits = waitsAt(scenario, view, roles, rateRps)
  if (waits === null) return false
  const bound = scenario.slo.ttftSecondsP90
  return bound === null || ttftTail(view, waits, bound, LATE_MAX) <= LATE_MAX
}

/**
 * P90 TTFT with queueing at a rate, seconds, to a relative `precision`; null when a stage cannot keep up. Above
 * `secondsMax` it is infinite: who looks for the least need not know by how much another is larger.
 */
export function queuedTtftP90(
  scenario: Scenario,
  view: QueueView,
  roles: Roles,
  rateRps: number,
  {
    precision = 1e-9,
    secondsMax = Number.POSITIVE_INFINITY,
  }: { readonly precision?: number; readonly secondsMax?: number } = {},
): number | null {
  const waits = waitsAt(scenario, view, roles, rateRps)
  if (waits === null) return null
  let [low, high] = [0, 1]
  const isLate = (seconds: number): boolean => ttftTail(view, waits, seconds, LATE_MAX) > LATE_MAX
  if (secondsMax !== Number.POSITIVE_INFINITY && isLate(secondsMax)) return Number.POSITIVE_INFINITY
  while (isLate(high)) high *= 2
  for (let step = 0; step < 60 && high - low > precision * high; step++) {
    const middle = (low + high) / 2
    if (isLate(middle)) low = middle
    else high = middle
  }
  return high
}

export interface RateLimits {
  readonly rateMaxRps: number
  /** Relative. */
  readonly precision: number
  /** A rate that is known to meet the bound; 0 when none is. */
  readonly metRps: number
}

/** The largest rate up to `rateMaxRps` that meets the bound; 0 when not even an empty system does. */
export function feasibleRate(scenario: Scenario, view: QueueView, roles: Roles, limits: RateLimits): number {
  const { rateMaxRps, precision, metRps } = limits
  if (metRps === 0 && !meetsTtft(scenario, view, roles, 0)) return 0
  if (meetsTtft(scenario, view, roles, rateMaxRps)) return rateMaxRps
  const bracket = bracketRate(scenario, view, roles, limits)
  let [low, high] = [0, rateMaxRps]
  while (high - low > precision * high) {
    const middle = (low + high) / 2
    if (middle <= bracket.met || (middle < bracket.missed && meetsTtft(scenario, view, roles, middle))) low = middle
    else high = middle
  }
  return low
}

const FALSE_POSITIONS_MAX = 12

/**
 * HOT: a rate that meets the bound and one that misses it, close together. False position (the Illinois rule) asks a
 * third of a bisection's questions, each a sum over all cells. It only settles questions in advance: the bisection
 * after it ends where it would have ended alone, however well this went. Budget: 8 questions.
 */
function bracketRate(
  scenario: Scenario,
  view: QueueView,
  roles: Roles,
  { rateMaxRps, precision, metRps }: RateLimits,
): { readonly met: number; readonly missed: number } {
  const excessAt = (rateRps: number): number => lateShare(scenario, view, roles, rateRps) - LATE_MAX
  let [met, missed] = [metRps, rateMaxRps]
  let [excessMet, excessMissed] = [excessAt(met), excessAt(missed)]
  let last: 'met' | 'missed' | null = null
  for (let step = 0; step < FALSE_POSITIONS_MAX && missed - met > (precision / 4) * missed; step++) {
    // Where a rate is known, the answer is most often less than a thousandth above it.
    const isFirst = step === 0 && metRps > 0 && metRps * 1.001 < rateMaxRps
    const rate = isFirst ? metRps * 1.001 : met + ((missed - met) * excessMet) / (excessMet - excessMissed)
    const excess = excessAt(rate)
    // An end that stays twice counts for half from then on, or the other end would creep.
    if (excess > 0) {
      if (last === 'missed') excessMet /= 2
      ;[missed, excessMissed, last] = [rate, excess, 'missed']
    } else {
      if (last === 'met') excessMissed /= 2
      ;[met, excessMet, last] = [rate, excess, 'met']
    }
  }
  return { met, missed }
}

/** P(TTFT > bound); everything is late where a stage cannot keep up, and nothing where there is no bound. */
function lateShare(scenario: Scenario, view: QueueView, roles: Roles, rateRps: number): number {
  const waits = waitsAt(scenario, view, roles, rateRps)
  if (waits === null) return 1
  const bound = scenario.slo.ttftSecondsP90
  return bound === null ? 0 : ttftTail(view, waits, bound, Number.POSITIVE_INFINITY)
}
