import { describe, expect, it } from 'vitest'
import { CASE_STUDY as scenario, PLANNED as planned } from '../../test/case-study.ts'
import type { AgentWorkload } from './agent-traffic.ts'
import { buildScenario } from './scenario.ts'
import type { PoolName, SimulationOptions, TimedEvent } from './sim-options.ts'
import { openSimulation, type ReplicationData, simulateBatch } from './sim-run.ts'
import { checkLaws } from './simulation-laws.ts'
import { summarize } from './simulation-result.ts'
import type { Simulation } from './simulate.ts'

const { spec } = scenario
const agents: AgentWorkload = {
  kind: 'agents',
  systemTokens: 2000,
  firstTokens: 16_000,
  turnTokens: 9000,
  outputTokens: 500,
  turnsMean: 6,
  turnGapSeconds: 30,
  blockTokens: 512,
  promptTokensMax: 131_072,
}
const clusterCaches = {
  scope: 'cluster',
  remoteBlocks: 20_000,
  localBlocks: 20_000,
  stateBlocks: 0,
  checkpointBlocks: 0,
  policy: 'lru',
  isCopiedAcross: false,
} as const

const simulate = (change: Partial<SimulationOptions>): ReplicationData =>
  simulateBatch(scenario, { ...planned, ...change })

const lose = (atSeconds: number, pool: PoolName, instances: number): TimedEvent => ({
  kind: 'lose',
  atSeconds,
  pool,
  instances,
})
const restore = (atSeconds: number, pool: PoolName, instances: number): TimedEvent => ({
  kind: 'restore',
  atSeconds,
  pool,
  instances,
})

/** Runs until something holds, event by event. */
function runUntil(simulation: Simulation, isReached: () => boolean): void {
  while (!isReached()) {
    expect(simulation.isDone).toBe(false)
    simulation.run(1)
  }
}

describe('a run', () => {
  it('is the same to the last bit for the same seed, whatever it simulates, and another for another', () => {
    const changes: Partial<SimulationOptions>[] = [
      {},
      { scheduler: 'on', replanSeconds: 60, seriesSeconds: 30, timelines: 50 },
      { scheduler: 'off' },
      { events: [lose(300, 'remotePrefill', 4), lose(320, 'decode', 2), restore(500, 'remotePrefill', 4)] },
      { workload: agents, caches: clusterCaches, rateRps: 2 },
    ]
    for (const change of changes) {
      const [one, again, other] = [1, 1, 2].map((seed) => simulate({ ...change, seed, requests: 1200 }))
      expect(one).toEqual(again)
      expect(other?.latencies.ttft.sum).not.toBe(one?.latencies.ttft.sum)
    }
  })

  it('does not depend on how often its progress is asked for, or on what is recorded beside it', () => {
    const { simulation } = openSimulation(scenario, planned)
    while (!simulation.isDone) simulation.run(7)
    expect(simulation.record.ttft.data()).toEqual(simulate({}).latencies.ttft)
    expect(simulate({ seriesSeconds: 10, timelines: 100 }).latencies).toEqual(simulate({}).latencies)
  })

  it('sees the same requests at the same times under every scheduler, threshold and deployment', () => {
    const of = (change: Partial<SimulationOptions>): (readonly [number, number, number])[] =>
      simulate({ ...change, timelines: 3000 })
        .timelines.toSorted((a, b) => a.number - b.number)
        .map(({ number, arrivalSeconds, promptTokens }) => [number, arrivalSeconds, promptTokens])
    const base = of({})
    expect(base.length).toBe(2940)
    expect(of({ scheduler: 'on' })).toEqual(base)
    expect(of({ thresholdTokens: 50_000, roles: { remotePrefill: 2, localPrefill: 7, decode: 9 } })).toEqual(base)
  })

  it('keeps timelines whose times are in order and add up', () => {
    const { timelines } = simulate({ timelines: 200 })
    expect(timelines.length).toBe(200)
    for (const one of timelines) {
      const times = [
        one.arrivalSeconds,
        one.prefillStartSeconds,
        one.prefillEndSeconds,
        one.kvReadySeconds,
        one.joinSeconds,
        one.firstTokenSeconds,
        one.endSeconds,
      ]
      for (const [k, time] of times.entries()) expect(time).toBeGreaterThanOrEqual((times[k - 1] ?? 0) - 1e-9)
      expect(one.place).toBe(one.promptTokens > 19_405 ? 'remote' : 'local')
    }
  })

  it('records a series that adds up to the whole', () => {
    const data = simulate({ seriesSeconds: 25 })
    const { series } = data
    expect(series?.endSeconds[0]).toBe(25)
    const arrivals = series?.arrivalsRps.reduce((sum, rate) => sum + rate * 25, 0) ?? 0
    expect(arrivals).toBeGreaterThan(2900)
    expect(arrivals).toBeLessThanOrEqual(3000.001)
    for (const shares of [series?.linkUtilisation, series?.remoteUtilisation, series?.localUtilisation])
      for (const share of shares ?? []) expect(share >= 0 && share <= 1 + 1e-9).toBe(true)
    expect(series?.localPrefill.every((count) => count === 3)).toBe(true)
  })

  it('calls for progress until all is done', () => {
    const seen: number[] = []
    simulateBatch(scenario, planned, (completed) => seen.push(completed))
    expect(seen.at(-1)).toBe(3000)
  })
})

