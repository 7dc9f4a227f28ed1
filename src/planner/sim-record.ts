import { LogHistogram } from './log-histogram.ts'
import type { JobTable } from './sim-jobs.ts'
import { TimeAverage } from './time-average.ts'

/** A stage as its jobs saw it; the time averages of pools and link see the same independently. */
export class StageRecord {
  readonly waitSeconds = new LogHistogram()
  serviceSecondsSum = 0

  started(waitSeconds: number, serviceSeconds: number): void {
    this.waitSeconds.record(waitSeconds)
    this.serviceSecondsSum += serviceSeconds
  }
}

/** Batches for the confidence interval of a mean: enough to estimate a spread, few enough to be nearly independent. */
const BATCHES = 32

/** The share of requests at the start that percentiles leave out, because the system was empty before them. */
const WARM_UP = 0.02

/** HOT: what a run leaves behind, in constant memory. */
export class SimulationRecord {
  readonly ttftSeconds = new LogHistogram()
  readonly firstTokenSeconds = new LogHistogram()
  readonly tpotSeconds = new LogHistogram()
  readonly e2eSeconds = new LogHistogram()
  readonly remotePrefill = new StageRecord()
  readonly transfer = new StageRecord()
  readonly localPrefill = new StageRecord()
  readonly decode = new StageRecord()
  readonly inSystem = new TimeAverage()
  bytesSent = 0
  completed = 0
  offloaded = 0
  sojournSecondsSum = 0
  decodeSecondsSum = 0
  readonly #requests: number
  readonly #warmUp: number
  readonly #sums: Record<Series, Float64Array> = {
    ttft: new Float64Array(BATCHES),
    firstToken: new Float64Array(BATCHES),
    tpot: new Float64Array(BATCHES),
    e2e: new Float64Array(BATCHES),
  }
  readonly #batchCounts = new Float64Array(BATCHES)

  constructor(requests: number) {
    this.#requests = requests
    this.#warmUp = Math.floor(requests * WARM_UP)
  }

  finished(jobs: JobTable, job: number, nowSeconds: number, outputTokens: number): void {
    const arrival = jobs.arrivalSeconds[job] ?? 0
    const e2e = nowSeconds - arrival
    this.completed += 1
    this.offloaded += jobs.isRemote[job] ?? 0
    this.sojournSecondsSum += e2e
    this.decodeSecondsSum += nowSeconds - (jobs.joinSeconds[job] ?? 0)
    const number = jobs.numbers[job] ?? 0
    if (number < this.#warmUp) return
    const ttft = (jobs.kvReadySeconds[job] ?? 0) - arrival
    const firstToken = (jobs.firstTokenSeconds[job] ?? 0) - arrival
    const tpot = outputTokens > 1 ? (e2e - firstToken) / (outputTokens - 1) : 0
    this.ttftSeconds.record(ttft)
    this.firstTokenSeconds.record(firstToken)
    this.tpotSeconds.record(tpot)
    this.e2eSeconds.record(e2e)
    // Batches are cut by arrival number, so that they are the same in whatever order requests end.
    const batch = Math.min(
      BATCHES - 1,
      Math.floor(((number - this.#warmUp) * BATCHES) / (this.#requests - this.#warmUp)),
    )
    this.#batchCounts[batch] = (this.#batchCounts[batch] ?? 0) + 1
    add(this.#sums.ttft, batch, ttft)
    add(this.#sums.firstToken, batch, firstToken)
    add(this.#sums.tpot, batch, tpot)
    add(this.#sums.e2e, batch, e2e)
  }

  /** Whether sojourns were still growing at the end: the last quarter far above the second, by more than their noise. */
  isBacklogged(): boolean {
    if ((this.#batchCounts[0] ?? 0) < 2) return false
    const means = this.#sums.e2e.map((sum, batch) => sum / (this.#batchCounts[batch] ?? 1))
    const quarter = BATCHES / 4
    const [second, last] = [spreadOf(means.slice(quarter, 2 * quarter)), spreadOf(means.slice(3 * quarter))]
    const noise = Math.hypot(second.standardError, last.standardError)
    return last.mean > 1.5 * second.mean && last.mean - second.mean > 4 * noise
  }

  /** Half the width of the 95 % interval of a mean, by batch means; null with fewer than two requests a batch. */
  meanHalfWidth95(series: Series): number | null {
    if ((this.#batchCounts[0] ?? 0) < 2) return null
    const means = this.#sums[series].map((sum, batch) => sum / (this.#batchCounts[batch] ?? 1))
    return STUDENT_95 * spreadOf(means).standardError
  }
}

function spreadOf(values: Float64Array): { readonly mean: number; readonly standardError: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
  return { mean, standardError: Math.sqrt(variance / values.length) }
}

type Series = 'ttft' | 'firstToken' | 'tpot' | 'e2e'

/** Student's t for 31 degrees of freedom. */
const STUDENT_95 = 2.0395

function add(sums: Float64Array, index: number, value: number): void {
  sums[index] = (sums[index] ?? 0) + value
}
