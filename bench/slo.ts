import { buildScenario } from '../src/planner/scenario.ts'
import { searchDeployment } from '../src/planner/search.ts'
import type { Bench, Findings } from './bench.ts'
import { measureCold, measureWarm } from './harness.ts'
import { CASE_STUDY, caseStudyScenario } from './paper-grid.ts'

const TARGET_MS = 50

const probes = {
  bounded: {
    prepare: () => {
      const scenario = buildScenario({ ...CASE_STUDY, slo: { ttftSecondsP90: 6 } })
      return () => searchDeployment(scenario, 'membrane-pd')
    },
  },
  unbounded: {
    prepare: () => {
      const scenario = caseStudyScenario()
      return () => searchDeployment(scenario, 'membrane-pd')
    },
  },
} as const

export const bench: Bench = {
  summary: 'search of every threshold and role assignment under P90 TTFT of 6 s, with queueing',
  probes,
  run: async (): Promise<Findings> => {
    const warm = measureWarm(probes, ['bounded', 'unbounded'])
    const cold = measureCold('slo', ['bounded', 'unbounded'])
    return {
      rows: [
        { what: 'warm: with the bound', runsMs: warm.bounded, targetMs: TARGET_MS },
        { what: 'warm: without a bound', runsMs: warm.unbounded },
        { what: 'cold: with the bound', runsMs: cold.bounded },
        { what: 'cold: without a bound', runsMs: cold.unbounded },
      ],
    }
  },
}
