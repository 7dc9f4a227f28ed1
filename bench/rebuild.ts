/**
 * The time to the first token of a prompt whose KV is on disk, beside that of computing it. Engine, fabric and node are
 * opened anew for each run, and opened engines have tested themselves, as a node does before it serves; the tiers in
 * memory are empty. In this process, where the code has run before, and as a command in a fresh process, which is what
 * somebody at a terminal sees. Both ways must give the same KV, bit for bit, or the bench fails.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHashChain } from '../src/core/hash-chains.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { MeasuredRates } from '../src/policy/measured-rates.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from '../src/server/fabric.ts'
import type { PromptRequest } from '../src/server/generation.ts'
import { DEFAULT_MODEL_PATH, openCpuBackend, openDiskStore } from '../src/server/library.ts'
import { type Node, openNode } from '../src/server/node.ts'
import { DEFAULT_NODE_OPTIONS } from '../src/server/node-options.ts'
import { systemAlarm, systemStopwatch } from '../src/server/system-time.ts'
import type { Bench, Findings, Ratio, Row } from './bench.ts'
import { buildCommandLine, MAIN, ROOT } from './command-line.ts'
import { ratioOf, RUNS } from './harness.ts'
import { threadsText } from './prefill-engine.ts'
import { spreadOf } from './print.ts'

const PROMPT_PATH = `${ROOT}examples/packages.txt`
const THREADS = [1, 2] as const
const BLOCK_TOKENS = 16
const RATIO_TARGET = 20

const [{ hashers }, chainHashes] = await Promise.all([loadContentHashers(), loadChainHashes()])
const text = readFileSync(PROMPT_PATH, 'utf8')

/** How a prompt is made ready, and where the kernel has the files when it is read. */
const WAYS = {
  computed: { reuse: 'none', dropsPages: false },
  'rebuilt, page cache warm': { reuse: 'exact', dropsPages: false },
  'rebuilt, page cache dropped': { reuse: 'exact', dropsPages: true },
} as const satisfies Record<string, { readonly reuse: PromptRequest['reuse']; readonly dropsPages: boolean }>
type Way = keyof typeof WAYS
const WAY_NAMES = Object.keys(WAYS) as readonly Way[]

/** What one run said, in whichever process. */
interface Answer {
  readonly ttftMs: number
  readonly loadMs: number
  readonly promptTokens: number
  readonly reusedTokens: number
  readonly kvHash: string
}

/** Makes the prompt ready in one way, with so many threads, from what the directory holds. */
type Run = (directory: string, way: Way, threads: number) => Promise<Answer>

interface Series {
  readonly name: string
  readonly threads: number
  readonly answers: Readonly<Record<Way, readonly Answer[]>>
}

async function inProcess(directory: string, way: Way, threads: number): Promise<Answer> {
  const startMs = performance.now()
  const node = await openAll(directory, threads)
  const loadMs = performance.now() - startMs
  try {
    const prompt = { tenant: DEFAULT_TENANT, prompt: { text }, maxTokens: 1, wantsKvHash: true } as const
    const answer = await node.generate({ ...prompt, reuse: WAYS[way].reuse })
    return {
      ttftMs: 1e3 * answer.ttftSeconds,
      loadMs,
      promptTokens: answer.promptTokens ?? 0,
      reusedTokens: answer.reusedTokens ?? 0,
      kvHash: answer.kvHash ?? '',
    }
  } finally {
    await node.close()
  }
}

/** As the command line does it, with nothing learnt about the machine. */
async function openAll(directory: string, threads: number): Promise<Pick<Node, 'generate' | 'close'>> {
  const clock = { nowMs: () => Date.now() }
  const memoryBytesMax = 1024 ** 3
  const backend = await openCpuBackend({
    modelPath: DEFAULT_MODEL_PATH,
    threads,
    memoryBytesMax,
    blake3: chainHashes.blake3,
    contentHasher: hashers.b3,
  })
  const store = await openDiskStore({ directory: join(directory, 'store'), hashers })
  const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock, seed: 1 })
  const node = await openNode({
    ...DEFAULT_NODE_OPTIONS,
    fabric,
    backend,
    chain: createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK_TOKENS }),
    rates: new MeasuredRates(),
    hashers,
    stopwatch: systemStopwatch,
    alarm: systemAlarm,
  })
  return {
    generate: (request) => node.generate(request),
    close: async () => {
      await node.close()
      await fabric.close()
    },
  }
}

