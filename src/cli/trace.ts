import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { seededRandom } from '../core/random.ts'
import { sampleLength } from '../planner/lengths.ts'
import { buildScenario } from '../planner/scenario.ts'
import { analyzeTrace, type Distribution, type TraceAnalysis } from '../planner/trace-analysis.ts'
import { TRACE_FORMATS, type TraceFormat, type TraceRequest } from '../planner/trace.ts'
import { formatTrace } from '../planner/trace-writer.ts'
import { figure, heading, percent, printJson, printText, printNotes, table, tokens } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { readTraceFile } from './read-trace.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { number, whole } from './numbers.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { loadScenario } from './scenario-load.ts'

export function defineTrace(command: Command): void {
  command.description('read, describe and make request traces')
  defineAnalyze(command.command('analyze'))
  defineGenerate(command.command('generate'))
}

interface AnalyzeFlags extends GlobalFlags {
  readonly format?: string
}

function defineAnalyze(command: Command): void {
  command
    .description('lengths, rates, burstiness, prefix-hit ceiling and log-normal fit of a trace')
    .argument('<file>', 'trace file, .gz too; - is standard input')
    .option('--format <name>', `do not guess the format: ${Object.keys(TRACE_FORMATS).join(', ')}`)
  onRun<AnalyzeFlags>(command, async (flags, [file = '']) => {
    const analysis = analyzeTrace(
      await readTraceFile(file, flags.format === undefined ? {} : { format: formatNamed(flags.format) }),
    )
    if (flags.json === true) printJson(analysis)
    else printText(analysisText(file, analysis))
  })
}

function formatNamed(name: string): TraceFormat {
  if (Object.hasOwn(TRACE_FORMATS, name)) return name as TraceFormat
  throw new MembraneError('INVALID_REQUEST', `There is no trace format "${name}".`, {
    remedy: `Choose one of ${Object.keys(TRACE_FORMATS).join(', ')}.`,
  })
}

function analysisText(file: string, analysis: TraceAnalysis): string {
  const { inputTokens, outputTokens, prefixHitRatioMax, logNormalFit, clients } = analysis
  const lengths = (name: string, d: Distribution | null) =>
    d === null ? [] : [[name, tokens(d.mean), tokens(d.p50), tokens(d.p90), tokens(d.p99), tokens(d.max)]]
  const known = <T>(value: T | null | undefined, text: (value: T) => string): string[] =>
    value === null || value === undefined ? [] : [text(value)]
  return [
    heading(file),
    [
      ...known(analysis.requests, (count) => `${tokens(count)} requests`),
      ...known(analysis.durationSeconds, (seconds) => `over ${figure(seconds)} s`),
      ...known(analysis.requestsPerSecond, (rps) => `${figure(rps)} req/s`),
      ...known(analysis.dispersion60s, (value) => `dispersion of 60 s counts ${figure(value)} (Poisson is 1)`),
    ].join(', '),
    ...(inputTokens === null && outputTokens === null
      ? []
      : [
          table(
            ['tokens', 'mean', 'p50', 'p90', 'p99', 'max'],
            [...lengths('input', inputTokens), ...lengths('output', outputTokens)],
          ),
        ]),
    ...known(
      prefixHitRatioMax,
      (ratio) =>
        `Prefix hits with an infinite shared cache: ${percent(ratio.tokens)} of tokens, ${percent(ratio.blocks)} of blocks.`,
    ),
    ...known(
      logNormalFit,
      ({ mu, sigma }) => `Log-normal fit of the input: mu ${mu.toFixed(3)}, sigma ${sigma.toFixed(3)} (--mu, --sigma).`,
    ),
    ...known(
      clients,
      ({ count, windows, rateRps, weightedCv }) =>
        `${count} clients in ${tokens(windows)} windows; all together mean ${figure(rateRps.mean)}, p50 ${figure(rateRps.p50)}, ${figure(rateRps.min)} to ${figure(rateRps.max)} req/s; rate-weighted cv ${figure(weightedCv)}.`,
    ),
  ].join('\n\n')
}

interface GenerateFlags extends ScenarioFlags, GlobalFlags {
  readonly requests: number
  readonly rate: number
  readonly seed: number
  readonly out?: string
}

function defineGenerate(command: Command): void {
  addScenarioFlags(
    command.description(
      'draw a trace from a scenario: Poisson arrivals, lengths of its workload, in the Membrane format',
    ),
  )
    .requiredOption('--requests <n>', 'how many', whole)
    .requiredOption('--rate <n>', 'mean requests per second', number)
    .option('--seed <n>', 'the same seed draws the same trace', whole, 1)
    .option('-o, --out <file>', 'where to write it (default: standard output)')
  onRun<GenerateFlags>(command, async (flags) => {
    if (flags.requests > LIMITS.traceRequestsMax) {
      throw new MembraneError(
        'LIMIT_REACHED',
        `A trace has at most ${LIMITS.traceRequestsMax} requests, asked for ${flags.requests}.`,
      )
    }
    if (flags.burstiness !== undefined && flags.burstiness !== 1) {
      throw new MembraneError('INVALID_REQUEST', 'Generated arrivals are Poisson; --burstiness cannot be given.')
    }
    if (flags.requests < 1 || !(flags.rate > 0))
      throw new MembraneError('INVALID_REQUEST', '--requests and --rate must be above 0.')
    const loaded = await loadScenario(flags)
    if (await printConfigIfAsked(loaded.config, flags)) return
    printNotes(loaded.notes)
    const chunks = formatTrace(drawRequests(loaded.spec, flags))
    if (flags.out === undefined) await pipeline(Readable.from(chunks), process.stdout, { end: false })
    else await writeWhole(flags.out, chunks)
    if (flags.out === undefined) return
    if (flags.json === true) printJson({ file: flags.out, requests: flags.requests, seed: flags.seed })
    else
      printText(`${flags.out}: ${tokens(flags.requests)} requests at ${figure(flags.rate)} req/s, seed ${flags.seed}`)
  })
}

/** Under another name until it is whole, so that an interrupted run leaves no half of a trace. */
async function writeWhole(path: string, chunks: Iterable<string>): Promise<void> {
  const partial = `${path}.partial`
  try {
    await pipeline(Readable.from(chunks), createWriteStream(partial))
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true })
    const reason = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new MembraneError('FILE_UNREADABLE', `${path} cannot be written${reason}.`, {
      remedy: 'Choose another place with --out.',
      cause: error,
    })
  }
}

function* drawRequests(
  spec: Parameters<typeof buildScenario>[0],
  { requests, rate, seed }: GenerateFlags,
): Generator<TraceRequest> {
  const scenario = buildScenario(spec)
  const random = seededRandom(seed)
  let atSeconds = 0
  for (let k = 0; k < requests; k++) {
    yield {
      atSeconds: Number(atSeconds.toFixed(6)),
      inputTokens: sampleLength(scenario.lengths, random),
      outputTokens: Math.round(scenario.outputTokens),
    }
    atSeconds += -Math.log(1 - random()) / rate
  }
}
