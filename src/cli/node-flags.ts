/** The commands that run a model put a node together here: a data directory, an engine, and what it has measured. */
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { seededRandom } from '../core/random.ts'
import { createHashChain } from '../core/hash-chains.ts'
import { DEFAULT_TENANT, parseTenantId, type TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { COMPUTE_CHOICES, type ComputeChoice, openBackend } from '../server/backends.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../server/fabric.ts'
import type { RebuildRequest } from '../reconstruct/rebuild-ports.ts'
import type { GenerateRequest, Generation } from '../server/generation.ts'
import { type Node, openNode } from '../server/node.ts'
import { DEFAULT_NODE_OPTIONS } from '../server/node-options.ts'
import { generateText } from '../server/generate-text.ts'
import { RatesFile } from '../server/rates-file.ts'
import { systemAlarm, systemStopwatch } from '../server/system-time.ts'
import { MeasuredRates } from '../policy/measured-rates.ts'
import { SnapshotFile } from '../store/snapshot-file.ts'
import type { ContentHashers } from '../core/ports.ts'
import { MemoryStore } from '../store/memory.ts'
import { addBoundFlags, type DataDirFlags, type withDataDir, withNewDataDir } from './data-dir.ts'
import { numberBetween, wholeNumberOf } from './numbers.ts'
import { printWarnings } from './print.ts'
import { refuseGiven } from './refused-flags.ts'
import { addServerFlags } from './server-client.ts'

export interface NodeFlags extends DataDirFlags {
  /** Default DEFAULT_COMPUTE; unset, so that one that was given can be told. */
  readonly compute?: ComputeChoice
  readonly model?: string
  readonly threads?: number
  readonly device?: string
  readonly llmUrl?: string
  readonly llmModel?: string
  readonly llmKeyFile?: string
  readonly session?: string
  /** False after --no-reuse. */
  readonly reuse: boolean
  readonly moved?: boolean
  readonly movedMeasured?: number
}

const DEFAULT_COMPUTE: ComputeChoice = 'cpu'
const DEFAULT_MOVED_MEASURED = 0.1

export function addNodeFlags(command: Command): Command {
  addServerFlags(
    command
      .optionsGroup('Where:')
      .option('--data-dir <dir>', 'directory of the store; without it, nothing outlives the command'),
  )
    .option('--tenant <name>', 'whose fragments (default: default)')
    .option('--session <name>', 'turns of one session are kept together and read ahead')
    .optionsGroup('Model:')
    .addOption(new Option('--compute <engine>', `what computes (default ${DEFAULT_COMPUTE})`).choices(COMPUTE_CHOICES))
    .option('--model <file>', 'GGUF file or model folder (default: the model that comes along)')
    .option(
      '--device <name>',
      'of gpu: cuda, vulkan or metal; of transformers: cpu, cuda, webgpu (default: the best, the processor)',
    )
    .option(
      '--threads <n>',
      'threads of the engine (default: as many as there are processors, 64 at most)',
      wholeNumberOf(1),
    )
    .option('--llm-url <url>', 'base URL of openai, anthropic or ollama, or of a server that speaks as they do')
    .option('--llm-model <name>', 'model of openai, anthropic or ollama')
    .option('--llm-key-file <file>', 'file with the key of the service (default: its environment variable)')
    .optionsGroup('Reuse:')
    .option('--no-reuse', 'compute everything')
    .option('--moved', 'take the KV of the same tokens at another position too: approximate')
    .option(
      '--moved-measured <share>',
      `share of such calls that compute the prompt as well, to say how far off they are (default ${DEFAULT_MOVED_MEASURED})`,
      numberBetween(0, 1),
    )
  return addBoundFlags(command.optionsGroup('Memory:'))
}

export function reuseOf({ reuse, moved }: NodeFlags): RebuildRequest['reuse'] {
  if (!reuse && moved === true)
    throw new MembraneError('INVALID_REQUEST', '--moved reuses what --no-reuse does not: give one of them.')
  return reuse ? (moved === true ? 'moved' : 'exact') : 'none'
}

/** What generates: an engine with the memory before it, or a service. */
export interface Generator {
  readonly generate: (request: GenerateRequest) => Promise<Generation>
}

export interface OpenedNode {
  readonly generator: Generator
  /** Null for a service, which keeps its KV. */
  readonly node: Node | null
  readonly tenant: TenantId
  /** To read the model and open the directory. */
  readonly loadSeconds: number
}

/** Weights, contexts and work of the engine. */
const ENGINE_BYTES_MAX = 4 * 1024 ** 3
/** Blocks as engines cut them. */
const BLOCK_TOKENS = 16

/**
 * Opens an engine, and a data directory or a memory for this command alone; closes them whatever happens. A directory
 * that is not there is made, unless the command has nothing to put into it.
 */
export async function withNode<T>(
  flags: NodeFlags,
  use: (opened: OpenedNode) => Promise<T>,
  openDirectory: typeof withDataDir = withNewDataDir,
): Promise<T> {
  const startSeconds = systemStopwatch.seconds()
  const tenant = flags.tenant === undefined ? DEFAULT_TENANT : parseTenantId(flags.tenant)
  const [{ hashers }, chainHashes] = await Promise.all([loadContentHashers(), loadChainHashes()])
  const backend = await openBackend({
    compute: flags.compute ?? DEFAULT_COMPUTE,
    model: flags.model ?? null,
    device: flags.device ?? null,
    // Large machines have more processors than an engine has use for.
    threads: flags.threads ?? Math.min(availableParallelism(), LIMITS.engineThreadsMax),
    url: flags.llmUrl ?? null,
    providerModel: flags.llmModel ?? null,
    keyFile: flags.llmKeyFile ?? null,
    environment: process.env,
    memoryBytesMax: ENGINE_BYTES_MAX,
    chainHashes,
    hashers,
  })
  if (backend.kind === 'text') {
    try {
      refuseGiven(flags, ['dataDir', 'moved'], `does not go with ${backend.name}, which keeps its KV to itself`)
      const loadSeconds = systemStopwatch.seconds() - startSeconds
      const generator = {
        generate: async (request: GenerateRequest) => generateText(backend, request, systemStopwatch),
      }
      return await use({ generator, node: null, tenant, loadSeconds })
    } finally {
      await backend.close()
    }
  }
  const run = async (fabric: Fabric): Promise<T> => {
    const engine = `${backend.model.fingerprint} ${backend.name} ${backend.description}`
    const file = flags.dataDir === undefined ? null : new RatesFile(new SnapshotFile(join(flags.dataDir, 'rates')))
    const { rates, notice } = (await file?.load(engine)) ?? { rates: new MeasuredRates(), notice: null }
    if (notice !== null) printWarnings([notice])
    const chain = createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK_TOKENS })
    const time = { stopwatch: systemStopwatch, alarm: systemAlarm }
    const moved = {
      measuredShare: flags.movedMeasured ?? DEFAULT_MOVED_MEASURED,
      random: seededRandom(randomInt(2 ** 32)),
    }
    const node = await openNode({
      ...DEFAULT_NODE_OPTIONS,
      moved,
      fabric,
      backend,
      chain,
      rates,
      hashers,
      ...time,
    })
    try {
      return await use({ generator: node, node, tenant, loadSeconds: systemStopwatch.seconds() - startSeconds })
    } finally {
      await node.close()
      // Rates that were not written down are measured anew: no reason to fail a command that has done its work.
      await file?.save(engine, rates).catch(() => printWarnings(['What was measured could not be written down.']))
    }
  }
  try {
    return flags.dataDir === undefined
      ? await withMemory(hashers, run)
      : await openDirectory(flags, ({ fabric }) => run(fabric))
  } finally {
    await backend.close()
  }
}

async function withMemory<T>(hashers: ContentHashers, run: (fabric: Fabric) => Promise<T>): Promise<T> {
  const clock = { nowMs: Date.now }
  const store = new MemoryStore(clock)
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store,
    hashers,
    clock,
    tier: 'memory',
    seed: randomInt(2 ** 32),
  })
  try {
    return await run(fabric)
  } finally {
    await fabric.close()
  }
}

/** Throws INVALID_REQUEST for a service. */
export function engineOf({ node }: OpenedNode): Node {
  if (node !== null) return node
  throw new MembraneError('INVALID_REQUEST', 'A service keeps its KV to itself: there is nothing to rebuild.', {
    remedy: 'Use an engine: --compute cpu, llama or transformers.',
  })
}
