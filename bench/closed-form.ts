import type { Bench, Findings } from './bench.ts'
import { measureCold, measureWarm } from './harness.ts'
import { caseStudyScenario, searchGrid } from './paper-grid.ts'

const TARGET_MS = 1

const probes = {
  grid: {
    prepare: () => {
      const scenario = caseStudyScenario()
      return () => searchGrid(scenario, scenario.lengths)
    },
  },
  /** Profiles and the distribution are made and checked first. */
  'from-spec': {
    prepare: () => () => {
      const scenario = caseStudyScenario()
      return searchGrid(scenario, scenario.lengths)
    },
  },
} as const

export const bench: Bench = {
  summary: '253 thresholds x 7 splits straight from the truncated log-normal',
  probes,
  run: async (): Promise<Findings> => {
    const warm = measureWarm(probes, ['grid', 'from-spec'])
    const cold = measureCold('closed-form', ['grid', 'from-spec'])
    return {
      rows: [
        { what: 'warm: grid', runsMs: warm.grid, targetMs: TARGET_MS },
        { what: 'warm: from the specification', runsMs: warm['from-spec'] },
        { what: 'cold: grid', runsMs: cold.grid },
        { what: 'cold: from the specification', runsMs: cold['from-spec'] },
      ],
    }
  },
}
