/** A model in an engine whose KV goes in and out as a whole, and the contexts that are open on it. */
import type { BackendName, KvBackend, KvContext, KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { KvForm } from './kv-rows.ts'
import { type EngineSequence, SequenceContext } from './sequence-context.ts'

export interface SequenceBackendParts {
  readonly name: BackendName
  readonly description: string
  readonly model: Omit<KvModel, 'fingerprint' | 'parts' | 'isCanonical'>
  readonly form: KvForm
  readonly contextsMax: number
  /** Memory for a sequence. Throws COMPUTE_FULL. */
  readonly openSequence: (tokens: number) => Promise<EngineSequence>
  /** Called once, when all contexts are closed. */
  readonly closeEngine: () => Promise<void>
}

export class SequenceBackend implements KvBackend {
  readonly kind = 'kv'
  readonly isSimulated = false
  readonly name: BackendName
  readonly description: string
  readonly model: KvModel
  readonly #parts: SequenceBackendParts
  readonly #contexts = new Set<KvContext>()
  /** Contexts that are being opened. They count, since they take their memory now, and closing waits for them. */
  readonly #opening = new Set<Promise<unknown>>()
  #closing: Promise<void> | null = null

  constructor(parts: SequenceBackendParts) {
    const { name, description, model, form } = parts
    this.#parts = parts
    this.name = name
    this.description = description
    this.model = { ...model, fingerprint: form.model, parts: [form.part], isCanonical: false }
  }

  async openContext(tokens: number): Promise<KvContext> {
    const { contextsMax } = this.#parts
    const { contextTokensMax } = this.model
    if (!Number.isInteger(tokens) || tokens < 1 || tokens > contextTokensMax)
      throw new MembraneError('OUT_OF_DOMAIN', `A context has 1 to ${contextTokensMax} tokens; found ${tokens}.`)
    if (this.#closing !== null) throw new MembraneError('INVALID_REQUEST', 'The backend has been closed.')
    if (this.#contexts.size + this.#opening.size >= contextsMax)
      throw new MembraneError('COMPUTE_FULL', `${contextsMax} contexts are open, as many as there may be.`, {
        remedy: 'Close a context, or allow more by contextsMax.',
      })
    const opening = this.#open(tokens)
    this.#opening.add(opening)
    try {
      return await opening
    } finally {
      this.#opening.delete(opening)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #open(tokens: number): Promise<KvContext> {
    const { form, openSequence } = this.#parts
    const context = new SequenceContext({
      sequence: await openSequence(tokens),
      form,
      contextTokens: tokens,
      vocabularyTokens: this.model.tokenizer.vocabularyTokens,
      onClose: () => this.#contexts.delete(context),
    })
    this.#contexts.add(context)
    return context
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#opening)
    for (const context of this.#contexts) await context.close()
    await this.#parts.closeEngine()
  }
}
