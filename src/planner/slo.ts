import { bytesPerSecondFromGbps } from '../core/units.ts'
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
  const { weights, ends } = cells
  let offloadedRatio = 0
  let kvBytesPerRequest = 0
  for (let k = firstOffloaded; k < ends.length; k++) {
    offloadedRatio += weights[k] ?? 0
    kvBytesPerRequest += (weights[k] ?? 0) * (cells.kvBytes[k] ?? 0)
  }
  return {
    cells,
    firstOffloaded,
    thresholdTokens: firstOffloaded === 0 ? 0 : (ends[firstOffloaded - 1] ?? 0),
    offloadedRatio,
    remote: serviceMoments(weights, cells.remotePrefillSeconds, firstOffloaded, ends.length),
    local: serviceMoments(weights, cells.localPrefillSeconds, 0, firstOffloaded),
    kvBytesPerRequest,
  }
}

function serviceMoments(weights: Float64Array, seconds: Float64Array, from: number, to: number): ServiceMoments {
  let [mass, first, second] = [0, 0, 0]
  for (let k = from; k < to; k++) {
    const [weight, value] = [weights[k] ?? 0, seconds[k] ?? 0]
    mass += weight
    first += weight * value
    second += weight * value * value
  }
  return mass > 0 ? { meanSeconds: first / mass, secondMoment: second / mass } : { meanSeconds: 0, secondMoment: 0 }
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
  const linkLoad = (rateRps * view.kvBytesPerRequest) / bytesPerSecondFromGbps(scenario.link.gbps)
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
 * Whether P(TTFT > seconds) is above the limit: the wait, then prefill, then the transfer on a link that others use
 * too. Longest requests first, because most questions are answered by them alone.
 */
function tailExceeds(view: QueueView, waits: Waits, seconds: number, limit: number): boolean {
  const { weights, localPrefillSeconds, remotePrefillSeconds, transferSeconds } = view.cells
  const stretch = 1 / (1 - waits.linkLoad)
  let tail = 0
  for (let k = weights.length - 1; k >= view.firstOffloaded && tail <= limit; k--) {
    const service = (remotePrefillSeconds[k] ?? 0) + (transferSeconds[k] ?? 0) * stretch
    tail += (weights[k] ?? 0) * waitTail(waits.remote, seconds - service)
  }
  for (let k = view.firstOffloaded - 1; k >= 0 && tail <= limit; k--) {
    tail += (weights[k] ?? 0) * waitTail(waits.local, seconds - (localPrefillSeconds[k] ?? 0))
  }
  return tail > limit
}

/** Whether every stage keeps up with the rate and P90 TTFT meets the bound, if there is one. */
export function meetsTtft(scenario: Scenario, view: QueueView, roles: Roles, rateRps: number): boolean {
  const waits = waitsAt(scenario, view, roles, rateRps)
  if (waits === null) return false
  const bound = scenario.slo.ttftSecondsP90
  return bound === null || !tailExceeds(view, waits, bound, 0.1)
}

/** P90 TTFT with queueing at a rate, seconds; null when a stage cannot keep up. */
export function queuedTtftP90(scenario: Scenario, view: QueueView, roles: Roles, rateRps: number): number | null {
  const waits = waitsAt(scenario, view, roles, rateRps)
  if (waits === null) return null
  let [low, high] = [0, 1]
  while (tailExceeds(view, waits, high, 0.1)) high *= 2
  for (let step = 0; step < 60 && high - low > 1e-9 * high; step++) {
    const middle = (low + high) / 2
    if (tailExceeds(view, waits, middle, 0.1)) low = middle
    else high = middle
  }
  return high
}

/** The largest rate up to `rateMaxRps` that meets the bound, to a relative `precision`; 0 when not even an empty system does. */
export function feasibleRate(
  scenario: Scenario,
  view: QueueView,
  roles: Roles,
  { rateMaxRps, precision }: { readonly rateMaxRps: number; readonly precision: number },
): number {
  if (!meetsTtft(scenario, view, roles, 0)) return 0
  if (meetsTtft(scenario, view, roles, rateMaxRps)) return rateMaxRps
  let [low, high] = [0, rateMaxRps]
  while (high - low > precision * high) {
    const middle = (low + high) / 2
    if (meetsTtft(scenario, view, roles, middle)) low = middle
    else high = middle
  }
  return low
}
