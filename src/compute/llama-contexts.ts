/** Contexts in llama.cpp, each of one sequence, with flash attention so that V lies in rows. */
import { MembraneError } from '../core/errors.ts'
import type { LlamaContext, LlamaModel, LlamaPackage } from './llama-package.ts'
import type { LlamaKvType } from './llama-state.ts'
import { STEP_TOKENS } from './sequence-context.ts'

/** What contexts are made from. */
export interface LlamaSource {
  readonly llama: LlamaPackage
  readonly model: LlamaModel
  readonly threads: number
  readonly kvType: LlamaKvType
  readonly log: LlamaLog
}

/**
 * The first error that llama.cpp wrote in a call: its own exceptions say only that there was one. Of a model that is not
 * the first of its process it often comes too late to be told.
 */
export interface LlamaLog {
  error: string
}

/** Throws COMPUTE_FULL when there is no memory for it, and INVALID_CONFIG for a type of KV that the model cannot have. */
export async function createLlamaContext(source: LlamaSource, tokens: number): Promise<LlamaContext> {
  const { llama, model, threads, kvType, log } = source
  log.error = ''
  try {
    return await model.createContext({
      // In a full context, the package drops the first tokens to make room: so it is never full.
      contextSize: tokens + 1,
      batchSize: STEP_TOKENS,
      sequences: 1,
      flashAttention: true,
      threads,
      experimentalKvCacheKeyType: kvType,
      experimentalKvCacheValueType: kvType,
    })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    if (cause instanceof llama.InsufficientMemoryError)
      throw new MembraneError('COMPUTE_FULL', `There is no memory for a context of ${tokens} tokens: ${reason}`, {
        cause,
      })
    throw new MembraneError(
      'INVALID_CONFIG',
      `llama.cpp makes no context with KV of ${kvType}: ${log.error || reason}`,
      {
        cause,
        remedy: 'Take kvType F16: groups of 32 numbers must fit into the heads of the model for Q8_0.',
      },
    )
  }
}
