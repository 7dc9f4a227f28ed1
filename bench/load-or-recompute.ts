/**
 * Reading everything, computing everything, and what a plan chooses, over links from very slow to very fast. The plan
 * starts from assumed rates and learns them from what its own rebuilds took; it is measured after a short warm-up.
 * Time is virtual: reads share a throttled link, and computing follows a profile, both with noise. With `--real` a node
 * with its engine, over a store that is throttled, takes the model's place.
 */
import { writeFile } from 'node:fs/promises'
import { medianOfSorted, sortedAscending } from '../src/core/quantile.ts'
import { renderPlot } from '../src/cli/terminal-plot.ts'
import { MeasuredRates } from '../src/policy/measured-rates.ts'
import { planRebuild } from '../src/reconstruct/plan-rebuild.ts'
import type { RebuildPlanRequest, PlanStep, ReuseCandidate } from '../src/reconstruct/rebuild-plan.ts'
import type { Bench, Findings } from './bench.ts'
import { timeText } from './print.ts'
import { virtualRig } from './virtual-rebuild.ts'

const PROMPT_TOKENS = 1500
const BLOCK_TOKENS = 16
const FRAGMENT_TOKENS = 128
/** The last tokens are new in every prompt: nobody holds them. */
const KNOWN_TOKENS = 1408
const KV_BYTES_PER_TOKEN = 2048
const PARALLEL_READS = 4

/** From 1 MB/s (1 KB/ms) to 10 GB/s. */
const LINKS = 30
const SLOWEST_BYTES_PER_SECOND = 1e6
const FASTEST_BYTES_PER_SECOND = 1e10
const WARM_UP_REBUILDS = 12
const MEASURED_REBUILDS = 15
const RATIO_TARGET = 1.1
/** One core is left to what reads and decides. */
const REAL_THREADS = 1
const HEADING = 'MB/s        read all   compute all   planned   of the better   tokens computed'

interface LinkResult {
  readonly bytesPerSecond: number
  readonly readSeconds: number
  readonly prefillSeconds: number
  readonly plannedSeconds: number
  /** One entry a rebuild. */
  readonly plannedRuns: readonly number[]
  readonly computedTokens: number
}

export const bench: Bench = {
  summary: `a prompt of ${PROMPT_TOKENS} tokens over links from slow to fast, in virtual time unless --real`,
  probes: {},
  run: async ({ isReal, svgPath }): Promise<Findings> => {
    if (isReal) return runReal(svgPath)
    const results = Array.from({ length: LINKS }, (_, k) => {
      const power = k / (LINKS - 1)
      return resultOf(SLOWEST_BYTES_PER_SECOND * (FASTEST_BYTES_PER_SECOND / SLOWEST_BYTES_PER_SECOND) ** power, k)
    })
    const ratios = results.map(ratioOf)
    const worst = Math.max(...ratios)
    return {
      rows: [0, LINKS / 2, LINKS - 1].flatMap((k) => {
        const result = results[k]
        if (result === undefined) return []
        const what = `planned, ${(result.bytesPerSecond / 1e6).toPrecision(3)} MB/s (virtual time)`
        return [{ what, runsMs: result.plannedRuns.map((seconds) => 1e3 * seconds) }]
      }),
      ratios: [{ what: 'best pure strategy / plan', values: ratios.map((ratio) => 1 / ratio) }],
      notes: [
        `Median of ${MEASURED_REBUILDS} rebuilds after ${WARM_UP_REBUILDS} that warm up; rates learnt, none given.`,
        HEADING,
        ...results.map(lineOf),
        `Worst: ${worst.toFixed(3)} of the better pure strategy, at most ${RATIO_TARGET} wanted: ${worst <= RATIO_TARGET ? 'met' : 'NOT MET'}.`,
        ...plotOf(results),
      ],
    }
  },
}

async function runReal(svgPath: string | null): Promise<Findings> {
  const { measureReal } = await import('./load-or-recompute-real.ts')
  const results = await measureReal(REAL_THREADS)
  const ratios = results.map(ratioOf)
  const worst = Math.max(...ratios)
  if (svgPath !== null) {
    const { curvesSvg } = await import('./load-or-recompute-svg.ts')
    const curve = (name: string, color: string, seconds: (result: LinkResult) => number) => ({
      name,
      color,
      points: results.map((result) => ({ x: result.bytesPerSecond / 1e6, y: 1e3 * seconds(result) })),
    })
    const curves = [
      curve('read all', '#c2571a', ({ readSeconds }) => readSeconds),
      curve('compute all', '#2f6fb0', ({ prefillSeconds }) => prefillSeconds),
      curve('planned', '#1b1b1b', ({ plannedSeconds }) => plannedSeconds),
    ]
    await writeFile(svgPath, await curvesSvg(curves))
  }
  const [middle] = results.slice(results.length / 2)
  return {
    rows: (middle === undefined ? [] : [middle]).map(({ bytesPerSecond, plannedRuns }) => ({
      what: `planned, ${(bytesPerSecond / 1e6).toPrecision(3)} MB/s (real node)`,
      runsMs: plannedRuns.map((seconds) => 1e3 * seconds),
    })),
    ratios: [{ what: 'best pure strategy / plan', values: ratios.map((ratio) => 1 / ratio) }],
    notes: [
      `A real node, ${REAL_THREADS} thread, over a throttled store; medians after a warm-up from assumed rates.`,
      `${HEADING}   rebuilds to warm up`,
      ...results.map((result) => `${lineOf(result)}${String(result.warmUpRebuilds ?? 'not steady').padStart(22)}`),
      `Worst: ${worst.toFixed(3)} of the better pure strategy, at most ${RATIO_TARGET} wanted: ${worst <= RATIO_TARGET ? 'met' : 'NOT MET'}.`,
      ...plotOf(results),
    ],
  }
}

