/** A model in llama.cpp, and the contexts that are open on it. */
import type { KvBackend, KvContext, KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { KvForm } from './kv-rows.ts'
import type { LlamaContext, LlamaModel, LlamaPackage, LlamaRuntime } from './llama-package.ts'
import { LlamaSequence } from './llama-sequence.ts'
import type { LlamaKvType } from './llama-state.ts'
import { SequenceContext, STEP_TOKENS } from './sequence-context.ts'
import { llamaTokenizer } from './llama-tokenizer.ts'

/** What contexts are made from. */
export interface LlamaSource {
  readonly llama: LlamaPackage
  readonly model: LlamaModel
  readonly threads: number
  readonly kvType: LlamaKvType
}

export interface LlamaBackendParts {
  readonly source: LlamaSource
  readonly runtime: LlamaRuntime
  readonly form: KvForm
  readonly name: string
  readonly contextTokensMax: number
  readonly contextsMax: number
}

/** Throws COMPUTE_FULL when there is no memory for it, and INVALID_CONFIG for a type of KV that the model cannot have. */
export async function createLlamaContext(source: LlamaSource, tokens: number): Promise<LlamaContext> {
  const { llama, model, threads, kvType } = source
  try {
    return await model.createContext({
      contextSize: tokens,
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
    throw new MembraneError('INVALID_CONFIG', `llama.cpp makes no context with KV of ${kvType}: ${reason}`, {
      cause,
      remedy: 'Take kvType F16: groups of 32 numbers must fit into the heads of the model for Q8_0.',
    })
  }
}

export class LlamaBackend implements KvBackend {
  readonly kind = 'kv'
  readonly name = 'llama'
  readonly isSimulated = false
  readonly description: string
  readonly model: KvModel
  readonly #parts: LlamaBackendParts
  readonly #contexts = new Set<KvContext>()
  /** Contexts that are being made: they count, since they take their memory now. */
  #opening = 0
  #closing: Promise<void> | null = null

  constructor(parts: LlamaBackendParts) {
    const { source, runtime, form, name, contextTokensMax } = parts
    const device = runtime.gpu === false ? 'processor' : runtime.gpu
    this.#parts = parts
    this.description = `llama.cpp by node-llama-cpp, ${device}, ${source.threads} threads, KV ${source.kvType}`
    this.model = {
      name,
      fingerprint: form.model,
      tokenizer: llamaTokenizer(source.model),
      contextTokensMax,
      parts: [form.part],
      isCanonical: false,
    }
  }

  async openContext(tokens: number): Promise<KvContext> {
    const { source, form, contextsMax } = this.#parts
    const { contextTokensMax, tokenizer } = this.model
    if (!Number.isInteger(tokens) || tokens < 1 || tokens > contextTokensMax)
      throw new MembraneError('OUT_OF_DOMAIN', `A context has 1 to ${contextTokensMax} tokens; found ${tokens}.`)
    this.#requireOpen()
    if (this.#contexts.size + this.#opening >= contextsMax)
      throw new MembraneError('COMPUTE_FULL', `${contextsMax} contexts are open, as many as there may be.`, {
        remedy: 'Close a context, or allow more by contextsMax.',
      })
    this.#opening++
    try {
      const context = await createLlamaContext(source, tokens)
      const opened = new SequenceContext({
        sequence: new LlamaSequence(context, form, source.kvType),
        form,
        contextTokens: tokens,
        vocabularyTokens: tokenizer.vocabularyTokens,
        onClose: () => this.#contexts.delete(opened),
      })
      this.#contexts.add(opened)
      if (this.#closing !== null) await opened.close()
      this.#requireOpen()
      return opened
    } finally {
      this.#opening--
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const context of this.#contexts) await context.close()
    await this.#parts.source.model.dispose()
    await this.#parts.runtime.dispose()
  }

  #requireOpen(): void {
    if (this.#closing !== null) throw new MembraneError('INVALID_REQUEST', 'The backend has been closed.')
  }
}
