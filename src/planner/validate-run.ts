import { assert } from '../core/errors.ts'
import { type Random, seededRandom } from '../core/random.ts'
import { arrivalGaps } from './arrivals.ts'
import type { EventSchedule } from './event-schedule.ts'
import type { TimeAverage } from './time-average.ts'
import type { Batches, RunLength } from './validate-statistics.ts'

/**
 * One run of one system: it starts empty, warms up, and counts the jobs of the batches. Arrivals go on until the last
 * counted job has left, because jobs that share a link would speed up when nobody follows them.
 */
export interface Run {
  readonly schedule: EventSchedule
  readonly jobs: Jobs
  readonly gap: () => number
  readonly length: RunLength
  /** An arrival of a batch: 1, 2, ..., or 0 when it does not count. */
  readonly arrive: (batch: number, nowSeconds: number) => void
  readonly fire: (source: number, nowSeconds: number) => void
  /** Time averages are cut where batches begin, just before their first arrival. */
  readonly areas: readonly AreaTally[]
}

/** Source 0 is the arrival stream. */
export function drive({ schedule, jobs, gap, length, arrive, fire, areas }: Run): void {
  let batch = 0
  let untilNextBatch = length.warmUpArrivals
  let begun = 0
  schedule.set(0, gap())
  while (begun <= length.batches || jobs.countedInside > 0) {
    const now = schedule.nextSeconds()
    const source = schedule.nextSource()
    if (source !== 0) {
      fire(source, now)
      continue
    }
    if (untilNextBatch === 0 && begun <= length.batches) {
      begun += 1
      batch = begun <= length.batches ? begun : 0
      untilNextBatch = length.batchArrivals
      for (const area of areas) area.begin(batch, now)
    }
    untilNextBatch -= 1
    arrive(batch, now)
    schedule.set(0, now + gap())
  }
}

/** Jobs inside at once. A queue at load 0.98 gets this long once in 10^500 arrivals. */
const JOBS_INSIDE_MAX = 65_536

/** HOT: the jobs inside, as columns; a number is free again when its job has left. */
export class Jobs {
  readonly arrivedAtSeconds = new Float64Array(JOBS_INSIDE_MAX)
  readonly sizes = new Float64Array(JOBS_INSIDE_MAX)
  readonly batches = new Int32Array(JOBS_INSIDE_MAX)
  readonly #free = new Int32Array(JOBS_INSIDE_MAX)
  #freeCount = 0
  /** Numbers from here on were never used. */
  #unused = 0
  #countedInside = 0

  get countedInside(): number {
    return this.#countedInside
  }

  enter(batch: number, nowSeconds: number): number {
    let job = this.#unused
    if (this.#freeCount > 0) {
      this.#freeCount -= 1
      job = this.#free[this.#freeCount] ?? 0
    } else this.#unused += 1
    assert(job < JOBS_INSIDE_MAX, 'a stable system stays far below the bound')
    this.arrivedAtSeconds[job] = nowSeconds
    this.batches[job] = batch
    if (batch > 0) this.#countedInside += 1
    return job
  }

  leave(job: number): void {
    if ((this.batches[job] ?? 0) > 0) this.#countedInside -= 1
    this.#free[this.#freeCount] = job
    this.#freeCount += 1
  }

  batch(job: number): number {
    return this.batches[job] ?? 0
  }

  ageSeconds(job: number, nowSeconds: number): number {
    return nowSeconds - (this.arrivedAtSeconds[job] ?? 0)
  }
}

/** HOT: sums by batch. Batch 0 takes what does not count, so that nobody has to ask. */
export class JobTally {
  readonly #sums: Float64Array
  readonly #weights: Float64Array

  constructor(batches: number) {
    this.#sums = new Float64Array(batches + 1)
    this.#weights = new Float64Array(batches + 1)
  }

  add(batch: number, value: number, weight: number): void {
    this.#sums[batch] = (this.#sums[batch] ?? 0) + value
    this.#weights[batch] = (this.#weights[batch] ?? 0) + weight
  }

  get batches(): Batches {
    return { sums: this.#sums.subarray(1), weights: this.#weights.subarray(1) }
  }
}

/** The station's own time average, batch by batch. */
export class AreaTally {
  readonly #average: TimeAverage
  readonly #tally: JobTally
  #batch = 0
  #beganSeconds = 0
  #beganArea = 0

  constructor(average: TimeAverage, batches: number) {
    this.#average = average
    this.#tally = new JobTally(batches)
  }

  begin(batch: number, nowSeconds: number): void {
    const area = this.#average.area(nowSeconds)
    this.#tally.add(this.#batch, area - this.#beganArea, nowSeconds - this.#beganSeconds)
    this.#batch = batch
    this.#beganSeconds = nowSeconds
    this.#beganArea = area
  }

  get batches(): Batches {
    return this.#tally.batches
  }
}

export interface Streams {
  readonly services: Random
  readonly gap: () => number
}

/** Numbers that no other run draws: rows that share their chance would fail together. Burstiness 1 is Poisson. */
export function streams(
  label: string,
  { rateRps, burstiness }: { readonly rateRps: number; readonly burstiness: number },
): Streams {
  const kind = burstiness === 1 ? 'poisson' : 'gamma'
  return {
    services: seededRandom(hash(`${label} services`)),
    gap: arrivalGaps({ kind, rateRps, burstiness }, seededRandom(hash(`${label} gaps`))),
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let k = 0; k < text.length; k++) value = Math.imul(value ^ text.charCodeAt(k), 0x01000193)
  return value >>> 0
}