function resultOf(bytesPerSecond: number, seed: number): LinkResult {
  const rates = new MeasuredRates()
  const candidates = fragments()
  const rig = virtualRig({ bytesPerSecond, latencySeconds: 1e-3, parallelReads: PARALLEL_READS, seed })
  const request: RebuildPlanRequest = {
    promptTokens: PROMPT_TOKENS,
    blockTokens: BLOCK_TOKENS,
    candidates,
    offers: [],
    rates,
    parallelReads: PARALLEL_READS,
  }
  const all = stepOf({ start: 0, end: PROMPT_TOKENS }, null)
  const reading = [
    ...candidates.map(({ span }, index) => stepOf(span, index)),
    stepOf({ start: KNOWN_TOKENS, end: PROMPT_TOKENS }, null),
  ]
  const planned: number[] = []
  const computed: number[] = []
  const [read, prefilled]: [number[], number[]] = [[], []]
  const unlearnt = new MeasuredRates()
  for (let rebuild = 0; rebuild < WARM_UP_REBUILDS + MEASURED_REBUILDS; rebuild++) {
    const { steps } = planRebuild(request)
    const seconds = rig.rebuild(steps, candidates, rates)
    if (rebuild < WARM_UP_REBUILDS) continue
    planned.push(seconds)
    computed.push(steps.reduce((sum, { source, span }) => sum + (source === 'prefill' ? span.end - span.start : 0), 0))
    // What the pure strategies see is not for the plan to learn from.
    read.push(rig.rebuild(reading, candidates, unlearnt))
    prefilled.push(rig.rebuild([all], candidates, unlearnt))
  }
  return {
    bytesPerSecond,
    readSeconds: median(read),
    prefillSeconds: median(prefilled),
    plannedSeconds: median(planned),
    plannedRuns: planned,
    computedTokens: median(computed),
  }
}

function fragments(): ReuseCandidate[] {
  return Array.from({ length: KNOWN_TOKENS / FRAGMENT_TOKENS }, (_, k) => ({
    source: 'peer',
    place: 'b',
    span: { start: k * FRAGMENT_TOKENS, end: (k + 1) * FRAGMENT_TOKENS },
    bytes: FRAGMENT_TOKENS * KV_BYTES_PER_TOKEN,
    reads: 1,
    continuesAt: 'any',
    recomputedTokens: 0,
  }))
}

function stepOf(span: PlanStep['span'], index: number | null): PlanStep {
  const source = index === null ? 'prefill' : 'peer'
  const bytes = index === null ? 0 : (span.end - span.start) * KV_BYTES_PER_TOKEN
  return { span, source, index, bytes, expectedSeconds: 0, prefillSeconds: 0, reason: '' }
}

function median(values: readonly number[]): number {
  return medianOfSorted(sortedAscending(values))
}

function ratioOf({ readSeconds, prefillSeconds, plannedSeconds }: LinkResult): number {
  return plannedSeconds / Math.min(readSeconds, prefillSeconds)
}

function lineOf(result: LinkResult): string {
  const { bytesPerSecond, readSeconds, prefillSeconds, plannedSeconds, computedTokens } = result
  return [
    (bytesPerSecond / 1e6).toPrecision(3).padEnd(10),
    timeText(1e3 * readSeconds).padStart(10),
    timeText(1e3 * prefillSeconds).padStart(13),
    timeText(1e3 * plannedSeconds).padStart(9),
    ratioOf(result).toFixed(3).padStart(15),
    String(computedTokens).padStart(17),
  ].join('')
}

function plotOf(results: readonly LinkResult[]): string[] {
  const series = (seconds: (result: LinkResult) => number) =>
    results.map((result) => ({ x: Math.log10(result.bytesPerSecond / 1e6), y: Math.log10(1e3 * seconds(result)) }))
  const powers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, k) => from + k)
  const heights = results.flatMap(({ readSeconds, prefillSeconds, plannedSeconds }) =>
    [readSeconds, prefillSeconds, plannedSeconds].map((seconds) => Math.log10(1e3 * seconds)),
  )
  const [low, high] = [Math.floor(Math.min(...heights)), Math.ceil(Math.max(...heights))]
  const format = (power: number): string => String(Number((10 ** power).toPrecision(1)))
  return renderPlot(
    {
      title: 'Until the prompt is ready, by the speed of the link',
      x: { title: 'MB/s', min: 0, max: 4, ticks: powers(0, 4), format },
      y: { title: 'ms', min: low, max: high, ticks: powers(low, high), format },
      series: [
        { name: 'read all', points: series((result) => result.readSeconds), glyph: 'r', ink: 'plain' },
        { name: 'compute all', points: series((result) => result.prefillSeconds), glyph: 'c', ink: 'plain' },
        { name: 'planned', points: series((result) => result.plannedSeconds), glyph: '●', ink: 'plain' },
      ],
      marks: [],
      notes: [],
    },
    { width: 100, color: false },
  )
}
