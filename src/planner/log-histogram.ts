/** Bucket width, relative: a quantile is at most half of it off. */
const GROWTH = 1.01
const LOG_GROWTH = Math.log(GROWTH)
/** From a microsecond to a hundred million seconds; zero has a bucket of its own. */
const SMALLEST = 1e-6
const BUCKETS = Math.ceil(Math.log(1e14) / LOG_GROWTH) + 2

/**
 * HOT: latencies in buckets of 1 % with an exact mean and maximum: percentiles of any number of requests in 26 kB.
 * Values beyond the ends fall into the end buckets. Budget: 20 ns a value.
 */
export class LogHistogram {
  readonly #counts = new Float64Array(BUCKETS)
  #count = 0
  #sum = 0
  #max = 0

  get count(): number {
    return this.#count
  }

  get sum(): number {
    return this.#sum
  }

  record(value: number): void {
    this.#count += 1
    this.#sum += value
    if (value > this.#max) this.#max = value
    const bucket = value < SMALLEST ? 0 : 1 + Math.floor(Math.log(value / SMALLEST) / LOG_GROWTH)
    const index = bucket < BUCKETS ? bucket : BUCKETS - 1
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
  }

  /** Adds another histogram's values. */
  merge(other: LogHistogram): void {
    for (let k = 0; k < BUCKETS; k++) this.#counts[k] = (this.#counts[k] ?? 0) + (other.#counts[k] ?? 0)
    this.#count += other.#count
    this.#sum += other.#sum
    this.#max = Math.max(this.#max, other.#max)
  }

  /** 0 without values. */
  mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count
  }

  /** Nearest rank, to the middle of its bucket; 0 without values. */
  quantile(probability: number): number {
    const rank = Math.max(1, Math.ceil(probability * this.#count - 1e-9))
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] ?? 0
      if (seen >= rank && this.#count > 0) return this.#middle(bucket)
    }
    return this.#max
  }

  #middle(bucket: number): number {
    return bucket === 0 ? 0 : Math.min(this.#max, SMALLEST * GROWTH ** (bucket - 0.5))
  }
}
