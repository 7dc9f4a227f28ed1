import { LogHistogram } from './log-histogram.ts'
import type { JobTable } from './sim-jobs.ts'
import { TimeAverage } from './time-average.ts'

/** A stage as its jobs saw it; the time averages of pools and link see the same independently. */
export class StageRecord {
  readonly waitSeconds = new LogHistogram()
  serviceSecondsSum = 0
  /** Waits of jobs that were taken out of the queue to be served elsewhere. */
  withdrawnSecondsSum = 0

  started(waitSeconds: number, serviceSeconds: number): void {
    this.waitSeconds.record(waitSeconds)
    this.serviceSecondsSum += serviceSeconds
  }
}

/** Batches for the confidence interval of a mean: enough to estimate a spread, few enough to be nearly independent. */
export const BATCHES = 32

/** The share of requests at the start that latencies leave out, because the system was empty before them. */
export const WARM_UP = 0.02

/** The latencies that are observed. */
export const LATENCIES = ['ttft', 'firstToken', 'tpot', 'e2e'] as const
export type Latency = (typeof LATENCIES)[number]

/** HOT: what a run leaves behind, in constant memory. */
export class SimulationRecord {
  readonly ttft = new LogHistogram()
  readonly firstToken = new LogHistogram()
  readonly tpot = new LogHistogram()
  readonly e2e = new LogHistogram()
  readonly remotePrefill = new StageRecord()
  readonly transfer = new StageRecord()
  readonly localPrefill = new StageRecord()
  readonly decode = new StageRecord()
  readonly inSystem = new TimeAverage()
  bytesSent = 0
  bytesCopied = 0
  completed = 0
  offloaded = 0
  /** Prefills that had to be done again because an instance was lost. */
  repeated = 0
  copySecondsSum = 0
  sojournSecondsSum = 0
  decodeSecondsSum = 0
  firstCompletionSeconds = 0
  lastArrivalSeconds = 0
  completedAtLastArrival = 0
  leftAtLastArrival = 0
  /** The most requests that were in the system at once, and when their number first passed the bound. */
  inSystemMax = 0
  boundPassedSeconds: number | null = null
  /** Requests of each batch; for TPOT only those with a second token, which alone have one. */
  readonly batchCounts = new Float64Array(BATCHES)
  readonly tpotCounts = new Float64Array(BATCHES)
  /** What TTFT consists of, over the requests that were never lost: sums of seconds. */
  wholeRequests = 0
  waitSecondsSum = 0
  prefillSecondsSum = 0
  transferSecondsSum = 0
  /** Sums of each latency in each batch. */
  readonly batchSums: Readonly<Record<Latency, Float64Array>> = {
    ttft: new Float64Array(BATCHES),
    firstToken: new Float64Array(BATCHES),
    tpot: new Float64Array(BATCHES),
    e2e: new Float64Array(BATCHES),
  }
  readonly #bound: number
  readonly #warmUp: number
  readonly #batchSize: number

  constructor(requests: number, bound: number) {
    this.#bound = bound
    this.#warmUp = Math.floor(requests * WARM_UP)
    this.#batchSize = (requests - this.#warmUp) / BATCHES
  }

  arrived(inSystem: number, nowSeconds: number): void {
    this.inSystem.add(1, nowSeconds)
    if (inSystem <= this.inSystemMax) return
    this.inSystemMax = inSystem
    if (inSystem > this.#bound && this.boundPassedSeconds === null) this.boundPassedSeconds = nowSeconds
  }

  /** A sequence is lost that has a first token: its user has seen it, whatever comes after. */
  keepFirst(jobs: JobTable, job: number): void {
    jobs.keptKvReadySeconds[job] = jobs.kvReadySeconds[job] ?? 0
    jobs.keptFirstTokenSeconds[job] = jobs.firstTokenSeconds[job] ?? 0
  }

  lastArrival(inSystem: number, nowSeconds: number): void {
    this.leftAtLastArrival = inSystem
    this.lastArrivalSeconds = nowSeconds
    this.completedAtLastArrival = this.completed
  }

  finished(jobs: JobTable, job: number, nowSeconds: number): void {
    const arrival = jobs.arrivalSeconds[job] ?? 0
    const e2e = nowSeconds - arrival
    if (this.completed === 0) this.firstCompletionSeconds = nowSeconds
    this.completed += 1
    this.inSystem.add(-1, nowSeconds)
    this.offloaded += jobs.isRemote[job] ?? 0
    this.sojournSecondsSum += e2e
    this.decodeSecondsSum += nowSeconds - (jobs.joinSeconds[job] ?? 0)
    const number = jobs.numbers[job] ?? 0
    if (number < this.#warmUp) return
    const outputTokens = jobs.outputTokens[job] ?? 1
    const isKept = (jobs.tokensDone[job] ?? 0) > 0
    const ttft = ((isKept ? jobs.keptKvReadySeconds[job] : jobs.kvReadySeconds[job]) ?? 0) - arrival
    const firstToken = ((isKept ? jobs.keptFirstTokenSeconds[job] : jobs.firstTokenSeconds[job]) ?? 0) - arrival
    this.ttft.record(ttft)
    this.firstToken.record(firstToken)
    this.e2e.record(e2e)
    if (!isKept) this.#split(jobs, job, arrival, ttft)
    // Batches are cut by arrival number, so that they are the same in whatever order requests end.
    const place = Math.floor((number - this.#warmUp) / this.#batchSize)
    const batch = place < BATCHES ? place : BATCHES - 1
    const { batchCounts, batchSums } = this
    batchCounts[batch] = (batchCounts[batch] ?? 0) + 1
    batchSums.ttft[batch] = (batchSums.ttft[batch] ?? 0) + ttft
    batchSums.firstToken[batch] = (batchSums.firstToken[batch] ?? 0) + firstToken
    batchSums.e2e[batch] = (batchSums.e2e[batch] ?? 0) + e2e
    if (outputTokens < 2) return
    const tpot = (e2e - firstToken) / (outputTokens - 1)
    this.tpot.record(tpot)
    this.tpotCounts[batch] = (this.tpotCounts[batch] ?? 0) + 1
    batchSums.tpot[batch] = (batchSums.tpot[batch] ?? 0) + tpot
  }

  /** Wait, prefill, and what of the transfer did not overlap it. */
  #split(jobs: JobTable, job: number, arrivalSeconds: number, ttftSeconds: number): void {
    const waitSeconds = (jobs.prefillStartSeconds[job] ?? 0) - arrivalSeconds
    const prefillSeconds = jobs.prefillSeconds[job] ?? 0
    this.wholeRequests += 1
    this.waitSecondsSum += waitSeconds
    this.prefillSecondsSum += prefillSeconds
    this.transferSecondsSum += ttftSeconds - waitSeconds - prefillSeconds
  }
}
