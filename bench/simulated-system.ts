/** What the benches of the simulator simulate. */
import { preset } from '../src/planner/presets.ts'
import { buildScenario, type Scenario } from '../src/planner/scenario.ts'
import { DEFAULT_SIMULATION, type SimulationOptions } from '../src/planner/sim-options.ts'
import { syntheticTraffic, type Traffic } from '../src/planner/sim-traffic.ts'
import type { Trace } from '../src/planner/trace.ts'
import { traceTraffic } from '../src/planner/trace-traffic.ts'

/** The paper's plan for its case study, at 74 % of its Lambda_max. */
export const PLAN = {
  ...DEFAULT_SIMULATION,
  roles: { remotePrefill: 4, localPrefill: 3, decode: 5 },
  thresholdTokens: 19_405,
  rateRps: 2.4,
  seed: 1,
} as const

/** Eight of sixteen local instances decode. */
const TRACE_ROLES = { remotePrefill: 4, localPrefill: 8, decode: 8 }

/** The case study whose steps take longer with more sequences and with more context, as measured ones do. */
export function traceScenario(): Scenario {
  const spec = preset('case-study')
  const stepSeconds = { fixed: 0.02, perSequence: 0.0003, perContextToken: 5e-8 }
  const decode = { ...spec.local.decode, batchMax: 64, stepSeconds }
  const instances = TRACE_ROLES.localPrefill + TRACE_ROLES.decode
  return buildScenario({ ...spec, local: { ...spec.local, instances, decode } })
}

export function traceOptions(trace: Trace): SimulationOptions {
  const { requestCount: requests } = trace
  const workload = { kind: 'trace', trace, rateRps: null } as const
  return { ...PLAN, roles: TRACE_ROLES, requests, workload }
}

/** The very requests of a run, for a peer. */
export function trafficOf({ lengths, outputTokens }: Scenario, options: SimulationOptions): Traffic {
  const { rateRps, requests, seed, workload } = options
  if (workload?.kind === 'trace')
    return traceTraffic(workload.trace, { rateRps: null, requests, seed, outputTokens, isFullBlocksOnly: false })
  const arrivals = { kind: 'poisson', rateRps, burstiness: 1 } as const
  return syntheticTraffic({ lengths, outputTokens, arrivals, curve: null, requests, seed })
}
