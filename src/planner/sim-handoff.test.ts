import { describe, expect, it } from 'vitest'
import { AGENTS, CASE_STUDY, CLUSTER_CACHES, PLANNED, simulatePlanned } from '../../test/case-study.ts'
import { lose, restore, runUntil } from '../../test/losses.ts'
import { buildScenario } from './scenario.ts'
import type { SimulationOptions } from './sim-options.ts'
import { openSimulation } from './sim-run.ts'
import { checkLaws } from './simulation-laws.ts'

const { spec } = CASE_STUDY

describe('a loss of instances', () => {
  it('of the remote cluster breaks its transfers off, is noticed after a while, and then nothing is sent there', () => {
    const { simulation } = openSimulation(CASE_STUDY, {
      ...PLANNED,
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
    const { simulation } = openSimulation(CASE_STUDY, {
      ...PLANNED,
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

  it('of a stream that had not ended sends the repeated prefill whole where its layers find no room', () => {
    const slow = buildScenario({ ...spec, link: { gbps: 2 } })
    const { simulation } = openSimulation(slow, {
      ...PLANNED,
      requests: 200,
      thresholdTokens: 1,
      stagingBytesMax: 1,
      transfer: { mode: 'layerwise', layers: 2, rttSeconds: 0, flowGbpsMax: null },
    })
    // Phase 2: its layers stream.
    const isStreaming = (): boolean => simulation.link.jobsInFlight().some((job) => simulation.jobs.phase[job] === 2)
    runUntil(simulation, () => isStreaming() && simulation.staging.waiting > 0)
    // As long as one server is left, what waits to be sent takes the room that the stream gave back.
    simulation.lose('remotePrefill', 3)
    simulation.lose('remotePrefill', 1)
    simulation.restore('remotePrefill', 4)
    simulation.run(Number.POSITIVE_INFINITY)
    expect(simulation.isDone).toBe(true)
    checkLaws(simulation)
  })

  it('of the remote cluster sends nothing on that was waiting there for room', () => {
    const slow = buildScenario({ ...spec, link: { gbps: 2 } })
    const { simulation } = openSimulation(slow, { ...PLANNED, requests: 200, thresholdTokens: 1, stagingBytesMax: 1 })
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
      ...PLANNED,
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
})

describe('prefix caches in a run', () => {
  it('whose copies break off with the cluster they come from are computed instead', () => {
    const slow = buildScenario({ ...spec, link: { gbps: 3 } })
    const { simulation } = openSimulation(slow, {
      ...PLANNED,
      workload: AGENTS,
      caches: { ...CLUSTER_CACHES, isCopiedAcross: true },
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
      ...PLANNED,
      workload: AGENTS,
      caches: { ...CLUSTER_CACHES, isCopiedAcross: true },
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
      simulatePlanned({
        workload: AGENTS,
        caches: { ...CLUSTER_CACHES, isCopiedAcross },
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
    const caches = { ...CLUSTER_CACHES, isCopiedAcross: true }
    const run = simulatePlanned({ workload: AGENTS, caches, scheduler: 'fixed', rateRps: 1, thresholdTokens: 6000 })
    expect(run.bytesCopied).toBeGreaterThan(0)
  })
})