describe('a loss of instances', () => {
  it('repeats the prefills that were under way, and every request is served', () => {
    const data = simulate({
      events: [
        lose(400, 'remotePrefill', 2),
        lose(400, 'localPrefill', 1),
        restore(600, 'remotePrefill', 2),
        restore(600, 'localPrefill', 1),
      ],
    })
    expect(data.repeated).toBeGreaterThan(0)
    expect(data.repeated).toBeLessThanOrEqual(3)
    expect(data.requests).toBe(3000)
    // Open servers are fewer for so long.
    expect(data.stages.remotePrefill.openSeconds).toBeCloseTo(4 * data.seconds - 2 * 200, 6)
    expect(data.stages.localPrefill.openSeconds).toBeCloseTo(3 * data.seconds - 200, 6)
  })

  it('of decode instances leaves the first tokens that users saw as they were', () => {
    const of = (events: readonly TimedEvent[]) =>
      openSimulation(scenario, { ...planned, events, timelines: 3000, requests: 1500 })
    const [calm, broken] = [of([]), of([lose(400, 'decode', 3), restore(420, 'decode', 3)])]
    calm.simulation.run(Number.POSITIVE_INFINITY)
    broken.simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(broken.simulation)
    // Who had a first token before the loss keeps it: the same number of latencies, and all of those before are the same.
    const repeated = broken.simulation.record.repeated
    expect(repeated).toBeGreaterThan(10)
    const before = new Map(calm.control.timelines.map((one) => [one.number, one]))
    const ended = broken.control.timelines.filter(({ endSeconds }) => endSeconds < 400)
    expect(ended.length).toBeGreaterThan(500)
    for (const one of ended) expect(one).toEqual(before.get(one.number))
    // A sequence that is repeated ends later, but its TTFT is counted once, from the first time.
    expect(broken.simulation.record.ttft.count).toBe(calm.simulation.record.ttft.count)
    expect(broken.simulation.record.e2e.sum).toBeGreaterThan(calm.simulation.record.e2e.sum)
  })

  it('right after a first token counts that token once, and the request still generates all of its answer', () => {
    const one = { ...planned, requests: 1, rateRps: 1, thresholdTokens: 1e6 }
    const reference = openSimulation(scenario, one).simulation
    reference.run(Number.POSITIVE_INFINITY)
    const step = spec.local.decode.stepSeconds.fixed
    const [ttft, e2e] = [reference.record.ttft.sum, reference.record.e2e.sum]
    const { simulation } = openSimulation(scenario, { ...one, roles: { remotePrefill: 0, localPrefill: 1, decode: 2 } })
    const arrival = reference.record.lastArrivalSeconds
    // In the middle of the tenth step; the step counts as done.
    runUntil(simulation, () => simulation.locals.decoders.some(({ batch }) => batch === 1))
    const joined = simulation.nowSeconds
    simulation.schedule.set(4, joined + 9.5 * step)
    simulation.run(1)
    const job = 0
    simulation.lose('decode', 2)
    expect(simulation.jobs.tokensDone[job]).toBe(10)
    simulation.restore('decode', 2)
    simulation.run(Number.POSITIVE_INFINITY)
    expect(simulation.record.ttft.sum).toBeCloseTo(ttft, 9)
    expect(simulation.record.firstToken.sum).toBeCloseTo(ttft + step, 9)
    // The prompt and ten tokens are prefilled anew, then the other 1014 generated.
    const seconds =
      9.5 * step + scenario.local.profile.prefillSeconds.at((simulation.jobs.promptTokens[job] ?? 0) + 10) + 1014 * step
    expect(simulation.record.e2e.sum).toBeCloseTo(joined - arrival + seconds, 6)
    expect(simulation.record.e2e.sum).toBeGreaterThan(e2e)
    checkLaws(simulation)
  })

  it('in the last step of an answer repeats that step alone', () => {
    const one = {
      ...planned,
      requests: 1,
      rateRps: 1,
      thresholdTokens: 1e6,
      roles: { remotePrefill: 0, localPrefill: 1, decode: 1 },
    }
    const { simulation } = openSimulation(scenario, one)
    runUntil(simulation, () => simulation.locals.decoders.some(({ batch }) => batch === 1))
    simulation.schedule.set(4, simulation.nowSeconds + 1023.5 * spec.local.decode.stepSeconds.fixed)
    simulation.run(1)
    simulation.lose('decode', 1)
    expect(simulation.jobs.tokensDone[0]).toBe(1023)
    simulation.restore('decode', 1)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
    expect(simulation.record.completed).toBe(1)
  })

  it('of the remote cluster breaks its transfers off, is noticed after a while, and then nothing is sent there', () => {
    const { simulation } = openSimulation(scenario, {
      ...planned,
      requests: 600,
      rateRps: 1.6,
      detectionSeconds: 5,
      events: [lose(100, 'remotePrefill', 4), restore(250, 'remotePrefill', 4)],
    })
    runUntil(simulation, () => simulation.nowSeconds >= 100 && simulation.remote.openServers === 0)
    expect(simulation.link.jobsInFlight()).toEqual([])
    runUntil(simulation, () => simulation.nowSeconds > 104)
    expect(simulation.remote.waiting).toBeGreaterThan(0)
    runUntil(simulation, () => simulation.nowSeconds > 105.01)
    expect(simulation.remote.waiting).toBe(0)
    runUntil(simulation, () => simulation.nowSeconds > 249)
    expect([simulation.remote.waiting, simulation.link.flows.value]).toEqual([0, 0])
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
  })

  it('of a stream that had ended before its prefill gives its room back', () => {
    // A narrow prefill and a wide link: streams end long before prefills do.
    const { simulation } = openSimulation(scenario, {
      ...planned,
      requests: 300,
      thresholdTokens: 1,
      stagingBytesMax: 1,
      transfer: { mode: 'layerwise', layers: 2, rttSeconds: 0, flowGbpsMax: null },
      events: [
        lose(30, 'remotePrefill', 2),
        lose(40, 'remotePrefill', 2),
        restore(41, 'remotePrefill', 4),
        lose(60, 'remotePrefill', 4),
        restore(70, 'remotePrefill', 4),
      ],
    })
    simulation.run(Number.POSITIVE_INFINITY)
    expect(simulation.isDone).toBe(true)
    checkLaws(simulation)
  })

  it('of the remote cluster sends nothing on that was waiting there for room', () => {
    const slow = buildScenario({ ...spec, link: { gbps: 2 } })
    const { simulation } = openSimulation(slow, { ...planned, requests: 200, thresholdTokens: 1, stagingBytesMax: 1 })
    runUntil(simulation, () => simulation.staging.waiting > 2)
    simulation.lose('remotePrefill', 4)
    expect([simulation.staging.waiting, simulation.link.jobsInFlight()]).toEqual([0, []])
    simulation.restore('remotePrefill', 4)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
  })

  it('of servers that hold finished prefills leaves nothing of them behind', () => {
    const events = [20, 50, 80, 110, 140, 170].flatMap((at) => [
      lose(at, 'localPrefill', 3),
      restore(at + 0.5, 'localPrefill', 3),
    ])
    const narrow = buildScenario({ ...spec, local: { ...spec.local, decode: { ...spec.local.decode, batchMax: 2 } } })
    const { simulation } = openSimulation(narrow, {
      ...planned,
      requests: 100,
      thresholdTokens: 1e6,
      stagingBytesMax: 1,
      roles: { remotePrefill: 0, localPrefill: 3, decode: 1 },
      events,
    })
    runUntil(simulation, () => simulation.staging.waiting > 1)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
  })

  it('of all that prefills locally sends on who waits there, and the other way round', () => {
    const { simulation } = openSimulation(scenario, {
      ...planned,
      requests: 400,
      rateRps: 3,
      thresholdTokens: 60_000,
      events: [lose(100, 'localPrefill', 3)],
    })
    runUntil(simulation, () => simulation.nowSeconds > 99)
    expect(simulation.local.waiting).toBeGreaterThan(0)
    runUntil(simulation, () => simulation.nowSeconds > 101)
    expect(simulation.local.waiting).toBe(0)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
    const both = [lose(50, 'remotePrefill', 4), lose(50, 'localPrefill', 3), restore(90, 'localPrefill', 3)]
    // The remote cluster never comes back, but the local one can do its work.
    expect(simulate({ requests: 200, events: both }).requests).toBe(200)
  })

  it('of which nothing comes back ends with an error that says so, not with a run that never ends', () => {
    const stuck = expect.objectContaining({ code: 'OUT_OF_DOMAIN' })
    for (const scheduler of ['on', 'fixed', 'off'] as const) {
      expect(() =>
        simulate({ scheduler, requests: 300, events: [lose(20, 'decode', 5), lose(20, 'localPrefill', 3)] }),
      ).toThrow(stuck)
    }
    expect(() => simulate({ requests: 300, events: [lose(20, 'decode', 5)] })).toThrow(
      /requests wait for instances that are lost/,
    )
    expect(() => simulate({ requests: 300, events: [{ kind: 'link', atSeconds: 20, gbps: 0 }] })).toThrow(
      /requests wait for a link that carries nothing/,
    )
  })

  it('of the whole local cluster does not stop the scheduler, which plans again when it is back', () => {
    const events = [
      lose(200, 'decode', 5),
      lose(200, 'localPrefill', 3),
      restore(260, 'decode', 5),
      restore(260, 'localPrefill', 3),
    ]
    for (const replanSeconds of [20, 300]) {
      const data = simulate({ scheduler: 'on', requests: 1500, replanSeconds, events })
      expect(data.requests).toBe(1500)
    }
  })

  it('of the remote cluster for good makes the scheduler give an instance to prefill, where none did', () => {
    const roles = { remotePrefill: 4, localPrefill: 0, decode: 5 }
    const data = simulate({
      scheduler: 'on',
      roles,
      rateRps: 0.3,
      requests: 40,
      thresholdTokens: 1,
      events: [lose(20, 'remotePrefill', 4)],
    })
    expect(data.requests).toBe(40)
    expect(data.localPrefillEnd).toBeGreaterThan(0)
  })

  it('that leaves nobody to serve requests does not make the scheduler adopt a plan that serves nobody', () => {
    const roles = { remotePrefill: 4, localPrefill: 1, decode: 5 }
    const events = [
      lose(100, 'remotePrefill', 4),
      lose(100, 'decode', 5),
      restore(200, 'remotePrefill', 4),
      restore(200, 'decode', 5),
    ]
    const data = simulate({ scheduler: 'on', roles, rateRps: 1.5, requests: 800, replanSeconds: 20, events })
    expect(data.requests).toBe(800)
    expect(data.threshold.min).toBeGreaterThan(500)
  })

  it('leaves one instance that decodes, whatever the scheduler wants', () => {
    const roles = { remotePrefill: 0, localPrefill: 3, decode: 2 }
    const data = simulate({
      scheduler: 'on',
      roles,
      rateRps: 0.5,
      requests: 40,
      thresholdTokens: 1e6,
      events: [lose(5, 'localPrefill', 3)],
    })
    expect(data.requests).toBe(40)
  })
})

