import { momentsOf } from '../core/moments.ts'
import { UTILISATION_SECONDS } from '../policy/utilisation.ts'
import type { SharedLink } from './sim-link.ts'

/** How much of a link's present bandwidth is used, averaged with a memory of half a minute. */
export class LinkMeter {
  #utilisation = 0
  #lastSeconds = 0
  #lastCarried = 0
  #lastCapacity = 0

  /** Share from 0 to 1, up to now. A link without bandwidth counts as full. */
  measure(link: SharedLink, nowSeconds: number): number {
    const carried = link.carried.area(nowSeconds)
    const capacity = link.capacity.area(nowSeconds)
    const seconds = nowSeconds - this.#lastSeconds
    if (seconds <= 0) return this.#utilisation
    const available = capacity - this.#lastCapacity
    const used = available > 0 ? (carried - this.#lastCarried) / available : 1
    this.#utilisation += (1 - Math.exp(-seconds / UTILISATION_SECONDS)) * (used - this.#utilisation)
    this.#lastSeconds = nowSeconds
    this.#lastCarried = carried
    this.#lastCapacity = capacity
    return this.#utilisation
  }
}

/** Recent requests whose lengths are kept; fewer than the least say too little of a distribution. ASSUMPTION: load-measurement. */
const RECENT = 4096
const RECENT_MIN = 64

/** Arrivals are counted in windows of this length, as many as are kept: their dispersion is the burstiness. ASSUMPTION: load-measurement. */
const COUNT_SECONDS = 60
const COUNTS = 60
const COUNTS_MIN = 10

/** What has arrived lately: its rate, its lengths, and how evenly it came. */
export class ArrivalMeter {
  readonly #recentTokens = new Float64Array(RECENT)
  readonly #counts: number[] = []
  #seen = 0
  #longestTokens = 0
  #countedSeconds = 0
  #countedSeen = 0
  #takenSeconds = 0
  #takenSeen = 0
  readonly #recentMin: number

  constructor(recentMin: number = RECENT_MIN) {
    this.#recentMin = recentMin
  }

  get longestTokens(): number {
    return this.#longestTokens
  }

  seen(uncachedTokens: number): void {
    this.#recentTokens[this.#seen % RECENT] = uncachedTokens
    if (uncachedTokens > this.#longestTokens) this.#longestTokens = uncachedTokens
    this.#seen += 1
  }

  /** Closes a window of counts when its time is over. */
  tick(nowSeconds: number): void {
    if (nowSeconds < this.#countedSeconds + COUNT_SECONDS) return
    this.#counts.push(this.#seen - this.#countedSeen)
    if (this.#counts.length > COUNTS) this.#counts.shift()
    this.#countedSeconds = nowSeconds
    this.#countedSeen = this.#seen
  }

  /** Rate since this was last taken, and recent lengths; null when too few have come to say. */
  take(nowSeconds: number): { readonly rateRps: number; readonly uncachedTokens: Float64Array } | null {
    const arrivals = this.#seen - this.#takenSeen
    const seconds = nowSeconds - this.#takenSeconds
    if (arrivals < this.#recentMin || seconds <= 0) return null
    this.#takenSeconds = nowSeconds
    this.#takenSeen = this.#seen
    return { rateRps: arrivals / seconds, uncachedTokens: this.#recentTokens.slice(0, Math.min(this.#seen, RECENT)) }
  }

  /** Index of dispersion of the counts, at least that of Poisson arrivals; `fallback` until there are enough. */
  burstiness(fallback: number): number {
    const counts = this.#counts
    if (counts.length < COUNTS_MIN) return fallback
    const { mean, variance } = momentsOf(counts)
    // By chance alone a few windows can look more even than they are.
    return mean > 0 ? Math.max(1, variance / mean) : fallback
  }
}
