import { tuneForSimulation } from '../src/cli/simulation-speed.ts'
import type { SimulationOptions } from '../src/planner/sim-options.ts'
import { openSimulation, simulateBatch } from '../src/planner/sim-run.ts'
import type { Bench, Findings, Probe } from './bench.ts'
import { measureCold, ratioOf } from './harness.ts'
import { simulateNaively } from './naive-simulate.ts'
import { caseStudyScenario } from './paper-grid.ts'
import { spreadOf } from './print.ts'
import { PLAN, trafficOf } from './simulated-system.ts'

const REQUESTS = 500_000
const TARGET_RPS = 1e6
/** With the scheduler: its plans cost more than all events between them, so fewer requests say as much. */
const SCHEDULED_REQUESTS = 100_000
const FIXED: SimulationOptions = { ...PLAN, requests: REQUESTS }
const SCHEDULED: SimulationOptions = { ...PLAN, requests: SCHEDULED_REQUESTS, scheduler: 'on' }

/**
 * A compiler flag cannot be taken back, and two simulators in one process would be compiled for each other's values: so
 * each runs in processes of its own, twice before it is timed.
 */
function warmedUp(work: () => unknown): Probe {
  return {
    prepare: () => {
      work()
      work()
      return work
    },
  }
}

function simulated(options: SimulationOptions): () => unknown {
  const scenario = caseStudyScenario()
  return () => simulateBatch(scenario, options)
}

function naive(): () => unknown {
  const scenario = caseStudyScenario()
  return () => simulateNaively(scenario, trafficOf(scenario, FIXED), { ...PLAN, decode: 'jump' })
}

function tuned(probe: () => Probe): Probe {
  return {
    prepare: () => {
      tuneForSimulation()
      return probe().prepare()
    },
  }
}

const probes = {
  simulate: tuned(() => warmedUp(simulated(FIXED))),
  cold: tuned(() => ({ prepare: () => simulated(FIXED) })),
  untuned: { prepare: () => warmedUp(simulated(FIXED)).prepare() },
  scheduled: tuned(() => warmedUp(simulated(SCHEDULED))),
  naive: { prepare: () => warmedUp(naive()).prepare() },
  'naive-tuned': tuned(() => warmedUp(naive())),
} as const satisfies Bench['probes']

export const bench: Bench = {
  summary: `discrete-event simulation of the case study at ${PLAN.rateRps} requests/s, ${REQUESTS} requests a run, one core`,
  probes,
  run: async (): Promise<Findings> => {
    checkAgreement()
    const runs = measureCold('simulate', ['simulate', 'untuned', 'cold', 'naive', 'naive-tuned', 'scheduled'])
    const targetMs = (1000 * REQUESTS) / TARGET_RPS
    return {
      rows: [
        { what: 'warm', runsMs: runs.simulate, targetMs, note: rateText(runs.simulate, REQUESTS) },
        { what: 'warm, without the compiler flag', runsMs: runs.untuned, note: rateText(runs.untuned, REQUESTS) },
        { what: 'first run of a process', runsMs: runs.cold, note: rateText(runs.cold, REQUESTS) },
        { what: 'naive peer, warm', runsMs: runs.naive, note: rateText(runs.naive, REQUESTS) },
        { what: 'naive peer, warm, with the flag', runsMs: runs['naive-tuned'] },
        {
          what: `scheduler on, ${SCHEDULED_REQUESTS} requests`,
          runsMs: runs.scheduled,
          note: rateText(runs.scheduled, SCHEDULED_REQUESTS),
        },
      ],
      ratios: [
        ratioOf('naive peer / ours', runs.naive, runs.simulate),
        ratioOf('naive peer with the flag / ours', runs['naive-tuned'], runs.simulate),
        ratioOf('naive peer / ours without the flag', runs.naive, runs.untuned),
      ],
      notes: [
        eventsText(runs.simulate),
        'The peer sees the very same requests; its mean TTFT must agree within 1 %, or the bench stops.',
      ],
    }
  },
}

/** A peer that answers another question would say nothing. */
function checkAgreement(): void {
  const scenario = caseStudyScenario()
  const options = { ...FIXED, requests: SCHEDULED_REQUESTS }
  const { mean } = openedMean(options)
  const { ttftSecondsMean } = simulateNaively(scenario, trafficOf(scenario, options), { ...PLAN, decode: 'jump' })
  if (Math.abs(mean / ttftSecondsMean - 1) <= 0.01) return
  throw new Error(`The mean TTFT is ${mean} s, and by the peer ${ttftSecondsMean} s.`)
}

function openedMean(options: SimulationOptions): { readonly mean: number; readonly events: number } {
  const { simulation } = openSimulation(caseStudyScenario(), options)
  let events = 0
  for (; !simulation.isDone; events++) simulation.run(1)
  return { mean: simulation.record.ttft.mean(), events }
}

function eventsText(runsMs: readonly number[]): string {
  const perRequest = openedMean({ ...FIXED, requests: SCHEDULED_REQUESTS }).events / SCHEDULED_REQUESTS
  const perSecond = (1000 * perRequest * REQUESTS) / spreadOf(runsMs).best
  return `${perRequest.toFixed(2)} events a request: ${millions(perSecond)} events/s at the best run.`
}

function rateText(runsMs: readonly number[], requests: number): string {
  const { best, median } = spreadOf(runsMs)
  return `${millions((1000 * requests) / best)} requests/s at best, ${millions((1000 * requests) / median)} at the median`
}

function millions(value: number): string {
  return `${(value / 1e6).toPrecision(3)} M`
}
