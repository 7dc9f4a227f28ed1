/**
 * Whether the chunks of one sender are asked for compressed: by what its link, its compressor and our decompressor were
 * seen to do. All connections to it share one link.
 */
import { canShrink, type CompressionRates, CompressionChoice } from '../policy/compress.ts'
import type { Stopwatch } from '../core/ports.ts'

/** What one answer took. */
export interface ObservedFetch {
  /** Of the payload, and as they crossed the link. */
  readonly plainBytes: number
  readonly wireBytes: number
  /** Null for one that was not compressed. */
  readonly compressed: {
    /** Of the sender, as it says. */
    readonly compressSeconds: number
    readonly decompressSeconds: number
  } | null
}

/** What compression did to a transfer. */
export interface CompressionReport {
  /** Of answers that were asked for compressed: before and after. */
  readonly plainBytes: number
  readonly wireBytes: number
}

/** So much is fetched as it is before compression is tried, and again before it is tried anew: links change. */
const TRY_AFTER_BYTES = 16 * 1024 * 1024
const TRY_AGAIN_AFTER_BYTES = 512 * 1024 * 1024
/** Weight of the newest answer in the measured rates. */
const NEWEST_WEIGHT = 0.3

/** See the top of this file. */
export class LinkCompression {
  readonly #stopwatch: Stopwatch
  readonly #choice = new CompressionChoice()
  #underWay = 0
  #busySinceSeconds = 0
  #busySeconds = 0
  #busyBytes = 0
  #linkBytesPerSecond: number | null = null
  #rates: Omit<CompressionRates, 'linkBytesPerSecond' | 'isPipelined'> | null = null
  #bytesUntilTry = TRY_AFTER_BYTES
  #plainBytes = 0
  #wireBytes = 0

  constructor(stopwatch: Stopwatch) {
    this.#stopwatch = stopwatch
  }

  get report(): CompressionReport {
    return { plainBytes: this.#plainBytes, wireBytes: this.#wireBytes }
  }

  /** A fetch begins: whether to ask for it compressed. `dtype` as in a signature, null for bytes that have none. */
  begin(dtype: string | null): boolean {
    if (this.#underWay === 0) this.#busySinceSeconds = this.#stopwatch.seconds()
    this.#underWay += 1
    if (dtype === null) return false
    const link = this.#linkBytesPerSecond
    if (link === null || this.#bytesUntilTry > 0) return this.#isWorthwhile(dtype)
    this.#bytesUntilTry = TRY_AGAIN_AFTER_BYTES
    // The first time there is nothing to go by yet; later this asks whether other rates than before are seen now.
    return canShrink(dtype)
  }

  /** The fetch has ended; null when it failed, of which nothing is learned. */
  end(observed: ObservedFetch | null): void {
    if (observed !== null) {
      this.#busyBytes += observed.wireBytes
      this.#bytesUntilTry -= observed.plainBytes
    }
    this.#underWay -= 1
    // Time without a fetch is not the link's.
    const now = this.#stopwatch.seconds()
    this.#busySeconds += now - this.#busySinceSeconds
    this.#busySinceSeconds = now
    if (this.#busyBytes >= TRY_AFTER_BYTES / 2 && this.#busySeconds > 0) {
      this.#linkBytesPerSecond = blend(this.#linkBytesPerSecond, this.#busyBytes / this.#busySeconds)
      this.#busyBytes = 0
      this.#busySeconds = 0
    }
    if (observed?.compressed) this.#learn(observed, observed.compressed)
  }

  #learn(
    { plainBytes, wireBytes }: ObservedFetch,
    { compressSeconds, decompressSeconds }: NonNullable<ObservedFetch['compressed']>,
  ): void {
    this.#plainBytes += plainBytes
    this.#wireBytes += wireBytes
    // A clock that did not move says that it is fast, not that it takes no time.
    const perSecond = (seconds: number): number => plainBytes / Math.max(seconds, 1e-6)
    const last = this.#rates
    this.#rates = {
      compressBytesPerSecond: blend(last?.compressBytesPerSecond ?? null, perSecond(compressSeconds)),
      decompressBytesPerSecond: blend(last?.decompressBytesPerSecond ?? null, perSecond(decompressSeconds)),
      ratio: blend(last?.ratio ?? null, plainBytes / wireBytes),
    }
  }

  #isWorthwhile(dtype: string): boolean {
    if (this.#rates === null || this.#linkBytesPerSecond === null) return false
    // Several connections: while one unpacks, others carry.
    const rates = { ...this.#rates, linkBytesPerSecond: this.#linkBytesPerSecond, isPipelined: true }
    return this.#choice.choose(dtype, rates)
  }
}

function blend(last: number | null, newest: number): number {
  return last === null ? newest : last + NEWEST_WEIGHT * (newest - last)
}
