/** A power of two is cut into this many buckets of equal width, so a bucket is 0.4 to 0.8 % wide, and a quantile at most half of that off. */
const CUTS_PER_OCTAVE_BITS = 7
const CUTS_PER_OCTAVE = 2 ** CUTS_PER_OCTAVE_BITS
/** From 2^-20 s, a microsecond, to 2^27 s, four years; zero has a bucket of its own. */
const OCTAVE_MIN = -20
const OCTAVE_MAX = 27
const SMALLEST = 2 ** OCTAVE_MIN
const BUCKETS = 1 + (OCTAVE_MAX - OCTAVE_MIN) * CUTS_PER_OCTAVE

/** The exponent and the first digits of a number are its bucket: read from its bits, without a logarithm. */
const BITS = new Float64Array(1)
const WORDS = new Int32Array(BITS.buffer)
const HIGH_WORD = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0
const MANTISSA_BITS_IN_WORD = 20
const FIRST_BUCKET_BITS = (1023 + OCTAVE_MIN) << CUTS_PER_OCTAVE_BITS

/** A histogram as plain data: what a worker sends. */
export interface HistogramData {
  readonly counts: Float64Array
  readonly sum: number
  /** Infinite without values. */
  readonly min: number
  readonly max: number
}

/**
 * HOT: latencies in buckets of less than 1 % with an exact mean and maximum: percentiles of any number of requests in
 * 48 kB. Values beyond the ends fall into the end buckets. Budget: 5 ns a value.
 */
export class LogHistogram {
  readonly #counts: Float64Array
  #count = 0
  #sum = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0

  constructor(data?: HistogramData) {
    this.#counts = data?.counts.slice() ?? new Float64Array(BUCKETS)
    if (data === undefined) return
    this.#count = data.counts.reduce((total, count) => total + count, 0)
    this.#sum = data.sum
    this.#min = data.min
    this.#max = data.max
  }

  get count(): number {
    return this.#count
  }

  get sum(): number {
    return this.#sum
  }

  get max(): number {
    return this.#max
  }

  record(value: number): void {
    this.#count += 1
    this.#sum += value
    if (value > this.#max) this.#max = value
    if (value < this.#min) this.#min = value
    let bucket = 0
    if (value >= SMALLEST) {
      BITS[0] = value
      const place = ((WORDS[HIGH_WORD] ?? 0) >> (MANTISSA_BITS_IN_WORD - CUTS_PER_OCTAVE_BITS)) - FIRST_BUCKET_BITS
      bucket = place + 1 < BUCKETS ? place + 1 : BUCKETS - 1
    }
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
  }

  data(): HistogramData {
    return { counts: this.#counts.slice(), sum: this.#sum, min: this.#min, max: this.#max }
  }

  /** Adds another histogram's values. */
  merge(other: LogHistogram): void {
    for (let k = 0; k < BUCKETS; k++) this.#counts[k] = (this.#counts[k] ?? 0) + (other.#counts[k] ?? 0)
    this.#count += other.#count
    this.#sum += other.#sum
    this.#min = Math.min(this.#min, other.#min)
    this.#max = Math.max(this.#max, other.#max)
  }

  /** 0 without values. */
  mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count
  }

  /** Nearest rank, to the middle of its bucket and within what was recorded; 0 without values. */
  quantile(probability: number): number {
    if (this.#count === 0) return 0
    const rank = Math.max(1, Math.ceil(probability * this.#count - 1e-9))
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] ?? 0
      if (seen >= rank) return this.#middle(bucket)
    }
    return this.#max
  }

  /** The cumulative distribution: the end of each bucket that holds values, and the share of values up to it. */
  cumulative(): { readonly value: number; readonly share: number }[] {
    const points: { value: number; share: number }[] = []
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#counts[bucket] ?? 0
      if (count === 0) continue
      seen += count
      points.push({ value: Math.min(this.#max, endOf(bucket)), share: seen / this.#count })
    }
    return points
  }

  /** Never beyond what was recorded; the last bucket has no end of its own. */
  #middle(bucket: number): number {
    if (bucket === BUCKETS - 1) return this.#max
    const middle = bucket === 0 ? 0 : (endOf(bucket - 1) + endOf(bucket)) / 2
    return Math.min(this.#max, Math.max(this.#min, middle))
  }
}

/** The upper end of a bucket. */
function endOf(bucket: number): number {
  if (bucket === 0) return SMALLEST
  const octave = Math.floor((bucket - 1) / CUTS_PER_OCTAVE)
  const cut = (bucket - 1) % CUTS_PER_OCTAVE
  return 2 ** (OCTAVE_MIN + octave) * (1 + (cut + 1) / CUTS_PER_OCTAVE)
}
