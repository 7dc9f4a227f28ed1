import { optimize } from '../src/planner/optimize.ts'
import type { Bench, Findings } from './bench.ts'
import { measureCold, measureWarm } from './harness.ts'
import { CASE_STUDY } from './paper-grid.ts'
import { spreadOf } from './print.ts'

const probes = {
  optimize: { prepare: () => () => optimize(CASE_STUDY) },
  'with-slo': { prepare: () => () => optimize({ ...CASE_STUDY, slo: { ttftSecondsP90: 6 } }) },
} as const

export const bench: Bench = {
  summary: 'the whole answer, optimize() on the case study: three deployments, TTFT, assumptions, warnings',
  probes,
  run: async (): Promise<Findings> => {
    const warm = measureWarm(probes, ['optimize', 'with-slo'])
    const cold = measureCold('optimize', ['optimize', 'with-slo'])
    return {
      rows: [
        { what: 'warm', runsMs: warm.optimize },
        { what: 'warm: with P90 TTFT of 6 s', runsMs: warm['with-slo'] },
        { what: 'cold', runsMs: cold.optimize },
        { what: 'cold: with P90 TTFT of 6 s', runsMs: cold['with-slo'] },
      ],
      notes: [`${Math.round(1000 / spreadOf(warm.optimize).median)} searches a second at the warm median.`],
    }
  },
}
