import { exponential, type Random, standardNormal } from '../core/random.ts'

/** Service times, or sizes of transfers at one byte a second, of mean 1. */
export interface Service {
  readonly name: string
  readonly draw: (random: Random) => number
  /** E[S^2]. */
  readonly secondMoment: number
}

export const EXPONENTIAL: Service = { name: 'M', draw: exponential, secondMoment: 2 }

export const CONSTANT: Service = { name: 'D', draw: () => 1, secondMoment: 1 }

export const ERLANG_4: Service = {
  name: 'E4',
  draw: (random) => (exponential(random) + exponential(random) + exponential(random) + exponential(random)) / 4,
  secondMoment: 1.25,
}

/** Two in three short, one in three long: squared variation 2. */
export const HYPEREXPONENTIAL: Service = {
  name: 'H2',
  draw: (random) => (random() < 2 / 3 ? 0.5 : 2) * exponential(random),
  secondMoment: 2 * ((2 / 3) * 0.5 ** 2 + (1 / 3) * 2 ** 2),
}

/** Any other law, with the variation of the exponential one: Pollaczek and Khinchine see no difference. */
export const LOG_NORMAL: Service = {
  name: 'G',
  draw: (random) => Math.exp(Math.sqrt(Math.LN2) * standardNormal(random) - Math.LN2 / 2),
  secondMoment: 2,
}
