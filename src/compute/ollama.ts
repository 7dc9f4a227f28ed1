/** Ollama's chat. The only file that loads the package `ollama`. */
import type { ChatRequest, Ollama } from 'ollama'
import type { TextBackend, TextEvent } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { checkOllamaLine, ollamaAnswer, ollamaText } from './ollama-answer.ts'
import type { ProviderAttempt } from './provider-attempt.ts'
import { type OrderedRequest, ProviderBackend, type ProviderDialect } from './provider-backend.ts'
import { malformed, type ProviderFault } from './provider-fault.ts'
import { type ProviderOptions, type ProviderSettings, providerSettings } from './provider-options.ts'
import { runText } from './provider-prompt.ts'
import { loadSdk } from './provider-sdk.ts'

/** Options of `openOllamaBackend`. */
export interface OllamaOptions extends ProviderOptions {
  /**
   * How long the model, and with it the KV of its last prompts, stays in memory after a request: seconds, or a time such as
   * `30m`; a negative number for ever, 0 not at all. Default: the server's, mostly 5 minutes.
   */
  readonly keepAlive?: number | string
  /** Tokens of the context, `num_ctx`: a prompt that does not fit is refused, not shortened. Default: the server's, often 4,096. */
  readonly contextTokens?: number
}

const BASE_URL = 'http://127.0.0.1:11434'

/**
 * A backend by the package `ollama`, which is loaded now. The KV of a prefix is reused as long as the model stays loaded:
 * `keepAlive`. `cacheKey` has no field there. Throws INVALID_CONFIG and MISSING_PACKAGE.
 */
export async function openOllamaBackend(options: OllamaOptions): Promise<TextBackend> {
  const settings = providerSettings('ollama', BASE_URL, options)
  const { keepAlive, contextTokens } = options
  if (
    contextTokens !== undefined &&
    !(Number.isInteger(contextTokens) && contextTokens >= 1 && contextTokens <= LIMITS.requestTokensMax)
  ) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `contextTokens is 1 to ${LIMITS.requestTokensMax}, found ${contextTokens}.`,
    )
  }
  if (
    keepAlive !== undefined &&
    !(typeof keepAlive === 'number' ? Number.isFinite(keepAlive) : GO_DURATION.test(keepAlive))
  ) {
    throw new MembraneError('INVALID_CONFIG', `keepAlive is seconds, or a time such as 30m, found ${keepAlive}.`)
  }
  const sdk = await loadSdk('ollama', () => import('ollama'))
  return new ProviderBackend(settings, new OllamaDialect(settings, sdk.Ollama, { keepAlive, contextTokens }))
}

const GO_DURATION = /^-?(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+$/

interface OllamaTraits {
  readonly keepAlive: number | string | undefined
  readonly contextTokens: number | undefined
}

class OllamaDialect implements ProviderDialect {
  readonly keyHeaders: Readonly<Record<string, string>>
  readonly checkLine = checkOllamaLine
  readonly #settings: ProviderSettings
  readonly #Client: typeof Ollama
  readonly #traits: OllamaTraits

  constructor(settings: ProviderSettings, Client: typeof Ollama, traits: OllamaTraits) {
    this.#settings = settings
    this.#Client = Client
    this.#traits = traits
    const { apiKey } = settings
    this.keyHeaders = apiKey === null ? {} : { authorization: `Bearer ${apiKey.reveal()}` }
  }

  check(): void {
    // It has words for all of it.
  }

  async generate(request: OrderedRequest, attempt: ProviderAttempt): ReturnType<ProviderDialect['generate']> {
    const body: unknown = await this.#client(attempt).chat({ ...this.#body(request), stream: false })
    checkOllamaLine(body)
    return ollamaAnswer(body, '')
  }

  async *stream(request: OrderedRequest, attempt: ProviderAttempt): AsyncGenerator<TextEvent> {
    const body = { ...this.#body(request), stream: true } as const
    let before = ''
    let last: unknown = null
    for await (const line of attempt.events<unknown>(this.#client(attempt).chat(body))) {
      if (last !== null) before += ollamaText(last)
      last = line
      const text = ollamaText(line)
      if (text !== '') yield { kind: 'text', text }
    }
    if (last === null) malformed('it has no lines')
    yield { kind: 'end', ...ollamaAnswer(last, before) }
  }

  reported(error: unknown): ProviderFault | null {
    // The SDK's words for a stream that ended without its last line.
    return error instanceof Error && error.message.startsWith('Did not receive done')
      ? { kind: 'cut', said: 'no line says done' }
      : null
  }

  adapt(): boolean {
    return false
  }

  #client(attempt: ProviderAttempt): Ollama {
    return new this.#Client({ host: this.#settings.baseUrl, fetch: attempt.fetch })
  }

  #body({ runs, maxTokens, sampling, stop = [] }: OrderedRequest): ChatRequest {
    const { temperature, topK, topP, seed } = sampling
    const { keepAlive, contextTokens } = this.#traits
    const body: ChatRequest = {
      model: this.#settings.model,
      messages: runs.map((run) => ({ role: run.role, content: runText(run) })),
      ...(keepAlive === undefined ? {} : { keep_alive: keepAlive }),
      options: {
        num_predict: maxTokens,
        ...(contextTokens === undefined ? {} : { num_ctx: contextTokens }),
        ...(temperature === undefined ? {} : { temperature }),
        ...(topK === undefined ? {} : { top_k: topK }),
        ...(topP === undefined ? {} : { top_p: topP }),
        ...(seed === undefined ? {} : { seed }),
        ...(stop.length === 0 ? {} : { stop: [...stop] }),
      },
    }
    // Neither a prompt nor a context that is full is shortened without a word. The SDK's types do not know the fields.
    return Object.assign(body, { truncate: false, shift: false })
  }
}
