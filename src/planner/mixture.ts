import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { LengthDistribution } from './lengths.ts'

/** One kind of request in a mixture. */
export interface MixtureComponent {
  /** Share of requests, above 0; the weights are divided by their sum. */
  readonly weight: number
  readonly lengths: LengthDistribution
}

/** Several kinds of request in one stream, for example chat beside agents. */
export function mixtureLengths(components: readonly MixtureComponent[]): LengthDistribution {
  const total = components.reduce((sum, { weight }) => sum + weight, 0)
  if (components.length === 0 || components.some(({ weight }) => !(weight > 0)) || !Number.isFinite(total)) {
    throw new MembraneError('INVALID_CONFIG', 'A mixture needs at least one component, each with a weight above 0.')
  }
  if (components.length > LIMITS.mixtureComponentsMax) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `A mixture has at most ${LIMITS.mixtureComponentsMax} components, found ${components.length}.`,
    )
  }
  const parts = components.map(({ weight, lengths }) => ({ weight: weight / total, lengths }))
  const sum = (value: (lengths: LengthDistribution) => number): number =>
    parts.reduce((running, { weight, lengths }) => running + weight * value(lengths), 0)
  const minTokens = Math.min(...parts.map(({ lengths }) => lengths.minTokens))
  const maxTokens = Math.max(...parts.map(({ lengths }) => lengths.maxTokens))
  return {
    minTokens,
    maxTokens,
    mass: (from, to) => sum((lengths) => lengths.mass(from, to)),
    partialMean: (from, to) => sum((lengths) => lengths.partialMean(from, to)),
    expect: (curve, power, from, to) => sum((lengths) => lengths.expect(curve, power, from, to)),
    quantile: (probability) => {
      // Weights do not add up to the last digit.
      const wanted = Math.min(1, probability) - 1e-12
      const isReached = (tokens: number): boolean => sum((lengths) => lengths.mass(0, tokens)) >= wanted
      if (isReached(minTokens)) return minTokens
      let [low, high] = [minTokens, maxTokens]
      for (let step = 0; step < 80 && high - low > 1e-12 * high; step++) {
        const middle = (low + high) / 2
        if (isReached(middle)) high = middle
        else low = middle
      }
      // Bisection closes in on an atom from above; atoms are whole tokens.
      const whole = Math.round(high)
      return Math.abs(whole - high) < 1e-9 * high && isReached(whole) ? whole : high
    },
    draw: (random) => {
      let left = random()
      const chosen = parts.find(({ weight }) => {
        left -= weight
        return left < 0
      })
      return (chosen ?? parts[parts.length - 1])?.lengths.draw(random) ?? 0
    },
    scaled: (factor) =>
      mixtureLengths(parts.map(({ weight, lengths }) => ({ weight, lengths: lengths.scaled(factor) }))),
  }
}
