import type { Simulation } from './simulate.ts'

/** What a run looked like over time: one column each, averages over the interval that ends at `endSeconds`. */
export interface SimulationSeries {
  readonly endSeconds: number[]
  readonly arrivalsRps: number[]
  readonly completionsRps: number[]
  /** Requests that wait for a remote server, a local server, a decode slot: as they were at the end of the interval. */
  readonly remoteQueue: number[]
  readonly localQueue: number[]
  readonly slotQueue: number[]
  /** Transfers and prefix copies on the link, and KV that waits to be sent, at the end of the interval. */
  readonly transfers: number[]
  /** Share of the link's bandwidth that was used, and the bandwidth, 10^9 bit/s. */
  readonly linkUtilisation: number[]
  readonly linkGbps: number[]
  readonly remoteUtilisation: number[]
  readonly localUtilisation: number[]
  readonly thresholdTokens: number[]
  /** N_p as it is asked for. */
  readonly localPrefill: number[]
  /** Mean over the requests that finished in the interval; null when none did. */
  readonly ttftSecondsMean: (number | null)[]
}

/** Records a series by differences of the running totals, so that every interval is an exact average. */
export class SeriesRecorder {
  readonly series: SimulationSeries = {
    endSeconds: [],
    arrivalsRps: [],
    completionsRps: [],
    remoteQueue: [],
    localQueue: [],
    slotQueue: [],
    transfers: [],
    linkUtilisation: [],
    linkGbps: [],
    remoteUtilisation: [],
    localUtilisation: [],
    thresholdTokens: [],
    localPrefill: [],
    ttftSecondsMean: [],
  }
  #last: Totals = NOTHING
  #ttftSum = 0
  #ttftCount = 0

  finished(ttftSeconds: number): void {
    this.#ttftSum += ttftSeconds
    this.#ttftCount += 1
  }

  sample(simulation: Simulation, thresholdTokens: number): void {
    const totals = totalsOf(simulation)
    const last = this.#last
    const seconds = totals.seconds - last.seconds
    if (seconds <= 0) return
    const { series } = this
    series.endSeconds.push(totals.seconds)
    series.arrivalsRps.push((totals.arrived - last.arrived) / seconds)
    series.completionsRps.push((totals.completed - last.completed) / seconds)
    series.remoteQueue.push(simulation.remote.waiting)
    series.localQueue.push(simulation.local.waiting)
    series.slotQueue.push(simulation.waitingForSlot.count)
    series.transfers.push(simulation.link.flows.value + simulation.staging.waiting)
    series.linkUtilisation.push(share(totals.carried - last.carried, totals.capacity - last.capacity))
    series.linkGbps.push(((totals.capacity - last.capacity) * 8) / 1e9 / seconds)
    series.remoteUtilisation.push(share(totals.remoteBusy - last.remoteBusy, totals.remoteOpen - last.remoteOpen))
    series.localUtilisation.push(share(totals.localBusy - last.localBusy, totals.localOpen - last.localOpen))
    series.thresholdTokens.push(thresholdTokens)
    series.localPrefill.push(simulation.locals.prefillRoles)
    series.ttftSecondsMean.push(this.#ttftCount === 0 ? null : this.#ttftSum / this.#ttftCount)
    this.#last = totals
    this.#ttftSum = 0
    this.#ttftCount = 0
  }
}

interface Totals {
  readonly seconds: number
  readonly arrived: number
  readonly completed: number
  readonly carried: number
  readonly capacity: number
  readonly remoteBusy: number
  readonly remoteOpen: number
  readonly localBusy: number
  readonly localOpen: number
}

const NOTHING: Totals = {
  seconds: 0,
  arrived: 0,
  completed: 0,
  carried: 0,
  capacity: 0,
  remoteBusy: 0,
  remoteOpen: 0,
  localBusy: 0,
  localOpen: 0,
}

function totalsOf({ nowSeconds, arrived, record, link, remote, local }: Simulation): Totals {
  return {
    seconds: nowSeconds,
    arrived,
    completed: record.completed,
    carried: link.carried.area(nowSeconds),
    capacity: link.capacity.area(nowSeconds),
    remoteBusy: remote.busy.area(nowSeconds),
    remoteOpen: remote.open.area(nowSeconds),
    localBusy: local.busy.area(nowSeconds),
    localOpen: local.open.area(nowSeconds),
  }
}

/** Servers that are closed but still finish something are busy and not open; more than all of what is open is all. */
function share(used: number, available: number): number {
  return available > 0 ? Math.min(1, used / available) : 0
}
