import type { Command } from 'commander'
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { requestCapacity } from '../planner/request-capacity.ts'
import { type Scenario, withLinkGbps } from '../planner/scenario.ts'
import type { SimulationOptions } from '../planner/sim-options.ts'
import { summarize } from '../planner/simulation-result.ts'
import { printJson, printNotes, printText, printWarnings } from './print.ts'
import { checkOutputs, writeOutput } from './output-file.ts'
import { printConfigIfAsked } from './print-config.ts'
import { refuseGiven } from './refused-flags.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { number } from './numbers.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { checkThreshold } from './simulate-checks.ts'
import { addSimulationFlags, type SimulationFlags, workersOf } from './simulate-flags.ts'
import { planOf, studyOfFlags } from './simulate-load.ts'
import { runSimulations } from './simulate-run.ts'
import { csvOf, sweepText } from './sweep-table.ts'

interface SweepFlags extends ScenarioFlags, SimulationFlags, GlobalFlags {
  readonly over: readonly string[]
  readonly rate?: number
  readonly csv?: string
}

/** What can be swept, and what its values are. */
const DIMENSIONS = {
  rate: 'mean arrivals, requests per second',
  load: 'mean arrivals as a share of the rate that the deployment sustains',
  threshold: 'uncached tokens above which prompts are offloaded',
  'local-prefill': 'local instances that prefill',
  'link-gbps': 'bandwidth of the link, 10^9 bit/s',
  'rtt-ms': 'round trip between the clusters',
  burstiness: 'squared variation of gamma (or weibull) arrivals',
} as const satisfies Readonly<Record<string, string>>
type Dimension = keyof typeof DIMENSIONS

/** The flag that says for all points what a dimension says for each. */
const FLAG_OF = {
  rate: 'rate',
  load: 'rate',
  threshold: 'threshold',
  'local-prefill': 'localPrefill',
  'link-gbps': 'linkGbps',
  'rtt-ms': 'rttMs',
  burstiness: 'burstiness',
} as const satisfies Readonly<Record<Dimension, keyof SweepFlags>>

export function defineSweep(command: Command): void {
  addSimulationFlags(
    addScenarioFlags(
      command.description('simulations over a range of rates, thresholds, links or splits; all see the same seeds'),
    )
      .optionsGroup('Sweep:')
      .requiredOption(
        '--over <name=values>',
        `a list (rate=1,2,3) or a range (rate=1:3:0.5); several make a grid. Names: ${Object.keys(DIMENSIONS).join(', ')}; link-gbps and local-prefill plan t anew at each point`,
        (value: string, before: readonly string[] | undefined) => [...(before ?? []), value],
      )
      .option('--rate <n>', 'mean arrivals, requests per second, where they are not swept', number)
      .option('--csv <file>', 'write the table as CSV'),
    { hasPages: false },
  )
  onRun<SweepFlags>(command, async (flags) => {
    const axes = flags.over.map(parseAxis)
    const points = gridOf(axes)
    checkSwept(axes, flags)
    await checkOutputs([{ flag: '--csv', path: flags.csv }])
    const isRateSwept = axes.some(({ name }) => name === 'rate' || name === 'load')
    const study = await studyOfFlags({ ...flags, rate: flags.rate ?? (isRateSwept ? 1 : undefined) } as SweepFlags)
    const [run] = study.runs
    assert(run !== undefined, 'a study has a run')
    if (await printConfigIfAsked(study.loaded.config, flags)) return
    printNotes(study.loaded.notes)
    printWarnings(study.warnings)
    const questions = points.map((point) => ({
      ...questionAt(point, { scenario: study.scenario, options: run.options, flags }),
      replications: study.replications,
    }))
    const answers = await runSimulations(questions, { workers: workersOf(flags), what: `${points.length} simulations` })
    const rows = points.map((point, k) => {
      const question = questions[k]
      assert(question !== undefined, 'every point has a question')
      const { scenario, options } = question
      return { point, options, result: summarize(scenario, options, answers[k] ?? []) }
    })
    if (flags.csv !== undefined) await writeOutput({ flag: '--csv', path: flags.csv }, csvOf(axes, rows))
    if (flags.json === true) printJson(rows.map(({ point, result }) => ({ ...Object.fromEntries(point), ...result })))
    else printText(sweepText(study.title, axes, rows))
  })
}

interface Axis {
  readonly name: Dimension
  readonly values: readonly number[]
  /** How many were asked for; of too many, not all are made. */
  readonly count: number
}

type Point = ReadonlyMap<Dimension, number>

