import { readTraceFile } from '../src/cli/read-trace.ts'
import { tuneForSimulation } from '../src/cli/simulation-speed.ts'
import type { CacheOptions } from '../src/planner/sim-options.ts'
import { simulateBatch } from '../src/planner/sim-run.ts'
import type { Trace } from '../src/planner/trace.ts'
import type { Bench, Findings } from './bench.ts'
import { measureCold, measureWarm, ratioOf } from './harness.ts'
import { mooncakeTrace, requestsOf } from './mooncake.ts'
import { simulateNaively } from './naive-simulate.ts'
import { spreadOf } from './print.ts'
import { traceOptions, traceScenario, trafficOf } from './simulated-system.ts'
import { REQUESTS } from './synthetic-trace.ts'

const TARGET_RPS = 100_000
const WHOLE_TARGET_MS = 100
const CACHES: CacheOptions = {
  scope: 'shared',
  remoteBlocks: 10_000,
  localBlocks: 10_000,
  stateBlocks: 0,
  checkpointBlocks: 0,
  policy: 'lru',
  isCopiedAcross: false,
}
const { hasMooncake, path: PATH, prepare, readNow } = mooncakeTrace('simulate-trace')

/** `caches` null: prompts are prefilled whole. */
function simulated(caches: CacheOptions | null) {
  return {
    prepare: () => {
      const trace = readNow()
      const scenario = traceScenario()
      return () => simulateBatch(scenario, { ...traceOptions(trace), caches })
    },
  }
}

const probes = {
  decode: simulated(null),
  cached: simulated(CACHES),
  stepping: {
    prepare: () => {
      const trace = readNow()
      return () => naiveOf(trace)
    },
  },
  /** Unpack, parse, check, simulate with a prefix cache, in a process that has done it before. */
  whole: {
    prepare: () => {
      const scenario = traceScenario()
      return () => simulateBatch(scenario, { ...traceOptions(readNow()), caches: CACHES })
    },
  },
  /** Open, unpack, parse, check, simulate with a prefix cache. */
  cold: {
    prepare: () => {
      tuneForSimulation()
      const scenario = traceScenario()
      return async () =>
        simulateBatch(scenario, { ...traceOptions(requestsOf(await readTraceFile(PATH))), caches: CACHES })
    },
  },
  'cold-parse': { prepare: () => async () => readTraceFile(PATH) },
} as const satisfies Bench['probes']

export const bench: Bench = {
  summary: 'a trace of 12,031 requests through 8 decode instances, exact to the iteration',
  probes,
  run: async (): Promise<Findings> => {
    await prepare()
    checkAgreement()
    const cold = measureCold('simulate-trace', ['cold', 'cold-parse'])
    const warm = measureWarm(probes, ['decode', 'cached', 'whole', 'stepping'])
    const rate = (runsMs: readonly number[]): string => {
      const { best, median } = spreadOf(runsMs)
      return `${thousands((1000 * REQUESTS) / best)} requests/s at best, ${thousands((1000 * REQUESTS) / median)} at the median`
    }
    return {
      rows: [
        {
          what: 'warm: trace already parsed',
          runsMs: warm.decode,
          targetMs: (1000 * REQUESTS) / TARGET_RPS,
          note: rate(warm.decode),
        },
        {
          what: `warm: with a prefix cache of ${CACHES.localBlocks} blocks`,
          runsMs: warm.cached,
          note: rate(warm.cached),
        },
        { what: 'warm: gunzip, parse, check, simulate with the cache', runsMs: warm.whole, targetMs: WHOLE_TARGET_MS },
        { what: 'warm: naive peer, an event a step', runsMs: warm.stepping, note: rate(warm.stepping) },
        { what: 'cold: gunzip, parse, check, simulate with the cache', runsMs: cold.cold, targetMs: WHOLE_TARGET_MS },
        { what: 'cold: gunzip, parse, check', runsMs: cold['cold-parse'] },
      ],
      ratios: [ratioOf('naive peer / ours, trace already parsed', warm.stepping, warm.decode)],
      notes: [
        hasMooncake
          ? "Mooncake's conversation trace."
          : "A synthetic trace; set MEMBRANE_MOONCAKE_TRACE to Mooncake's conversation_trace.jsonl(.gz) to simulate that.",
        'The replay of the cache alone, without queues and decode, is the bench `cache`.',
      ],
    }
  },
}

function naiveOf(trace: Trace) {
  const scenario = traceScenario()
  const options = traceOptions(trace)
  return simulateNaively(scenario, trafficOf(scenario, options), { ...options, decode: 'step' })
}

/** Stepping through every iteration must give the same TPOT, or what is timed is no exact decode. */
function checkAgreement(): void {
  const trace = readNow()
  const { sum, counts } = simulateBatch(traceScenario(), traceOptions(trace)).latencies.tpot
  const ours = sum / counts.reduce((total, count) => total + count, 0)
  const { tpotSecondsMean } = naiveOf(trace)
  if (Math.abs(ours / tpotSecondsMean - 1) <= 1e-9) return
  throw new Error(`The mean TPOT is ${ours} s, and by stepping through ${tpotSecondsMean} s.`)
}

function thousands(value: number): string {
  return `${Math.round(value / 1000)} k`
}
