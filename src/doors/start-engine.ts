/** What a server computes with, as its configuration says. */
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { ServerConfig } from '../api/server-schema.ts'
import type { KvBackend } from '../core/compute.ts'
import { createHashChain } from '../core/hash-chains.ts'
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ChainHashes, ContentHashers } from '../core/ports.ts'
import { seededRandom } from '../core/random.ts'
import { MeasuredRates } from '../policy/measured-rates.ts'
import { openBackend } from '../server/backends.ts'
import type { ClusterNode } from '../server/cluster-node.ts'
import type { Engine } from '../server/compute-operations.ts'
import type { Fabric } from '../server/fabric.ts'
import { openNode } from '../server/node.ts'
import { DEFAULT_NODE_OPTIONS } from '../server/node-options.ts'
import { RatesFile } from '../server/rates-file.ts'
import { systemAlarm, systemStopwatch } from '../server/system-time.ts'
import { SnapshotFile } from '../store/snapshot-file.ts'

export interface EngineParts {
  readonly fabric: Fabric
  readonly hashers: ContentHashers
  readonly chainHashes: ChainHashes
  readonly saltOf: (tenant: TenantId) => string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: Logger
  /** Ways to other nodes; null for a node that is alone. */
  readonly cluster: ClusterNode | null
}

export interface OpenedEngine {
  readonly engine: Engine
  /** What the engine takes, as it is measured; null without one. */
  readonly rates: MeasuredRates | null
  readonly close: () => Promise<void>
}

/** Weights, contexts and work of an engine. */
const ENGINE_BYTES_MAX = 4 * 1024 ** 3
/** Blocks as engines cut them. */
const BLOCK_TOKENS = 16
/** Of the calls that take moved KV, those that compute the prompt as well, to say how far off they are. */
const MOVED_MEASURED_SHARE = 0.1

/** Throws what `openBackend` and `openNode` throw. */
export async function openEngine(config: ServerConfig, parts: EngineParts): Promise<OpenedEngine> {
  const { compute } = config
  if (compute === 'none') return { engine: { kind: 'none' }, rates: null, close: async () => {} }
  const backend = await openBackend({
    compute,
    model: config.model,
    device: config.device,
    // Large machines have more processors than an engine has use for.
    threads: config.threads ?? Math.min(availableParallelism(), LIMITS.engineThreadsMax),
    url: config.llmUrl,
    providerModel: config.llmModel,
    keyFile: config.llmKeyFile,
    environment: withKey(parts.environment, config),
    memoryBytesMax: ENGINE_BYTES_MAX,
    chainHashes: parts.chainHashes,
    hashers: parts.hashers,
  })
  if (backend.kind === 'text')
    return { engine: { kind: 'service', backend }, rates: null, close: () => backend.close() }
  try {
    return await openEngineNode(config, backend, parts)
  } catch (error) {
    await backend.close()
    throw error
  }
}

async function openEngineNode(
  { dataDir, residentBytesMax, requestsMax }: ServerConfig,
  backend: KvBackend,
  { fabric, hashers, chainHashes, saltOf, log, cluster }: EngineParts,
): Promise<OpenedEngine> {
  const name = `${backend.model.fingerprint} ${backend.name} ${backend.description}`
  const file = dataDir === null ? null : new RatesFile(new SnapshotFile(join(dataDir, 'rates')))
  const { rates, notice } = (await file?.load(name)) ?? { rates: new MeasuredRates(), notice: null }
  if (notice !== null) log.warn(notice)
  const node = await openNode({
    ...DEFAULT_NODE_OPTIONS,
    ...cluster?.ports,
    fabric,
    backend,
    chain: createHashChain('blake3', { hashes: chainHashes, blockTokens: BLOCK_TOKENS }),
    rates,
    hashers,
    stopwatch: systemStopwatch,
    alarm: systemAlarm,
    saltOf,
    residentBytesMax,
    requestsMax,
    moved: { measuredShare: MOVED_MEASURED_SHARE, random: seededRandom(randomInt(2 ** 32)) },
  })
  return {
    engine: { kind: 'node', node },
    rates,
    close: async () => {
      await node.close()
      // Rates that were not written down are measured anew.
      await file?.save(name, rates).catch((error: unknown) => {
        log.warn({ error }, 'what was measured could not be written down')
      })
    },
  }
}

/** A key of the configuration stands in for the variable of its name, which is where services look for it. */
function withKey(
  environment: EngineParts['environment'],
  { llmApiKey }: ServerConfig,
): Readonly<Record<string, string | undefined>> {
  return llmApiKey === null ? environment : { ...environment, MEMBRANE_LLM_API_KEY: llmApiKey.reveal() }
}
