import { basename } from 'node:path'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import type { PredictedMetric, PredictionError } from '../planner/calibrate-errors.ts'
import { calibratedProfile } from '../planner/calibrate-profile.ts'
import { type Calibration, calibrate, DEFAULT_CALIBRATE_OPTIONS } from '../planner/calibrate.ts'
import type { EngineOptions } from '../planner/engine-options.ts'
import type { EngineStepSeconds } from '../planner/engine-step.ts'
import { OBSERVED_FORMATS } from '../planner/observed-requests.ts'
import { checkOutputs, writeOutput } from './output-file.ts'
import { bad, figure, good, printJson, printText, table, tokens } from './print.ts'
import { section } from './print-optimization.ts'
import { readObservedFile } from './read-observed.ts'
import { refuseGiven } from './refused-flags.ts'
import { type GlobalFlags, onRun, SELF } from './run-command.ts'
import { number, whole } from './numbers.ts'

interface CalibrateFlags extends GlobalFlags {
  readonly trainShare: number
  readonly maxNumSeqs?: number
  readonly maxNumBatchedTokens?: number
  readonly kvTokens?: number
  readonly replicas?: number
  readonly lockstep?: boolean
  readonly asyncScheduling: boolean
  readonly profileOut?: string
  readonly kvBytesPerToken?: number
  readonly name?: string
  readonly model?: string
  readonly hardware?: string
  readonly gpusPerInstance?: number
}

export function defineCalibrate(command: Command): void {
  command
    .description('fit step time and prefill of a serving engine to the first observed requests, and predict the rest')
    .argument('<file>', 'observed requests, JSON Lines, .gz too; - is standard input')
    .option(
      '--train-share <n>',
      'share of the requests, by arrival, to fit',
      number,
      Number(DEFAULT_CALIBRATE_OPTIONS.trainShare.toFixed(3)),
    )
    .optionsGroup('Engine:')
    .option('--max-num-seqs <n>', 'slots of one replica (default: as the data shows, or 128)', whole)
    .option('--max-num-batched-tokens <n>', 'tokens of one iteration (default: 2048)', whole)
    .option('--kv-tokens <n>', 'tokens that the KV cache of one replica holds (default: enough)', whole)
    .option('--replicas <n>', 'data-parallel replicas behind one door (default: 1)', whole)
    .option('--lockstep', 'replicas share every iteration, as with expert parallelism (default: what fits better)')
    .option('--no-lockstep', 'replicas run on their own')
    .option('--no-async-scheduling', 'the engine decides an iteration only when the one before is over')
    .optionsGroup('Profile:')
    .option('--profile-out <file>', 'write a profile for `membrane optimize`; needs --kv-bytes-per-token')
    .option('--kv-bytes-per-token <n>', 'KV cache of one token, which no request time tells', number)
    .option('--name <text>', 'name of the profile (default: the file)')
    .option('--model <text>', 'model that was served')
    .option('--hardware <text>', 'hardware of one replica')
    .option('--gpus-per-instance <n>', 'GPUs of one replica (default 1)', whole)
    .addHelpText('after', OBSERVED_HELP)
  onRun<CalibrateFlags>(command, async (flags, [file = '']) => {
    checkProfileFlags(flags)
    await checkOutputs([{ flag: '--profile-out', path: flags.profileOut }])
    const observed = await readObservedFile(file)
    const startedMs = performance.now()
    const calibration = calibrate(observed, { trainShare: flags.trainShare, engine: engineOf(flags) })
    const wallSeconds = (performance.now() - startedMs) / 1000
    if (flags.profileOut !== undefined) await writeProfile(flags.profileOut, file, calibration, flags)
    if (flags.json === true) printJson({ ...calibration, wallSeconds })
    else printText(calibrationText(calibration, wallSeconds))
  })
}

const OBSERVED_HELP = `
A line of the file is a request that was measured:
  {"arrivalSeconds": 0.5, "inputTokens": 2048, "outputTokens": 128, "ttftSeconds": 0.31, "e2eSeconds": 4.2}
or has the fields of vLLM's benchmark: ${OBSERVED_FORMATS['vllm-bench'].join(', ')}.`

function engineOf(flags: CalibrateFlags): { readonly [Name in keyof EngineOptions]?: EngineOptions[Name] | undefined } {
  return {
    sequencesMax: flags.maxNumSeqs,
    batchTokensMax: flags.maxNumBatchedTokens,
    kvTokensMax: flags.kvTokens,
    replicas: flags.replicas,
    isLockstep: flags.lockstep,
    stepsInFlight: flags.asyncScheduling ? undefined : 1,
  }
}

/** Before the fit, which takes seconds. */
function checkProfileFlags(flags: CalibrateFlags): void {
  const { profileOut, kvBytesPerToken, gpusPerInstance = 1 } = flags
  if (profileOut === undefined) {
    refuseGiven(
      flags,
      ['kvBytesPerToken', 'name', 'model', 'hardware', 'gpusPerInstance'],
      'needs --profile-out: no profile is written without',
    )
    return
  }
  if (kvBytesPerToken === undefined) {
    throw new MembraneError(
      'INVALID_REQUEST',
      '--profile-out needs --kv-bytes-per-token, which no request time tells.',
      {
        remedy:
          'It is 2 x layers x KV heads x head dimension x bytes of a number, for most models: 131072 for Llama-3.1-8B.',
      },
    )
  }
  if (!(kvBytesPerToken > 0)) throw new MembraneError('INVALID_REQUEST', '--kv-bytes-per-token must be above 0.')
  if (gpusPerInstance < 1) throw new MembraneError('INVALID_REQUEST', '--gpus-per-instance must be at least 1.')
}