function parseAxis(text: string): Axis {
  const [rawName = '', rawValues = '', ...rest] = text.split('=')
  const name = (Object.keys(DIMENSIONS) as Dimension[]).find((known) => known === rawName)
  const ends = rawValues.split(':').map(Number)
  const [from, to, step] = ends
  const isRange =
    ends.length === 3 && from !== undefined && to !== undefined && step !== undefined && step > 0 && to >= from
  const steps = isRange ? Math.floor((to - from) / step + 1e-9) + 1 : 0
  const values = isRange
    ? Array.from({ length: Math.min(LIMITS.sweepPointsMax, steps) }, (_, k) =>
        Number((from + k * step).toPrecision(12)),
      )
    : rawValues.split(',').map((value) => (value.trim() === '' ? Number.NaN : Number(value)))
  if (name === undefined || rest.length > 0 || values.some((value) => !Number.isFinite(value))) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `--over ${text}: expected a name and values, as rate=1,2,3 or rate=1:3:0.5.`,
      {
        remedy: `Names: ${Object.keys(DIMENSIONS).join(', ')}.`,
      },
    )
  }
  return { name, values, count: isRange ? steps : values.length }
}

/** What is swept is not said for all points too, and Poisson arrivals have no burstiness to sweep. */
function checkSwept(axes: readonly Axis[], flags: SweepFlags): void {
  for (const { name } of axes) {
    refuseGiven(flags, [FLAG_OF[name]], `does not go with --over ${name}, which says it for each point`)
    if (name === 'burstiness' && flags.arrivals === 'poisson')
      refuseGiven(flags, ['arrivals'], 'poisson does not go with --over burstiness: it is 1')
    if (name === 'threshold' && flags.scheduler === 'off')
      refuseGiven(flags, ['scheduler'], 'off does not go with --over threshold: it does not look at lengths')
    if (name === 'threshold' && flags.routing !== 'threshold')
      refuseGiven(flags, ['routing'], `${flags.routing} does not go with --over threshold: it has none`)
  }
}

/** Every combination, the last axis fastest. */
function gridOf(axes: readonly Axis[]): Point[] {
  const names = axes.map(({ name }) => (name === 'load' ? 'rate' : name))
  if (new Set(names).size < names.length) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `--over was given twice for one thing: ${axes.map(({ name }) => name).join(', ')}; expected each name once, and rate or load.`,
    )
  }
  const size = axes.reduce((product, { count }) => product * count, 1)
  if (size > LIMITS.sweepPointsMax)
    throw new MembraneError('LIMIT_REACHED', `The sweep has ${size} points, expected at most ${LIMITS.sweepPointsMax}.`)
  return axes.reduce<Point[]>(
    (points, { name, values }) => points.flatMap((point) => values.map((value) => new Map(point).set(name, value))),
    [new Map<Dimension, number>()],
  )
}

function questionAt(
  point: Point,
  base: { readonly scenario: Scenario; readonly options: SimulationOptions; readonly flags: SweepFlags },
): { readonly scenario: Scenario; readonly options: SimulationOptions } {
  const { flags } = base
  const gbps = point.get('link-gbps')
  const linked = gbps === undefined ? base.scenario : withLinkGbps(base.scenario, checkedGbps(gbps))
  const threshold = checkThreshold('--over threshold', point.get('threshold')) ?? flags.threshold
  const localPrefill = point.get('local-prefill') ?? flags.localPrefill
  // Where nothing that the plan rests on is swept, the plan stays.
  const plan =
    gbps === undefined && localPrefill === base.options.roles.localPrefill && threshold !== undefined
      ? { roles: base.options.roles, thresholdTokens: threshold }
      : planOf(linked, { threshold, localPrefill })
  const burstiness = point.get('burstiness')
  const rttMs = atLeastZero('rtt-ms', point.get('rtt-ms'))
  const options: SimulationOptions = {
    ...base.options,
    ...plan,
    ...(burstiness === undefined
      ? {}
      : {
          arrivals: flags.arrivals === undefined ? ('gamma' as const) : base.options.arrivals,
          burstiness: checked('burstiness', burstiness),
        }),
    ...(rttMs === undefined || base.options.transfer === undefined
      ? {}
      : { transfer: { ...base.options.transfer, rttSeconds: rttMs / 1000 } }),
  }
  const load = point.get('load')
  const rate = point.get('rate')
  if (load === undefined)
    return { scenario: linked, options: { ...options, ...(rate === undefined ? {} : { rateRps: rate }) } }
  return { scenario: linked, options: { ...options, rateRps: load * sustainable(linked, options) } }
}

function sustainable(scenario: Scenario, options: SimulationOptions): number {
  return requestCapacity(scenario, options).sustainableRps
}

function checked(name: string, value: number): number {
  if (value > 0) return value
  throw new MembraneError('INVALID_REQUEST', `--over ${name}: values must be above 0, found ${value}.`)
}

function checkedGbps(value: number): number {
  if (value >= LIMITS.linkGbpsMin && value <= LIMITS.linkGbpsMax) return value
  throw new MembraneError(
    'INVALID_REQUEST',
    `--over link-gbps: values must be above 0, from ${LIMITS.linkGbpsMin} to ${LIMITS.linkGbpsMax}, found ${value}.`,
  )
}

function atLeastZero(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value >= 0) return value
  throw new MembraneError('INVALID_REQUEST', `--over ${name}: values must be at least 0, found ${value}.`)
}
