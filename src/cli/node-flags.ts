/** The commands that run a model put a node together here: a data directory, an engine, and what it has measured. */
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { createHashChain } from '../core/hash-chains.ts'
import { DEFAULT_TENANT, parseTenantId, type TenantId } from '../core/ids.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { COMPUTE_CHOICES, openBackend } from '../server/backends.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../server/fabric.ts'
import type { GenerateRequest, Generation } from '../server/generation.ts'
import { DEFAULT_NODE_OPTIONS, Node } from '../server/node.ts'
import { generateText } from '../server/generate-text.ts'
import { RatesFile } from '../server/rates-file.ts'
import { MemoryStore } from '../store/memory.ts'
import { addBoundFlags, type DataDirFlags, withNewDataDir } from './data-dir.ts'
import { wholeNumberOf } from './numbers.ts'
import { printNotes, printWarnings } from './print.ts'
import { refuseGiven } from './refused-flags.ts'

export interface NodeFlags extends DataDirFlags {
  readonly compute: string
  readonly model?: string
  readonly threads?: number
  readonly llmUrl?: string
  readonly llmModel?: string
  readonly session?: string
  /** False after --no-reuse. */
  readonly reuse: boolean
  readonly moved?: boolean
}

export function addNodeFlags(command: Command): Command {
  command
    .optionsGroup('Where:')
    .option('--data-dir <dir>', 'directory of the store; without it, nothing outlives the command')
    .option('--tenant <name>', 'whose fragments (default: default)')
    .option('--session <name>', 'turns of one session are kept together and read ahead')
    .optionsGroup('Model:')
    .addOption(new Option('--compute <engine>', 'what computes').choices(COMPUTE_CHOICES).default('cpu'))
    .option('--model <file>', 'GGUF file or model folder (default: the model that comes along)')
    .option('--threads <n>', 'threads of the engine (default: as many as there are processors)', wholeNumberOf(1))
    .option('--llm-url <url>', 'base URL of openai, anthropic or ollama, or of a server that speaks as they do')
    .option('--llm-model <name>', 'model of openai, anthropic or ollama')
    .optionsGroup('Reuse:')
    .option('--no-reuse', 'compute everything')
    .option('--moved', 'take the KV of the same tokens at another position too: approximate')
  return addBoundFlags(command)
}

export function reuseOf({ reuse, moved }: NodeFlags): GenerateRequest['reuse'] {
  if (!reuse && moved === true)
    throw new MembraneError('INVALID_REQUEST', '--moved reuses what --no-reuse does not: give one of them.')
  return reuse ? (moved === true ? 'moved' : 'exact') : 'none'
}
