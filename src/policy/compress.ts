/** Whether compressing bytes before they cross a link makes them arrive sooner, by measured speeds. */

/** Bytes per second are of uncompressed bytes, but those of the link. All above 0. */
export interface CompressionRates {
  readonly linkBytesPerSecond: number
  /** Infinity where the bytes are kept compressed. */
  readonly compressBytesPerSecond: number
  readonly decompressBytesPerSecond: number
  /** Bytes before over bytes after, as sampled. */
  readonly ratio: number
  /** Whether chunks are compressed, sent and unpacked at once, or one after the other (a single chunk). */
  readonly isPipelined: boolean
}

/**
 * How many times sooner the last byte is there, above 0: 1 changes nothing. Pipelined, the slowest stage is what takes
 * time: min(ratio, C / L, D / L). One after the other: 1 / (1 / ratio + L / C + L / D), which pays while
 * L < (1 - 1 / ratio) / (1 / C + 1 / D).
 */
export function compressionGain(rates: CompressionRates): number {
  const { linkBytesPerSecond: link, compressBytesPerSecond, decompressBytesPerSecond, ratio } = rates
  const compress = link / compressBytesPerSecond
  const decompress = link / decompressBytesPerSecond
  if (rates.isPipelined) return 1 / Math.max(1 / ratio, compress, decompress)
  return 1 / (1 / ratio + compress + decompress)
}

/** Numbers of which the codec knows how to take the exponents out. */
const COMPRESSED_DTYPES: readonly string[] = ['F16', 'BF16']

/** Whether numbers of a safetensors dtype may shrink at all: int8 does not by more than it costs. Null: no numbers. */
export function canShrink(dtype: string | null): boolean {
  return dtype !== null && COMPRESSED_DTYPES.includes(dtype)
}

/** When to begin and when to stop: gains between the two change nothing, so that noise does not. */
export interface CompressionThresholds {
  readonly gainToBegin: number
  readonly gainToStop: number
  /** Data that shrinks less is sent as it is, whatever the link. */
  readonly ratioMin: number
}

/** Below a tenth the measured rates are no better than their noise. */
export const DEFAULT_COMPRESSION_THRESHOLDS: CompressionThresholds = {
  gainToBegin: 1.15,
  gainToStop: 1.03,
  ratioMin: 1.1,
}

/** The choice for one link: remembers what it chose last. */
export class CompressionChoice {
  readonly #thresholds: CompressionThresholds
  #isOn = false

  constructor(thresholds: CompressionThresholds = DEFAULT_COMPRESSION_THRESHOLDS) {
    this.#thresholds = thresholds
  }

  /** What was chosen last; off until something was. */
  get isOn(): boolean {
    return this.#isOn
  }

  /** Of data of a safetensors dtype. Never for what `canShrink` says no to. */
  choose(dtype: string, rates: CompressionRates): boolean {
    const { gainToBegin, gainToStop, ratioMin } = this.#thresholds
    // Such data says nothing about the link: what was chosen for other data stays.
    if (!canShrink(dtype) || !(rates.ratio >= ratioMin)) return false
    this.#isOn = compressionGain(rates) >= (this.#isOn ? gainToStop : gainToBegin)
    return this.#isOn
  }
}
