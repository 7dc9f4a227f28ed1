import { seededRandom } from '../src/core/random.ts'
import { empiricalLengths } from '../src/planner/empirical.ts'
import { sampleLength } from '../src/planner/lengths.ts'
import { buildScenario, type Scenario } from '../src/planner/scenario.ts'
import type { Bench, Findings } from './bench.ts'
import { measureCold, measureWarm, ratioOf } from './harness.ts'
import { searchNaively } from './naive-grid.ts'
import { CASE_STUDY, caseStudyScenario, searchGrid } from './paper-grid.ts'

const SAMPLES = 10_000
const SEED = 20_260_415
const TARGET_MS = 5
/** What the earlier Python implementation took for the same grid on 10,000 samples. Quoted, not run here. */
const PYTHON_MS = 592

function sampleOf(scenario: Scenario): Float64Array {
  const random = seededRandom(SEED)
  return Float64Array.from({ length: SAMPLES }, () => sampleLength(scenario.lengths, random))
}

const probes = {
  /** Sort, running sums and 1,771 points. */
  sampled: {
    prepare: () => {
      const scenario = caseStudyScenario()
      const sample = sampleOf(scenario)
      return () => searchGrid(scenario, empiricalLengths(sample))
    },
  },
  /** The same from the specification: profiles are compiled and checked too. */
  'from-spec': {
    prepare: () => {
      const sample = sampleOf(caseStudyScenario())
      const input = { kind: 'samples', tokens: sample, source: 'bench' } as const
      const spec = { ...CASE_STUDY, workload: { ...CASE_STUDY.workload, input } }
      return () => {
        const scenario = buildScenario(spec)
        return searchGrid(scenario, scenario.lengths)
      }
    },
  },
  naive: {
    prepare: () => {
      const scenario = caseStudyScenario()
      const sample = sampleOf(scenario)
      return () => searchNaively(scenario, sample)
    },
  },
} as const

export const bench: Bench = {
  summary: '253 thresholds x 7 splits on 10,000 sampled lengths',
  probes,
  run: async (): Promise<Findings> => {
    checkSameAnswer()
    const cold = measureCold('grid', ['sampled', 'from-spec', 'naive'])
    const warm = measureWarm(probes, ['sampled', 'naive'])
    return {
      rows: [
        { what: 'cold: sort, sums, grid', runsMs: cold.sampled, targetMs: TARGET_MS },
        { what: 'cold: the same with profiles compiled', runsMs: cold['from-spec'] },
        { what: 'cold: naive peer', runsMs: cold.naive },
        { what: 'warm: sort, sums, grid', runsMs: warm.sampled },
        { what: 'warm: naive peer', runsMs: warm.naive },
      ],
      ratios: [
        ratioOf('faster than the naive peer, cold', cold.naive, cold.sampled),
        ratioOf('faster than the naive peer, warm', warm.naive, warm.sampled),
      ],
      notes: [
        `The earlier Python implementation took ${PYTHON_MS} ms on other hardware: quoted for scale, not run, so no ratio is given.`,
      ],
    }
  },
}

/** The peer is only a peer if it answers the same. */
function checkSameAnswer(): void {
  const scenario = caseStudyScenario()
  const sample = sampleOf(scenario)
  const ours = searchGrid(scenario, empiricalLengths(sample)).lambdaMaxRps
  const theirs = searchNaively(scenario, sample).lambdaMaxRps
  if (Math.abs(ours - theirs) > 1e-9 * theirs) throw new Error(`The grid gives ${ours} requests/s, the peer ${theirs}.`)
}
