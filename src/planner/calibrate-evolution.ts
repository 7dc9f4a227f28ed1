/**
 * An evolution strategy that learns steps and their directions from its best trials (CMSA-ES: Beyer and Sendhoff,
 * 2008): a minimum of a function of a few numbers that jumps and has no derivative. A simplex (Nelder and Mead) folded up
 * in the jumps and ended with up to ten times the error. The same start gives the same answer.
 */
import { type Random, seededRandom, standardNormal } from '../core/random.ts'

export interface EvolutionOptions {
  /** Calls of the function; a last generation may exceed it. */
  readonly evaluationsMax: number
  /** Trials of one generation, at least 4; the best quarter have descendants. */
  readonly population: number
  /** How far trials lie from the start at first: a standard deviation along each axis. */
  readonly spread: number
  readonly seed: number
}

export interface Minimum {
  readonly at: readonly number[]
  readonly value: number
}

interface Trial extends Minimum {
  /** The step's length, and its direction in units of it. */
  readonly spread: number
  readonly direction: readonly number[]
}

type Matrix = readonly (readonly number[])[]

/** The lowest value found and where; never above the value at the start. */
export function minimizeByEvolution(
  valueAt: (at: readonly number[]) => number,
  start: readonly number[],
  { evaluationsMax, population, spread: startSpread, seed }: EvolutionOptions,
): Minimum {
  const axes = start.length
  const parents = Math.max(1, Math.floor(population / 4))
  // Learning rates of the paper.
  const spreadRate = 1 / Math.sqrt(2 * axes)
  const covarianceShare = 1 / (1 + (axes * (axes + 1)) / (2 * parents))
  const random = seededRandom(seed)
  let mean = start
  let spread = startSpread
  let covariance: Matrix = start.map((_, row) => start.map((_, column) => (row === column ? 1 : 0)))
  let best: Minimum = { at: start, value: valueAt(start) }
  for (let evaluations = 1; evaluations < evaluationsMax; evaluations += population) {
    const root = choleskyRoot(covariance)
    const trials = Array.from({ length: population }, (): Trial => {
      const length = spread * Math.exp(spreadRate * standardNormal(random))
      const direction = transformed(root, random)
      const at = mean.map((x, axis) => x + length * (direction[axis] ?? 0))
      return { at, value: valueAt(at), spread: length, direction }
    })
    const chosen = trials.toSorted((one, other) => one.value - other.value).slice(0, parents)
    for (const trial of chosen) if (trial.value < best.value) best = { at: trial.at, value: trial.value }
    mean = start.map((_, axis) => average(chosen, ({ at }) => at[axis] ?? 0))
    spread = average(chosen, (trial) => trial.spread)
    covariance = covariance.map((line, row) =>
      line.map((old, column) => {
        const seen = average(chosen, ({ direction }) => (direction[row] ?? 0) * (direction[column] ?? 0))
        return old + covarianceShare * (seen - old)
      }),
    )
  }
  return best
}

/** A normal vector with the covariance whose root is given. */
function transformed(root: Matrix, random: Random): readonly number[] {
  const normal = root.map(() => standardNormal(random))
  return root.map((line) => line.reduce((sum, factor, column) => sum + factor * (normal[column] ?? 0), 0))
}

/** Directions that have died out keep this much variance, so that the root exists. */
const VARIANCE_MIN = 1e-20

/** The lower triangle whose product with its transpose is the matrix. */
function choleskyRoot(matrix: Matrix): Matrix {
  const root = matrix.map((line) => line.map(() => 0))
  for (const [row, line] of root.entries()) {
    for (let column = 0; column <= row; column++) {
      const other = root[column] ?? []
      let rest = matrix[row]?.[column] ?? 0
      for (let k = 0; k < column; k++) rest -= (line[k] ?? 0) * (other[k] ?? 0)
      line[column] = row === column ? Math.sqrt(Math.max(rest, VARIANCE_MIN)) : rest / (other[column] ?? 1)
    }
  }
  return root
}

function average(trials: readonly Trial[], value: (trial: Trial) => number): number {
  return trials.reduce((sum, trial) => sum + value(trial), 0) / trials.length
}
