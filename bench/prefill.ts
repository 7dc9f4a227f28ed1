/**
 * Prefill and decode of the engine with the model that comes along, beside other engines with the same weights where
 * these are installed. All take turns, with the calibration loop and the machine's peak between them.
 */
import { DEFAULT_MODEL_PATH, openCpuBackend } from '../src/server/library.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { instantiateKernel, wasm } from '../src/engine/webassembly.ts'
import { loadKernel } from '../src/engine/kernel-build.ts'
import { readGguf } from '../src/engine/gguf.ts'
import { type LlamaConfig, readLlamaConfig } from '../src/engine/llama-config.ts'
import type { Bench, Findings, Ratio, Row } from './bench.ts'
import { RUNS } from './harness.ts'
import { calibrationMs } from './machine.ts'
import { type PrefillEngine, threadsText } from './prefill-engine.ts'
import { openOnnxPeers } from './prefill-onnx.ts'
import { openLlamaCppPeers } from './prefill-llama-cpp.ts'
import { spreadOf } from './print.ts'

const PROMPTS = [512, 1900] as const
const THREADS = [1, 2] as const
/** llama.cpp's threads spin while they wait: beside any other work two of them are slower than one. */
const PEER_THREADS = [1, 2] as const
const DECODED = 32
const PEAK_STEPS = 2_000
/** Many calls, because V8 compiles a function well from one call to the next only. */
const PEAK_CALLS = 100
const PEAK_OPERATIONS_PER_STEP = 96

async function openOurs(threads: number): Promise<PrefillEngine> {
  const [{ blake3 }, { hashers }] = await Promise.all([loadChainHashes(), loadContentHashers()])
  const backend = await openCpuBackend({
    modelPath: DEFAULT_MODEL_PATH,
    threads,
    memoryBytesMax: 256 * 1024 * 1024,
    blake3,
    contentHasher: hashers.b3,
  })
  const context = await backend.openContext(2048)
  return {
    name: `ours, ${threadsText(threads)}`,
    prefill: async (tokenIds) => {
      await context.prefill(0, tokenIds)
    },
    decode: async (tokenId) => {
      await context.prefill(context.filledTokens, Uint32Array.of(tokenId))
    },
    close: () => backend.close(),
  }
}

/** Token ids that a text would not have, which no speed depends on. */
function promptOf(tokens: number, vocabularyTokens: number): Uint32Array {
  return Uint32Array.from({ length: tokens }, (_, index) => (index * 7919) % vocabularyTokens)
}

/** Operations of what our engine computes: of the last layer all keys and values, but only the last row's rest. */
function operations(config: LlamaConfig, tokens: number): number {
  const { dim, ffnDim, heads, kvHeads, headDim, layers, vocabularyTokens } = config
  const project = dim * (heads + 2 * kvHeads) * headDim
  const rest = heads * headDim * dim + 3 * dim * ffnDim
  const attention = (positions: number): number => 2 * heads * headDim * positions
  const whole = tokens * (project + rest) + attention((tokens * (tokens + 1)) / 2)
  const last = tokens * project + rest + attention(tokens) + dim * vocabularyTokens
  return 2 * ((layers - 1) * whole + last)
}

async function loadPeak(): Promise<() => number> {
  const { module } = await loadKernel()
  const kernel = await instantiateKernel(module, new wasm.Memory({ initial: 1, maximum: 1, shared: true }))
  return () => {
    const start = performance.now()
    for (let call = 0; call < PEAK_CALLS; call++) kernel.peak(PEAK_STEPS, 0.5)
    return performance.now() - start
  }
}

interface Measured {
  readonly row: Row
  readonly tokens: number
}

