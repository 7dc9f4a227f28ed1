import { Command, CommanderError } from 'commander'
import { printJson } from './print.ts'
import { withSecretHint } from './secret-hint.ts'
import { packageVersion } from './version.ts'

interface Entry {
  readonly summary: string
  /** Loaded only when the command is run or asked about, so that no command pays for another's libraries. */
  readonly load: () => Promise<(command: Command, program: Command) => void>
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  optimize: {
    summary: 'best threshold, split and rates for given hardware',
    load: async () => (await import('./optimize.ts')).defineOptimize,
  },
  plan: { summary: 'least hardware for a load and an SLO', load: async () => (await import('./plan.ts')).definePlan },
  compare: { summary: 'two scenarios side by side', load: async () => (await import('./compare.ts')).defineCompare },
  simulate: {
    summary: 'discrete-event simulation of a plan under load',
    load: async () => (await import('./simulate.ts')).defineSimulate,
  },
  replay: {
    summary: 'a trace through the simulated deployment, with prefix caches',
    load: async () => (await import('./replay.ts')).defineReplay,
  },
  sweep: {
    summary: 'simulations over a range of rates, thresholds, links or splits',
    load: async () => (await import('./sweep.ts')).defineSweep,
  },
  validate: {
    summary: 'the simulator against queueing theory',
    load: async () => (await import('./validate.ts')).defineValidate,
  },
  calibrate: {
    summary: 'fit an engine to observed requests, and prove it by prediction',
    load: async () => (await import('./calibrate.ts')).defineCalibrate,
  },
  report: {
    summary: 'one self-contained HTML page with figures',
    load: async () => (await import('./report.ts')).defineReport,
  },
  egress: {
    summary: 'bandwidth that a prefill cluster needs',
    load: async () => (await import('./egress.ts')).defineEgress,
  },
  trace: { summary: 'describe and make request traces', load: async () => (await import('./trace.ts')).defineTrace },
  serve: {
    summary: 'a node: its memory, its engine, and doors for others',
    load: async () => (await import('./serve.ts')).defineServe,
  },
  cluster: {
    summary: 'a cluster on this machine, for trying: membrane cluster up',
    load: async () => (await import('./cluster.ts')).defineCluster,
  },
  'cluster-status': {
    summary: 'nodes of a cluster as one of them sees them, and how prompts are routed',
    load: async () => (await import('./cluster-status.ts')).defineClusterStatus,
  },
  generate: {
    summary: 'continue a prompt, computing only what the memory does not hold',
    load: async () => (await import('./generate.ts')).defineGenerate,
  },
  rebuild: {
    summary: "make a prompt's KV ready and keep it, without generating",
    load: async () => (await import('./rebuild.ts')).defineRebuild,
  },
  explain: {
    summary: 'what each span of a prompt would come from, and cost',
    load: async () => (await import('./explain.ts')).defineExplain,
  },
  put: {
    summary: 'store a file in a data directory, once for equal bytes',
    load: async () => (await import('./put.ts')).definePut,
  },
  get: {
    summary: 'write a stored fragment to a file or standard output, verified',
    load: async () => (await import('./get.ts')).defineGet,
  },
  has: { summary: 'whether fragments are there', load: async () => (await import('./has.ts')).defineHas },
  ls: { summary: 'list stored fragments', load: async () => (await import('./ls.ts')).defineLs },
  rm: { summary: 'remove fragments, or erase them', load: async () => (await import('./rm.ts')).defineRm },
  scrub: {
    summary: 'verify every byte of a data directory',
    load: async () => (await import('./scrub.ts')).defineScrub,
  },
  sync: {
    summary: 'copy what a server has and a data directory has not',
    load: async () => (await import('./sync.ts')).defineSync,
  },
  export: {
    summary: 'fragments into a tar file',
    load: async () => (await import('./export.ts')).defineExport,
  },
  import: {
    summary: 'fragments out of a tar file, verified',
    load: async () => (await import('./import.ts')).defineImport,
  },
  models: {
    summary: 'model files that are here, and whether the built-in engine runs them',
    load: async () => (await import('./models.ts')).defineModels,
  },
  presets: {
    summary: 'the ready-made scenarios and profiles',
    load: async () => (await import('./presets.ts')).definePresets,
  },
  config: {
    summary: 'the effective configuration of a scenario or a server, and the JSON Schemas',
    load: async () => (await import('./config.ts')).defineConfig,
  },
  doctor: {
    summary: 'is everything well: doors, disk, clock, Redis, versions',
    load: async () => (await import('./doctor.ts')).defineDoctor,
  },
  bench: {
    summary: 'the doors beside a redis-server on this machine',
    load: async () => (await import('./bench.ts')).defineBench,
  },
  token: {
    summary: 'credentials of a server: make, list and remove them',
    load: async () => (await import('./token.ts')).defineToken,
  },
  demo: {
    summary: 'the paper beside our numbers, and the memory at work on real KV, in seconds',
    load: async () => (await import('./demo.ts')).defineDemo,
  },
  completion: {
    summary: 'shell completion for bash, zsh and fish',
    load: async () => (await import('./completion.ts')).defineCompletion,
  },
}

export async function run(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough (`| head`) is no failure.
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0)
    process.stderr.write(`membrane: standard output cannot be written (${error.code ?? error.message}).\n`)
    process.exit(1)
  })
  const program = new Command('membrane')
    .description('Plan, run and scale remote prefill and KV-cache reuse for LLM inference.')
    .version(packageVersion())
    .option('--json', 'print JSON on standard output')
    .option('--debug', 'print the stack of an error')
    .configureOutput({ outputError: (text, write) => write(withSecretHint(text).replace(/^error: /, 'membrane: ')) })
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .showHelpAfterError('Run the command with --help for what it takes.')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed, 2 the question has no feasible answer.\nStart with: membrane demo paper, then membrane optimize --help',
    )
  const words = new Set(argv.slice(2))
  const isEveryCommandNeeded = words.has('completion')
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program.command(name).description(summary)
    if (words.has(name) || isEveryCommandNeeded) (await load())(command, program)
  }
  try {
    await program.parseAsync([...argv])
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Commander has said it on standard error (or has printed the help or the version, which is no failure).
    process.exitCode = error.exitCode
    if (error.exitCode !== 0 && words.has('--json')) printJson(usageError(error))
  }
}

function usageError({ message }: CommanderError): object {
  const remedy = 'Run the command with --help for what it takes.'
  return { error: { code: 'USAGE', message: withSecretHint(message).replace(/^error: /, ''), remedy, details: {} } }
}
