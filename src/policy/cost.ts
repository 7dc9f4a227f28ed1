/** What prefilling a request at one place would take, as far as the place can tell now. */
export interface PrefillEstimate {
  /** Before its prefill starts. */
  readonly waitSeconds: number
  readonly prefillSeconds: number
  /** Until the KV is where it is decoded; 0 where it is computed there. */
  readonly transferSeconds: number
  /** What crosses a link that is paid for. */
  readonly transferBytes: number
  readonly pricePerInstanceSecond: number
  readonly pricePerByte: number
}

/** Time to first token up to decoding: until the KV is complete where it is decoded, seconds. */
export function expectedTtftSeconds({ waitSeconds, prefillSeconds, transferSeconds }: PrefillEstimate): number {
  return waitSeconds + prefillSeconds + transferSeconds
}

/** What the instance's time and the bytes on the link cost, in the currency of the prices. */
export function expectedPrice(estimate: PrefillEstimate): number {
  return estimate.prefillSeconds * estimate.pricePerInstanceSecond + estimate.transferBytes * estimate.pricePerByte
}
