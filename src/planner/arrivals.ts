import { MembraneError } from '../core/errors.ts'
import { exponential, type Random, standardNormal } from '../core/random.ts'

/** How requests arrive. `burstiness` is the squared coefficient of variation of the gaps; a Poisson stream has 1. */
export const ARRIVAL_KINDS = ['poisson', 'gamma', 'weibull'] as const
/** A family of gaps between requests. */
export type ArrivalKind = (typeof ARRIVAL_KINDS)[number]

export interface ArrivalOptions {
  readonly kind: ArrivalKind
  readonly rateRps: number
  /** For gamma and weibull; above 0. */
  readonly burstiness: number
}

/** A function that draws the seconds to the next arrival. */
export function arrivalGaps({ kind, rateRps, burstiness }: ArrivalOptions, random: Random): () => number {
  const meanSeconds = 1 / rateRps
  if (kind === 'poisson') return () => exponential(random) * meanSeconds
  if (kind === 'gamma') {
    const shape = 1 / burstiness
    return () => (gamma(shape, random) * meanSeconds) / shape
  }
  if (burstiness < WEIBULL_BURSTINESS_MIN || burstiness > WEIBULL_BURSTINESS_MAX) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `Weibull gaps need a burstiness from ${WEIBULL_BURSTINESS_MIN} to ${WEIBULL_BURSTINESS_MAX}, found ${burstiness}.`,
      { remedy: 'Use gamma gaps for others.' },
    )
  }
  const shape = weibullShape(burstiness)
  const scale = meanSeconds / gammaFunction(1 + 1 / shape)
  return () => scale * exponential(random) ** (1 / shape)
}

/** Squared variations of Weibull shapes from 100 down to 0.1; beyond, its moments leave the range of sensible gaps. */
const WEIBULL_BURSTINESS_MIN = 2e-4
const WEIBULL_BURSTINESS_MAX = 180_000

/** Marsaglia and Tsang (2000); shapes below 1 by their power rule. Mean `shape`. */
function gamma(shape: number, random: Random): number {
  if (shape < 1) return gamma(shape + 1, random) * (1 - random()) ** (1 / shape)
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = standardNormal(random)
    const v = (1 + c * x) ** 3
    if (v <= 0) continue
    const u = 1 - random()
    if (Math.log(u) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v
  }
}

/** The shape whose squared coefficient of variation is the one asked for, by bisection (it falls with the shape). */
function weibullShape(burstiness: number): number {
  const squaredVariation = (shape: number): number =>
    gammaFunction(1 + 2 / shape) / gammaFunction(1 + 1 / shape) ** 2 - 1
  let [low, high] = [0.1, 100]
  for (let step = 0; step < 80; step++) {
    const middle = Math.sqrt(low * high)
    if (squaredVariation(middle) > burstiness) low = middle
    else high = middle
  }
  return Math.sqrt(low * high)
}

/** Lanczos (g = 7), relative error about 1e-15 for the arguments above 1 that are asked for here. */
function gammaFunction(x: number): number {
  const coefficients = [
    676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
    -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
  ]
  const y = x - 1
  const sum = coefficients.reduce((total, coefficient, k) => total + coefficient / (y + k + 1), 0.9999999999998099)
  const t = y + 7.5
  return Math.sqrt(2 * Math.PI) * t ** (y + 0.5) * Math.exp(-t) * sum
}
