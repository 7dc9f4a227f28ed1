import type { MeasuredRates } from '../policy/measured-rates.ts'
import type { RateBook } from '../reconstruct/rebuild-ports.ts'

/** What was measured, as rebuilds ask for it and add to it. */
export function rateBookOf(rates: MeasuredRates): RateBook {
  return {
    read: (place) => rates.read(place),
    prefillSeconds: (span) => rates.prefillSeconds(span),
    get isPrefillMeasured() {
      return rates.isPrefillMeasured
    },
    observeRead: (place, bytes, seconds) => rates.observeRead(place, bytes, seconds),
    observePrefill: (span, seconds) => rates.observePrefill(span, seconds),
  }
}
