/** `membrane demo full`: the parts of the memory at work on real KV, one phase after the other, each with its checks. */
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import type { KvBackend } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { openBackend } from '../server/backends.ts'
import { DELTA_PHASE, GRAPH_PHASE } from './demo-full-change.ts'
import { EVICTION_PHASE, TENANTS_PHASE } from './demo-full-keep.ts'
import { type Phase, type PhaseOutcome, type PhaseResult, resultOf } from './demo-full-phase.ts'
import { OFFLOAD_PHASE, PRICE_PHASE } from './demo-full-place.ts'
import { headingText, phaseText, verdictText } from './demo-full-print.ts'
import { generateBy, RESTART, runRestart } from './demo-full-restart.ts'
import { CACHE_PHASE, SESSION_PHASE } from './demo-full-reuse.ts'
import { type DemoWorld, withDemoWorld } from './demo-full-world.ts'
import { printJson, printText } from './print.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

/** Those that decide by measured rates come after those that compute. */
const PHASES: readonly Phase[] = [
  CACHE_PHASE,
  DELTA_PHASE,
  GRAPH_PHASE,
  SESSION_PHASE,
  TENANTS_PHASE,
  EVICTION_PHASE,
  OFFLOAD_PHASE,
  PRICE_PHASE,
]

const DOCUMENT_PATH = fileURLToPath(new URL('../../examples/packages.txt', import.meta.url))
const ANSWER_TOKENS = 40
const ENGINE_BYTES_MAX = 1024 ** 3

export function defineDemoFull(command: Command): void {
  command.description('the memory at work on real KV of the model that comes along: nine phases, each with its checks')
  onRun<GlobalFlags>(command, async ({ json = false }) => {
    const startedMs = performance.now()
    const documentText = await readFile(DOCUMENT_PATH, 'utf8').catch((cause: unknown) => {
      throw new MembraneError('FILE_UNREADABLE', `The demo's document ${DOCUMENT_PATH} cannot be read.`, { cause })
    })
    const backend = await openEngine()
    const results: PhaseResult[] = []
    const say = (result: PhaseResult): void => {
      results.push(result)
      if (!json) printText(`${phaseText(result, results.length)}\n`)
    }
    try {
      if (!json) printText(`${headingText(backend)}\n`)
      const generate = generateBy({ documentPath: DOCUMENT_PATH, maxTokens: ANSWER_TOKENS })
      say(await runPhase(RESTART, () => runRestart(generate)))
      await withDemoWorld({ backend, documentText }, (world) => runPhases(world, say))
    } finally {
      await backend.close()
    }
    const seconds = (performance.now() - startedMs) / 1000
    if (json) printJson({ phases: results, seconds })
    else printText(verdictText('full', results, seconds))
    if (!results.every(({ passed }) => passed)) process.exitCode = 1
  })
}

/** Runs all but the restart, telling each result as it comes. */
export async function runPhases(world: DemoWorld, say: (result: PhaseResult) => void): Promise<void> {
  for (const phase of PHASES) say(await runPhase(phase, () => phase.run(world)))
}

/** A phase that throws has failed; the others still run. */
async function runPhase(phase: Omit<Phase, 'run'>, run: () => Promise<PhaseOutcome>): Promise<PhaseResult> {
  try {
    return resultOf(phase, await run())
  } catch (error) {
    if (!(error instanceof MembraneError)) throw error
    return resultOf(phase, { says: [], figures: {}, checks: [{ claim: `it runs: ${error.message}`, holds: false }] })
  }
}

async function openEngine(): Promise<KvBackend> {
  const [{ hashers }, chainHashes] = await Promise.all([loadContentHashers(), loadChainHashes()])
  const backend = await openBackend({
    compute: 'cpu',
    model: null,
    threads: availableParallelism(),
    device: null,
    url: null,
    providerModel: null,
    keyFile: null,
    environment: {},
    memoryBytesMax: ENGINE_BYTES_MAX,
    chainHashes,
    hashers,
  })
  assert(backend.kind === 'kv', 'the built-in engine gives its KV')
  return backend
}
