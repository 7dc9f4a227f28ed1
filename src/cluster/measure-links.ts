/** What the ways to other datacentres are like, learnt from what travels on them. */
import { LIMITS } from '../core/limits.ts'
import type { Stopwatch } from '../core/ports.ts'
import { quantileOfSorted, sortedAscending } from '../core/quantile.ts'
import { UTILISATION_SECONDS } from '../policy/utilisation.ts'
import type { LinkReport } from './member.ts'

export interface LinkMeasureOptions {
  /** Smaller transfers say more of the round trip than of the bandwidth: they count as use of the link only. */
  readonly transferBytesMin: number
  /** Only what ended so long ago says how fast the link is now. */
  readonly windowSeconds: number
  /** The last probes, of which those that failed are a share. */
  readonly probes: number
  /**
   * A link that carried nothing large for so long is believed to be twice as fast, and so on up to the best that was ever
   * seen: what is believed to be slow is not used, and would never be seen to have recovered.
   */
  readonly hopeSeconds: number
}

const DEFAULT_LINK_MEASURES: LinkMeasureOptions = {
  transferBytesMin: 256 * 1024,
  windowSeconds: 10,
  probes: 16,
  hopeSeconds: 60,
}

/** The last large transfers within the window that are judged: on a busy link a change is seen long before the window is over. */
const JUDGED = 16
/** Of their rates: above the middle, because whatever else goes wrong with a transfer makes it slower, but no lucky one. */
const RATE_QUANTILE = 0.7
/** Of round trips: queues only add to them. */
const RTT_QUANTILE = 0.25

interface Transfer {
  readonly startSeconds: number
  readonly endSeconds: number
  readonly bytes: number
}

/** See the top of this file. */
export class LinkMeasures {
  readonly #stopwatch: Stopwatch
  readonly #options: LinkMeasureOptions
  readonly #links = new Map<string, LinkMeasure>()

  constructor(stopwatch: Stopwatch, options: LinkMeasureOptions = DEFAULT_LINK_MEASURES) {
    this.#stopwatch = stopwatch
    this.#options = options
  }

  /** A probe's round trip, or null for one, or for a transfer, that failed. */
  probed(datacentre: string, seconds: number | null): void {
    if (seconds === null || isTime(seconds)) this.#link(datacentre)?.probed(seconds)
  }

  /**
   * Bytes that were there to be sent arrived, `seconds` after they were asked for. Not to be told of a stream that waits
   * for what is computed: its pace is that of the computer.
   */
  transferred(datacentre: string, bytes: number, seconds: number): void {
    if (!(isTime(seconds) && bytes > 0 && bytes < Infinity)) return
    this.#link(datacentre)?.transferred(bytes, seconds, this.#stopwatch.seconds())
  }

  /** In order of names; a link is left out until something large has travelled on it. */
  reports(): LinkReport[] {
    const nowSeconds = this.#stopwatch.seconds()
    return Array.from(this.#links)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([datacentre, link]) => link.report(datacentre, nowSeconds) ?? [])
  }

  /** Null where there is no room for another one. */
  #link(datacentre: string): LinkMeasure | null {
    const known = this.#links.get(datacentre)
    if (known !== undefined) return known
    if (this.#links.size >= LIMITS.clusterLinksMax) return null
    const link = new LinkMeasure(this.#options)
    this.#links.set(datacentre, link)
    return link
  }
}

function isTime(seconds: number): boolean {
  return seconds >= 0 && seconds < Infinity
}

class LinkMeasure {
  readonly #options: LinkMeasureOptions
  /** The oldest first; null for those that failed. */
  readonly #probes: (number | null)[] = []
  /** In order of their ends. */
  readonly #transfers: Transfer[] = []
  /** Bytes of the past, of which those half a minute ago count for 1/e. */
  #usedBytes = 0
  #usedSeconds = 0
  #bestBytesPerSecond = 0
  /** What the last large transfers said, and when the last one ended. */
  #measured: { readonly bytesPerSecond: number; readonly atSeconds: number } | null = null

  constructor(options: LinkMeasureOptions) {
    this.#options = options
  }

  probed(seconds: number | null): void {
    this.#probes.push(seconds)
    if (this.#probes.length > this.#options.probes) this.#probes.shift()
  }

  transferred(bytes: number, seconds: number, nowSeconds: number): void {
    // Those that take no time at a clock's resolution.
    const lasted = Math.max(seconds, 1e-6)
    this.#transfers.push({ startSeconds: nowSeconds - lasted, endSeconds: nowSeconds, bytes })
    if (this.#transfers.length > LIMITS.linkTransfersKept) this.#transfers.shift()
    const use = lasted / UTILISATION_SECONDS
    this.#usedBytes = this.#usedAt(nowSeconds) + (bytes * -Math.expm1(-use)) / use
    this.#usedSeconds = nowSeconds
    if (bytes < this.#options.transferBytesMin) return
    const bytesPerSecond = this.#rate(nowSeconds)
    this.#measured = { bytesPerSecond, atSeconds: nowSeconds }
    this.#bestBytesPerSecond = Math.max(this.#bestBytesPerSecond, bytesPerSecond)
  }

  report(datacentre: string, nowSeconds: number): LinkReport | null {
    const bytesPerSecond = this.#believed(nowSeconds)
    if (bytesPerSecond === null) return null
    const answered = this.#probes.filter((seconds) => seconds !== null)
    return {
      datacentre,
      bytesPerSecond,
      rttSeconds: answered.length === 0 ? 0 : quantileOfSorted(sortedAscending(answered), RTT_QUANTILE),
      lossRatio: this.#probes.length === 0 ? 0 : 1 - answered.length / this.#probes.length,
      utilisation: Math.min(1, this.#usedAt(nowSeconds) / UTILISATION_SECONDS / bytesPerSecond),
    }
  }

  #believed(nowSeconds: number): number | null {
    if (this.#measured === null) return null
    const { bytesPerSecond, atSeconds } = this.#measured
    const doublings = Math.max(0, (nowSeconds - atSeconds) / this.#options.hopeSeconds - 1)
    return Math.min(this.#bestBytesPerSecond, bytesPerSecond * 2 ** doublings)
  }

  /** Each large transfer is judged with all that shared the link with it: alone it saw only its part. */
  #rate(nowSeconds: number): number {
    const { transferBytesMin, windowSeconds } = this.#options
    const judged = this.#transfers
      .filter(({ bytes, endSeconds }) => bytes >= transferBytesMin && endSeconds >= nowSeconds - windowSeconds)
      .slice(-JUDGED)
    const rates = judged.map((one) => {
      const lasted = one.endSeconds - one.startSeconds
      return this.#transfers.reduce((sum, other) => sum + (other.bytes * overlap(one, other)) / lasted, 0)
    })
    return quantileOfSorted(sortedAscending(rates), RATE_QUANTILE)
  }

  #usedAt(nowSeconds: number): number {
    return this.#usedBytes * Math.exp(-Math.max(0, nowSeconds - this.#usedSeconds) / UTILISATION_SECONDS)
  }
}

/** The share of `other` that fell into the time of `one`. */
function overlap(one: Transfer, other: Transfer): number {
  const common = Math.min(one.endSeconds, other.endSeconds) - Math.max(one.startSeconds, other.startSeconds)
  return Math.max(0, common) / (other.endSeconds - other.startSeconds)
}