async function writeProfile(
  path: string,
  observedFile: string,
  calibration: Calibration,
  flags: CalibrateFlags,
): Promise<void> {
  const words = {
    name: flags.name ?? basename(observedFile).slice(-100),
    model: flags.model ?? 'unnamed model',
    hardware: flags.hardware ?? 'unnamed hardware',
    gpusPerInstance: flags.gpusPerInstance ?? 1,
    kvBytesPerToken: flags.kvBytesPerToken ?? 0,
  }
  const { parseProfile } = await import('../api/profile-schema.ts')
  const profile = parseProfile(calibratedProfile(words, calibration), path)
  await writeOutput(
    { flag: '--profile-out', path },
    `${JSON.stringify(profile, null, 2)}\n`,
    `${SELF} optimize --local-profile ${path}`,
  )
}

/** How near a prediction should come: the project's own targets. */
const TARGETS: readonly { readonly metric: PredictedMetric; readonly errorMax: number }[] = [
  { metric: 'TTFT mean', errorMax: 0.15 },
  { metric: 'TPOT mean', errorMax: 0.05 },
  { metric: 'E2E mean', errorMax: 0.05 },
]

function calibrationText(calibration: Calibration, wallSeconds: number): string {
  const { requests, fittedRequests, stepSeconds, errors, simulations, prefill } = calibration
  return [
    verdictText(calibration),
    section(
      'Seconds of an iteration',
      'each for one unit',
      table(
        ['term', 'seconds', 'a unit is'],
        TERMS.map(({ term, unit }) => [term, seconds(stepSeconds[term]), unit]),
      ),
    ),
    section(
      'Prefill on an idle engine',
      'seconds',
      table(
        ['prompt tokens', 'seconds'],
        prefill.map((point) => [tokens(point.tokens), seconds(point.seconds)]),
      ),
    ),
    section('Fitted', `the first ${fittedRequests} requests`, errorTable(errors.fitted)),
    section('Predicted', `the other ${requests - fittedRequests}`, errorTable(errors.rest)),
    engineText(calibration),
    `${simulations} simulated runs in ${figure(wallSeconds)} s.`,
  ].join('\n\n')
}

function verdictText({ requests, fittedRequests, errors }: Calibration): string {
  const misses = TARGETS.flatMap(({ metric, errorMax }) => {
    const error = errors.rest.find((row) => row.metric === metric)?.error ?? null
    if (error === null || Math.abs(error) <= errorMax) return []
    return [`${metric} is off by ${errorText(error)} (${100 * errorMax} % is allowed)`]
  })
  const others = `the other ${requests - fittedRequests}`
  if (misses.length === 0) {
    return good(
      `The fit holds: from the first ${fittedRequests} requests it predicts ${others} within 15 % in TTFT and 5 % in TPOT and E2E.`,
    )
  }
  return `${bad(`Do not rely on this fit: for ${others} requests, ${misses.join('; ')}.`)} Say how the engine was started, if the last line has it wrong: --replicas, --max-num-seqs, --max-num-batched-tokens.`
}

const TERMS: readonly { readonly term: keyof EngineStepSeconds; readonly unit: string }[] = [
  { term: 'fixed', unit: 'an iteration' },
  { term: 'perSequence', unit: 'a sequence that decodes' },
  { term: 'perContextToken', unit: 'a token of context that it reads' },
  { term: 'withPrefill', unit: 'an iteration that prefills, besides' },
  { term: 'perPrefillToken', unit: 'a prompt token' },
  { term: 'perPrefillPair', unit: 'a prompt token and one before it' },
]

function errorTable(rows: readonly PredictionError[]): string {
  return table(
    ['', 'measured (s)', 'predicted (s)', 'error'],
    rows.map(({ metric, measuredSeconds, predictedSeconds, error }) => [
      metric,
      measuredSeconds.toPrecision(4),
      predictedSeconds.toPrecision(4),
      error === null ? '-' : errorText(error),
    ]),
  )
}

function engineText({ engine, engineOrigins }: Calibration): string {
  const parts = [
    `${tokens(engine.sequencesMax)} slots (${engineOrigins.sequencesMax})`,
    `${tokens(engine.batchTokensMax)} tokens an iteration (${engineOrigins.batchTokensMax})`,
    engine.kvTokensMax === null ? 'KV memory enough' : `${tokens(engine.kvTokensMax)} tokens of KV memory`,
    `${engine.replicas} ${engine.replicas === 1 ? 'replica' : 'replicas'} (${engineOrigins.replicas})`,
    ...(engine.replicas === 1
      ? []
      : [`${engine.isLockstep ? 'in lockstep' : 'each on its own'} (${engineOrigins.isLockstep})`]),
    `${engine.stepsInFlight} iterations in flight (${engineOrigins.stepsInFlight})`,
  ]
  return `Engine: ${parts.join(', ')}.`
}

function seconds(value: number): string {
  return value.toPrecision(3)
}

function errorText(error: number): string {
  return `${error >= 0 ? '+' : ''}${(100 * error).toFixed(1)} %`
}