describe('prefix caches in a run', () => {
  it('give back the room of transfers that break off', () => {
    const caches = { ...clusterCaches, remoteBlocks: 600, localBlocks: 600 }
    const events = [100, 200, 300, 400, 500, 600].flatMap((at) => [
      lose(at, 'remotePrefill', 4),
      restore(at + 8, 'remotePrefill', 4),
    ])
    const options = { workload: agents, caches, rateRps: 2, requests: 2000, thresholdTokens: 1 }
    const slow = buildScenario({ ...spec, link: { gbps: 15 } })
    const after = simulateBatch(slow, { ...planned, ...options, events })
    const calm = simulateBatch(slow, { ...planned, ...options })
    expect(after.repeated).toBeGreaterThan(20)
    // Room that was never given back would shut later transfers, and prefixes, out for good.
    expect(after.cache?.transfersOutside ?? 0).toBeLessThan(2 * (calm.cache?.transfersOutside ?? 0) + 200)
    expect(after.cache?.hitTokens ?? 0).toBeGreaterThan(0.5 * (calm.cache?.hitTokens ?? 0))
  })

  it('send over the link only what the decode side lacks', () => {
    const of = (localBlocks: number): ReplicationData =>
      simulate({
        workload: agents,
        caches: { ...clusterCaches, localBlocks },
        thresholdTokens: 1,
        rateRps: 1,
        requests: 1500,
      })
    const [none, some] = [of(0), of(60_000)]
    const { kvBytes } = scenario.remote.profile
    expect(none.offloaded).toBe(1500)
    expect(some.bytesSent).toBeLessThan(0.5 * none.bytesSent)
    // With an endless local cache that hears of every prompt, each token's KV crosses once, and a state with each request.
    const { timelines } = simulate({
      workload: agents,
      caches: { ...clusterCaches, localBlocks: 0 },
      thresholdTokens: 1,
      rateRps: 1,
      requests: 200,
      timelines: 200,
    })
    expect(timelines.length).toBeGreaterThan(190)
    const whole = simulate({
      workload: agents,
      caches: { ...clusterCaches, localBlocks: 0 },
      thresholdTokens: 1,
      rateRps: 1,
      requests: 200,
    })
    const sum = timelines.reduce((total, { promptTokens }) => total + kvBytes.at(promptTokens), 0)
    expect(whole.bytesSent).toBeGreaterThanOrEqual(sum)
    expect(whole.bytesSent).toBeLessThan(1.1 * sum)
  })

  it('whose copies break off with the cluster they come from are computed instead', () => {
    const slow = buildScenario({ ...spec, link: { gbps: 3 } })
    const { simulation } = openSimulation(slow, {
      ...planned,
      workload: agents,
      caches: { ...clusterCaches, isCopiedAcross: true },
      regime: 'bandwidth-abundant',
      thresholdTokens: 6000,
      rateRps: 0.3,
      requests: 800,
    })
    const { link, jobs } = simulation
    for (let breaks = 0; breaks < 5; breaks++) {
      // Phase 1: a prefix on its way to the cluster that will prefill.
      runUntil(simulation, () => link.jobsInFlight().some((job) => jobs.phase[job] === 1))
      simulation.run(1)
      simulation.lose('remotePrefill', 4)
      expect(link.jobsInFlight()).toEqual([])
      simulation.restore('remotePrefill', 4)
    }
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
  })

  it('that are copied to a cluster which is gone when they come are used where they were', () => {
    const slow = buildScenario({ ...spec, link: { gbps: 0.5 } })
    const options: SimulationOptions = {
      ...planned,
      workload: agents,
      caches: { ...clusterCaches, isCopiedAcross: true },
      regime: 'bandwidth-abundant',
      thresholdTokens: 6000,
      rateRps: 0.2,
      requests: 300,
    }
    const probe = openSimulation(slow, options).simulation
    runUntil(probe, () => probe.reverseLink.jobsInFlight().length > 0)
    // The loss is noticed while the prefix is still on its way, and the cluster never comes back.
    const events = [lose(probe.nowSeconds + 0.01, 'remotePrefill', 4)]
    const { simulation } = openSimulation(slow, { ...options, events, detectionSeconds: 0.01 })
    runUntil(simulation, () => simulation.nowSeconds > probe.nowSeconds + 0.02)
    expect(simulation.reverseLink.jobsInFlight().length).toBe(1)
    runUntil(simulation, () => simulation.reverseLink.jobsInFlight().length === 0)
    expect(simulation.remote.waiting).toBe(0)
    simulation.run(Number.POSITIVE_INFINITY)
    checkLaws(simulation)
  })

  it('are copied across only where that is asked for and bandwidth is abundant', () => {
    const of = (isCopiedAcross: boolean, regime: 'bandwidth-scarce' | 'bandwidth-abundant'): number =>
      simulate({
        workload: agents,
        caches: { ...clusterCaches, isCopiedAcross },
        regime,
        // So long a period that the link's use is never looked at: the regime stays.
        controlSeconds: 1e8,
        rateRps: 1,
        thresholdTokens: 6000,
      }).bytesCopied
    expect([of(false, 'bandwidth-abundant'), of(true, 'bandwidth-scarce')]).toEqual([0, 0])
    expect(of(true, 'bandwidth-abundant')).toBeGreaterThan(0)
  })

  it('are copied across as soon as the link is seen to be little used, whoever schedules', () => {
    const caches = { ...clusterCaches, isCopiedAcross: true }
    const run = simulate({ workload: agents, caches, scheduler: 'fixed', rateRps: 1, thresholdTokens: 6000 })
    expect(run.bytesCopied).toBeGreaterThan(0)
  })

  it('need requests with block ids', () => {
    expect(() => simulate({ caches: clusterCaches })).toThrow(/block ids/)
  })

  it('raise the hit ratio with their size', () => {
    const ratio = (blocks: number): number => {
      const options = {
        ...planned,
        workload: agents,
        caches: { ...clusterCaches, remoteBlocks: blocks, localBlocks: blocks },
        rateRps: 1,
      }
      return summarize(scenario, options, [simulateBatch(scenario, options)]).cache?.hitRatioTokens ?? Number.NaN
    }
    const ratios = [0, 100, 1000, 20_000].map(ratio)
    expect(ratios[0]).toBe(0)
    for (const [k, one] of ratios.entries()) expect(one).toBeGreaterThanOrEqual(ratios[k - 1] ?? 0)
    expect(ratios.at(-1)).toBeGreaterThan(0.3)
  })
})
