import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CASE_STUDY, PLANNED } from '../../test/case-study.ts'
import { runs } from '../../test/effort.ts'
import { MembraneError } from '../core/errors.ts'
import type { AgentWorkload } from './agent-traffic.ts'
import { buildScenario, type Scenario, type ScenarioSpec } from './scenario.ts'
import { DEFAULT_SIMULATION, type PoolName, type SimulationOptions, type TimedEvent } from './sim-options.ts'
import { openSimulation } from './sim-run.ts'
import { checkLaws } from './simulation-laws.ts'
import type { Simulation } from './simulate.ts'

const { spec } = CASE_STUDY

/** A deployment: what the scenario is, apart from its traffic and its roles. */
const deployments = fc.record({
  input: fc.constantFrom<ScenarioSpec['workload']['input']>(
    spec.workload.input,
    { kind: 'fixed', tokens: 9000 },
    { kind: 'samples', tokens: [1, 300, 20_000, 40_000, 128_000], source: 'test' },
  ),
  outputTokens: fc.constantFrom(1, 2, 40, 1024),
  prefixHitRatio: fc.constantFrom(0, 0, 0.5),
  linkGbps: fc.constantFrom(100, 10, 1000),
  batchMax: fc.constantFrom(1, 3, 20),
  perSequence: fc.constantFrom(0, 0.0005),
  perContextToken: fc.constantFrom(0, 1e-8),
  kvTokensMax: fc.constantFrom(undefined, undefined, 300_000, 600_000),
})

const pools: readonly PoolName[] = ['remotePrefill', 'localPrefill', 'decode']
const events = fc.oneof(
  fc.record({
    kind: fc.constant('link' as const),
    share: fc.double({ min: 0, max: 1.2, noNaN: true }),
    gbps: fc.constantFrom(0, 0.5, 5, 100, 4000),
  }),
  fc.record({
    kind: fc.constantFrom('lose' as const, 'restore' as const),
    share: fc.double({ min: 0, max: 1.2, noNaN: true }),
    pool: fc.constantFrom(...pools),
    instances: fc.integer({ min: 1, max: 4 }),
  }),
)

const agents: AgentWorkload = {
  kind: 'agents',
  systemTokens: 2000,
  firstTokens: 9000,
  turnTokens: 4000,
  outputTokens: 60,
  turnsMean: 5,
  turnGapSeconds: 20,
  blockTokens: 512,
  promptTokensMax: 100_000,
}

const caches = fc.record({
  scope: fc.constantFrom('cluster' as const, 'shared' as const),
  remoteBlocks: fc.constantFrom(0, 60, 400, 4000),
  localBlocks: fc.constantFrom(0, 60, 400, 4000),
  stateBlocks: fc.constantFrom(0, 20),
  checkpointBlocks: fc.constantFrom(0, 8),
  policy: fc.constant('lru' as const),
  isCopiedAcross: fc.boolean(),
})

const loads = fc.record({
  rateRps: fc.constantFrom(0.3, 2, 3, 6),
  requests: fc.integer({ min: 1, max: 300 }),
  seed: fc.nat(),
  remotePrefill: fc.integer({ min: 0, max: 4 }),
  localPrefill: fc.integer({ min: 0, max: 4 }),
  decode: fc.integer({ min: 1, max: 4 }),
  thresholdTokens: fc.constantFrom(0, 5000, 19_405, 200_000),
  scheduler: fc.constantFrom('on' as const, 'fixed' as const, 'off' as const),
  routing: fc.constantFrom('threshold' as const, 'latency' as const, 'economic' as const),
  regime: fc.constantFrom('bandwidth-scarce' as const, 'bandwidth-abundant' as const),
  mode: fc.constantFrom('after-prefill' as const, 'layerwise' as const),
  layers: fc.constantFrom(1, 2, 60),
  rttSeconds: fc.constantFrom(0, 0.1, 3),
  flowGbpsMax: fc.constantFrom(null, 2),
  stagingBytesMax: fc.constantFrom(undefined, 1, 1e9, 1e10),
  roleChangeSeconds: fc.constantFrom(0, 30),
  replanSeconds: fc.constantFrom(20, 300),
  detectionSeconds: fc.constantFrom(0, 5),
  burstiness: fc.constantFrom(1, 4),
  caches: fc.option(caches, { nil: null }),
  isAgents: fc.boolean(),
})

interface Case {
  readonly scenario: Scenario
  readonly options: SimulationOptions
}

type Load = typeof loads extends fc.Arbitrary<infer T> ? T : never
type Deployment = typeof deployments extends fc.Arbitrary<infer T> ? T : never
type Event = typeof events extends fc.Arbitrary<infer T> ? T : never