/** Turn by turn, each engine once with each prompt and with some decoding. */
async function measure(engines: readonly PrefillEngine[], config: LlamaConfig): Promise<readonly Measured[]> {
  const steps = engines.flatMap((engine) => [
    ...PROMPTS.map((tokens) => ({ engine, tokens, what: `${engine.name}: prefill of ${tokens}` })),
    ...(engine.decode === null ? [] : [{ engine, tokens: 1, what: `${engine.name}: one token after 512` }]),
  ])
  const runs = new Map(steps.map(({ what }): [string, number[]] => [what, []]))
  // The first turn compiles and fills caches.
  for (let turn = 0; turn <= RUNS; turn++) {
    for (const { engine, tokens, what } of steps) {
      const runMs = tokens === 1 ? await decodeMs(engine, config) : await prefillMs(engine, config, tokens)
      if (turn > 0) runs.get(what)?.push(runMs)
    }
  }
  return steps.map(({ what, tokens }) => ({ tokens, row: { what, runsMs: runs.get(what) ?? [] } }))
}

async function prefillMs(engine: PrefillEngine, config: LlamaConfig, tokens: number): Promise<number> {
  const prompt = promptOf(tokens, config.vocabularyTokens)
  const start = performance.now()
  await engine.prefill(prompt)
  return performance.now() - start
}

async function decodeMs(engine: PrefillEngine, config: LlamaConfig): Promise<number> {
  await engine.prefill(promptOf(512, config.vocabularyTokens))
  const start = performance.now()
  for (let step = 0; step < DECODED; step++) await engine.decode?.(step)
  return (performance.now() - start) / DECODED
}

async function run(): Promise<Findings> {
  const config = readLlamaConfig(await readGguf(DEFAULT_MODEL_PATH))
  const peers = await openLlamaCppPeers(PEER_THREADS)
  const onnx = await openOnnxPeers(PEER_THREADS, PROMPTS)
  const engines = [...(await Promise.all(THREADS.map(openOurs))), ...peers.engines, ...onnx.engines]
  const peakMs = await loadPeak()
  try {
    const peaks = Array.from({ length: 8 * RUNS }, peakMs)
    const calibrations = Array.from({ length: RUNS }, calibrationMs)
    const measured = await measure(engines, config)
    peaks.push(...Array.from({ length: 8 * RUNS }, peakMs))
    const peak = (PEAK_CALLS * PEAK_STEPS * PEAK_OPERATIONS_PER_STEP) / spreadOf(peaks).best / 1e6
    return {
      rows: [
        ...measured.map(({ row, tokens }) => ({ ...row, note: rateNote(row, tokens, config, peak) })),
        { what: 'calibration loop', runsMs: calibrations },
      ],
      ratios: ratiosOf(measured.map(({ row }) => row)),
      notes: [
        `One core's peak of four multiplications and additions at once: ${peak.toFixed(1)} GFLOPS.`,
        ...peers.notes,
        ...onnx.notes,
      ],
    }
  } finally {
    for (const engine of engines) await engine.close()
  }
}

function rateNote({ what, runsMs }: Row, tokens: number, config: LlamaConfig, peak: number): string {
  const { best } = spreadOf(runsMs)
  const rate = `${Math.round((tokens / best) * 1e3)} tokens/s at best`
  if (!what.startsWith('ours') || tokens === 1) return rate
  const gigaflops = operations(config, tokens) / best / 1e6
  const share = gigaflops / peak / (what.includes('1 thread') ? 1 : 2)
  return `${rate}, ${gigaflops.toFixed(1)} GFLOPS, ${Math.round(share * 100)} % of the peak`
}

/** Ours over each peer of as many threads, by what is done. */
function ratiosOf(rows: readonly Row[]): readonly Ratio[] {
  return rows.flatMap((ours) => {
    const [, threads, task] = /^ours, (\d threads?): (.*)$/.exec(ours.what) ?? []
    if (threads === undefined || task === undefined) return []
    return rows
      .filter(({ what }) => !what.startsWith('ours') && what.endsWith(`, ${threads}: ${task}`))
      .map((peer) => ({
        what: `${ours.what} over ${peer.what.split(', ')[0] ?? ''}`,
        values: peer.runsMs.map((runMs, index) => runMs / (ours.runsMs[index] ?? Number.NaN)),
      }))
  })
}

export const bench: Bench = { summary: 'the engine with debian-desc-5M, as 32-bit floats', probes: {}, run }
