import { normalCdf } from '../src/planner/normal.ts'
import type { Scenario } from '../src/planner/scenario.ts'
import { splitTraffic } from '../src/planner/split.ts'
import type { Bench, Findings } from './bench.ts'
import { measureWarm, ratioOf } from './harness.ts'
import { caseStudyScenario, THRESHOLDS } from './paper-grid.ts'

/** Where the closed forms ask: four standard deviations to either side. */
const POINTS = Float64Array.from({ length: 1024 }, (_, k) => (k - 512) / 128)

// Sums over many points, so that the call itself does not count. Each has a loop of its own: one that is given
// different functions would be compiled well for none of them.
function sumOfCdfs(): number {
  let sum = 0
  for (const x of POINTS) sum += normalCdf(x)
  return sum
}

function sumOfExps(): number {
  let sum = 0
  for (const x of POINTS) sum += Math.exp(x)
  return sum
}

function sumOfSplits(scenario: Scenario): number {
  let sum = 0
  for (const tokens of THRESHOLDS) sum += splitTraffic(scenario, tokens).offloadedRatio
  return sum
}

const probes = {
  cdf: { prepare: () => sumOfCdfs },
  exp: { prepare: () => sumOfExps },
  split: {
    prepare: () => {
      const scenario = caseStudyScenario()
      return () => sumOfSplits(scenario)
    },
  },
} as const

export const bench: Bench = {
  summary: 'the innermost functions, for one call each',
  probes,
  run: async (): Promise<Findings> => {
    const perPoint = (runsMs: readonly number[]) => runsMs.map((ms) => ms / POINTS.length)
    const warm = measureWarm(probes, ['cdf', 'exp', 'split'])
    return {
      rows: [
        { what: 'normalCdf', runsMs: perPoint(warm.cdf) },
        { what: 'control: Math.exp', runsMs: perPoint(warm.exp) },
        { what: 'splitTraffic on the log-normal', runsMs: warm.split.map((ms) => ms / THRESHOLDS.length) },
      ],
      ratios: [ratioOf('normalCdf costs so many Math.exp', warm.cdf, warm.exp)],
    }
  },
}