/** All that was lost comes back in the end, so that every run can end. */
function caseOf(deployment: Deployment, load: Load, drawn: readonly Event[]): Case {
  const { input, outputTokens, prefixHitRatio, linkGbps, batchMax, perSequence, perContextToken, kvTokensMax } =
    deployment
  const { remotePrefill, localPrefill: wanted, decode, mode, layers, rttSeconds, flowGbpsMax, isAgents, ...rest } = load
  const localPrefill = remotePrefill + wanted === 0 ? 1 : wanted
  const scenario = buildScenario({
    ...spec,
    local: {
      ...spec.local,
      instances: Math.max(2, localPrefill + decode),
      decode: {
        ...spec.local.decode,
        batchMax,
        stepSeconds: { fixed: 0.02, perSequence, perContextToken },
        kvTokensMax,
      },
    },
    link: { ...spec.link, gbps: linkGbps },
    workload: { ...spec.workload, input, outputTokens, prefixHitRatio },
  })
  const seconds = load.requests / load.rateRps
  const list: TimedEvent[] = drawn.map(({ share, ...event }) => ({ ...event, atSeconds: share * seconds }))
  list.sort((a, b) => a.atSeconds - b.atSeconds)
  const endSeconds = 1.2 * seconds + 40
  if (list.length > 0) {
    for (const pool of pools) list.push({ kind: 'restore', atSeconds: endSeconds, pool, instances: 16 })
    list.push({ kind: 'link', atSeconds: endSeconds, gbps: linkGbps })
  }
  return {
    scenario,
    options: {
      ...DEFAULT_SIMULATION,
      ...rest,
      roles: { remotePrefill, localPrefill, decode },
      arrivals: load.burstiness === 1 ? 'poisson' : 'gamma',
      transfer: { mode, layers, rttSeconds, flowGbpsMax },
      workload: isAgents ? agents : undefined,
      caches: isAgents ? load.caches : null,
      events: list,
      seriesSeconds: seconds / 7,
      timelines: 20,
    },
  }
}

/** Runs event by event and looks at everything that must hold in between. */
function runWatched({ scenario, options }: Case): void {
  const { simulation, control } = openSimulation(scenario, options)
  let last = 0
  for (let steps = 0; !simulation.isDone; steps++) {
    simulation.run(1)
    if (!(simulation.nowSeconds >= last)) throw new Error(`time went back from ${last} to ${simulation.nowSeconds}`)
    last = simulation.nowSeconds
    if (simulation.arrived !== simulation.record.completed + simulation.inSystem) throw new Error('a job is lost')
    if (steps > 2_000_000) throw new Error('the run does not end')
  }
  checkLaws(simulation)
  const { locals, remote, local, link, nowSeconds, waitingForSlot, staging } = simulation
  expect(control.series?.series.endSeconds.every(Number.isFinite) ?? true).toBe(true)
  expect([
    remote.inSystem.value,
    local.inSystem.value,
    link.flows.value,
    waitingForSlot.count,
    staging.waiting,
  ]).toEqual([0, 0, 0, 0, 0])
  expect(local.busy.value).toBe(0)
  expect(Number.isFinite(nowSeconds)).toBe(true)
  expect(locals.alive).toBeLessThanOrEqual(options.roles.localPrefill + options.roles.decode)
}

/** A deployment and a load where nothing is special, for cases that say only what is. */
const PLAIN_DEPLOYMENT: Deployment = {
  input: spec.workload.input,
  outputTokens: 1,
  prefixHitRatio: 0,
  linkGbps: 100,
  batchMax: 1,
  perSequence: 0,
  perContextToken: 0,
  kvTokensMax: undefined,
}
const PLAIN_LOAD: Load = {
  rateRps: 0.3,
  requests: 66,
  seed: 0,
  remotePrefill: 0,
  localPrefill: 0,
  decode: 1,
  thresholdTokens: 0,
  scheduler: 'on',
  routing: 'threshold',
  regime: 'bandwidth-scarce',
  mode: 'after-prefill',
  layers: 1,
  rttSeconds: 0,
  flowGbpsMax: null,
  stagingBytesMax: undefined,
  roleChangeSeconds: 0,
  replanSeconds: 20,
  detectionSeconds: 0,
  burstiness: 1,
  caches: null,
  isAgents: false,
}
const lose = (share: number, pool: PoolName, instances: number): Event => ({ kind: 'lose', share, pool, instances })

