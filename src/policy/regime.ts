/** Whether the link or compute is what there is too little of. */
export type Regime = 'bandwidth-scarce' | 'bandwidth-abundant'

/** Shares of the link's bandwidth. Between the two the regime stays what it is, so that it does not flutter. */
export interface RegimeBounds {
  readonly scarceAbove: number
  readonly abundantBelow: number
}

/** ASSUMPTION: regime-bounds. */
export const DEFAULT_REGIME_BOUNDS: RegimeBounds = { scarceAbove: 0.7, abundantBelow: 0.4 }

/** Whether the link or compute is what there is too little of (section 3.4.3), from the share of the link that was used. */
export function nextRegime(current: Regime, linkUtilisation: number, bounds: RegimeBounds): Regime {
  if (linkUtilisation > bounds.scarceAbove) return 'bandwidth-scarce'
  return linkUtilisation < bounds.abundantBelow ? 'bandwidth-abundant' : current
}