async function inFreshProcess(directory: string, way: Way, threads: number): Promise<Answer> {
  const flags = ['--json', '--max-tokens', '1', '--threads', String(threads), '--prompt-file', PROMPT_PATH]
  const args = [MAIN, 'generate', ...flags, '--data-dir', join(directory, 'command')]
  if (WAYS[way].reuse === 'none') args.push('--no-reuse')
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${args.join(' ')} failed: ${stderr}`)
  const answer = JSON.parse(stdout) as Omit<Answer, 'ttftMs' | 'loadMs'> & {
    readonly ttftSeconds: number
    readonly loadSeconds: number
  }
  return { ...answer, ttftMs: 1e3 * answer.ttftSeconds, loadMs: 1e3 * answer.loadSeconds }
}

/** In turns. The first turn fills the store, and is not counted. */
async function seriesOf(name: string, threads: number, run: Run): Promise<Series> {
  const directory = mkdtempSync(join(tmpdir(), 'membrane-bench-'))
  const answers: Record<Way, Answer[]> = {
    computed: [],
    'rebuilt, page cache warm': [],
    'rebuilt, page cache dropped': [],
  }
  try {
    const first = await run(directory, 'computed', threads)
    await run(directory, 'rebuilt, page cache warm', threads)
    for (let turn = 0; turn < RUNS; turn++) {
      for (const way of WAY_NAMES) {
        if (WAYS[way].dropsPages) dropPages(directory)
        const answer = await run(directory, way, threads)
        if (answer.kvHash !== first.kvHash)
          throw new Error(`${name}, ${way}: KV ${answer.kvHash} in place of ${first.kvHash}.`)
        // Not all of them always: a plan computes a few blocks while it waits for the others.
        if (WAYS[way].reuse !== 'none' && answer.reusedTokens === 0)
          throw new Error(`${name}, ${way}: nothing was reused.`)
        answers[way].push(answer)
      }
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
  return { name: `${name}, ${threadsText(threads)}`, threads, answers }
}

/** Asks the kernel to forget what it holds of the files; GNU dd does so with an empty copy. */
function dropPages(directory: string): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const args = [`if=${join(entry.parentPath, entry.name)}`, 'iflag=nocache', 'count=0', 'status=none']
    const { status, stderr } = spawnSync('dd', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`The page cache could not be dropped: dd ${args.join(' ')}: ${stderr}`)
  }
}

export const bench: Bench = {
  summary: 'time to the first token of a prompt, computed and rebuilt from disk',
  probes: {},
  run: async (): Promise<Findings> => {
    buildCommandLine()
    const series: Series[] = []
    for (const threads of THREADS) {
      series.push(await seriesOf('in one process', threads, inProcess))
      series.push(await seriesOf('a fresh process', threads, inFreshProcess))
    }
    const ratios = series.flatMap(ratiosOf)
    const [answer] = series[0]?.answers.computed ?? []
    return {
      rows: series.flatMap(rowsOf),
      ratios,
      notes: [
        `${answer?.promptTokens} tokens. The tokenizer, the hashes of blocks, the look-up, the plan and the last forward pass are in the time, loading and the self-test are not.`,
        `The hash of the prompt's KV was the same in all ${series.length * WAY_NAMES.length * RUNS} runs.`,
        ...series.map(loadText),
        ...ratios.map(({ what, values }) => {
          const { median } = spreadOf(values)
          return `${what}: at least ${RATIO_TARGET} x wanted, ${median.toFixed(1)} x found: ${median >= RATIO_TARGET ? 'met' : 'NOT MET'}.`
        }),
      ],
    }
  },
}

function runsOf({ answers }: Series, way: Way): readonly number[] {
  return answers[way].map(({ ttftMs }) => ttftMs)
}

function rowsOf(series: Series): readonly Row[] {
  return WAY_NAMES.map((way) => ({ what: `${series.name}: ${way}`, runsMs: runsOf(series, way) }))
}

function ratiosOf(series: Series): readonly Ratio[] {
  const computed = runsOf(series, 'computed')
  return WAY_NAMES.filter((way) => way !== 'computed').map((way) =>
    ratioOf(`${series.name}: computed / ${way}`, computed, runsOf(series, way)),
  )
}

function loadText({ name, answers }: Series): string {
  const warm = answers['rebuilt, page cache warm']
  const load = spreadOf(warm.map(({ loadMs }) => loadMs)).median.toFixed(0)
  const reused = WAY_NAMES.filter((way) => way !== 'computed').flatMap((way) =>
    answers[way].map(({ reusedTokens }) => reusedTokens),
  )
  return `${name}: engine, store and self-test took ${load} ms to load (median); ${Math.min(...reused)} to ${Math.max(...reused)} tokens were reused.`
}