/** What broke once: each of these runs got stuck, or ended with a law broken. */
const BROKE_ONCE: [Deployment, Load, Event[]][] = [
  // The only instance that decodes was given the role of the one that was lost.
  [PLAIN_DEPLOYMENT, { ...PLAIN_LOAD, requests: 1 }, [lose(0, 'localPrefill', 1)]],
  // A plan that serves nobody was adopted, and kept for want of arrivals.
  [PLAIN_DEPLOYMENT, PLAIN_LOAD, [lose(0, 'decode', 1)]],
  // The run gave up when the instance was back, before the scheduler had seen it.
  [PLAIN_DEPLOYMENT, { ...PLAIN_LOAD, rateRps: 6, requests: 16 }, [lose(0, 'decode', 1)]],
  // The last to decode was to prefill, while the next to decode held a prefill that nobody had room for.
  [
    { ...PLAIN_DEPLOYMENT, outputTokens: 1024 },
    { ...PLAIN_LOAD, rateRps: 6, requests: 101, localPrefill: 2, decode: 2, stagingBytesMax: 1e9 },
    [lose(1.188_118_811_881_188_5, 'localPrefill', 1), lose(0, 'localPrefill', 1)],
  ],
  // Bytes that were counted and taken back again left rounding.
  [
    PLAIN_DEPLOYMENT,
    {
      ...PLAIN_LOAD,
      requests: 35,
      seed: 358_849_079,
      remotePrefill: 2,
      localPrefill: 1,
      mode: 'layerwise',
      layers: 60,
    },
    [lose(0.198_990_725_836_418_55, 'remotePrefill', 2), { kind: 'link', share: 0, gbps: 0 }],
  ],
  // The run gave up before the scheduler had seen that a change of role was over, and that another one was possible.
  [
    PLAIN_DEPLOYMENT,
    {
      ...PLAIN_LOAD,
      rateRps: 2,
      requests: 3,
      seed: 490_370_976,
      stagingBytesMax: 1,
      roleChangeSeconds: 30,
      burstiness: 4,
    },
    [lose(0, 'decode', 1)],
  ],
]

describe('the laws of a simulation', () => {
  const check = (deployment: Deployment, load: Load, drawn: readonly Event[]): void => {
    const one = caseOf(deployment, load, drawn)
    try {
      runWatched(one)
    } catch (error) {
      // What could never be decoded is refused, and says why.
      if (error instanceof MembraneError && error.code === 'INVALID_REQUEST' && error.message.includes('kvTokensMax'))
        return
      throw error
    }
  }

  it('hold whatever the deployment, the load and what happens to them', { timeout: runs(30_000, 3_600_000) }, () => {
    fc.assert(fc.property(deployments, loads, fc.array(events, { maxLength: 8 }), check), {
      numRuns: runs(150, 20_000),
      examples: BROKE_ONCE,
    })
  })

  it('hold where KV has little room, transfers are slow and clusters come and go', {
    timeout: runs(30_000, 3_600_000),
  }, () => {
    const harsh = fc.record({
      stagingBytesMax: fc.constantFrom(1, 1e9, 1e10),
      mode: fc.constantFrom('layerwise' as const, 'after-prefill' as const),
      layers: fc.constantFrom(2, 60),
      remotePrefill: fc.integer({ min: 1, max: 4 }),
      localPrefill: fc.integer({ min: 1, max: 4 }),
      rateRps: fc.constantFrom(2, 6),
      regime: fc.constant('bandwidth-abundant' as const),
      isAgents: fc.boolean(),
      caches: caches.map((one) => ({ ...one, isCopiedAcross: true })),
    })
    fc.assert(
      fc.property(
        deployments,
        loads,
        harsh,
        fc.array(events, { minLength: 3, maxLength: 12 }),
        (deployment, load, more, drawn) => {
          check(
            { ...deployment, linkGbps: 10, batchMax: deployment.batchMax === 1 ? 1 : 3 },
            { ...load, ...more },
            drawn,
          )
        },
      ),
      { numRuns: runs(80, 20_000) },
    )
  })

  it('are broken when a number is not what happened', () => {
    const broken = (spoil: (simulation: Simulation) => void): (() => void) => {
      const { simulation } = openSimulation(CASE_STUDY, { ...PLANNED, requests: 500 })
      simulation.run(Number.POSITIVE_INFINITY)
      spoil(simulation)
      return () => {
        checkLaws(simulation)
      }
    }
    const spoils: [string, (simulation: Simulation) => void][] = [
      ['bytes over the link', ({ record }) => (record.bytesSent *= 1.001)],
      ['injected = completed', ({ record }) => (record.completed -= 1)],
      ['Little, whole system', ({ record }) => (record.sojournSecondsSum += 1)],
      ['Little, decode', ({ record }) => (record.decodeSecondsSum *= 1.0001)],
      ['Little, link', ({ record }) => (record.transfer.serviceSecondsSum += 0.1)],
      ['Little, remote prefill', ({ record }) => record.remotePrefill.waitSeconds.record(1)],
      [
        'utilisation, local prefill',
        ({ local, nowSeconds }) => {
          local.busy.add(1, nowSeconds - 1)
        },
      ],
      ['what is prefilled remotely is sent', ({ record }) => record.transfer.waitSeconds.record(0)],
      ['every request is prefilled once', ({ record }) => record.localPrefill.waitSeconds.record(0)],
      ['no token before its KV', ({ record }) => record.ttft.record(1e6)],
      ['no end before the first token', ({ record }) => record.firstToken.record(1e6)],
    ]
    expect(broken(() => 0)).not.toThrow()
    for (const [law, spoil] of spoils) expect(broken(spoil), law).toThrow(law)
  })
})
