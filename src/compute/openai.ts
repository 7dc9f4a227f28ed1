/**
 * OpenAI's chat completions, and all that speak them: vLLM, SGLang, llama.cpp's server, LM Studio, routers. The only file
 * that loads the package `openai`.
 */
import type { OpenAI } from 'openai'
import type { TextBackend, TextEvent, TextRequest } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { OpenAiChunks, openAiAnswer, openAiReported } from './openai-answer.ts'
import type { ProviderAttempt } from './provider-attempt.ts'
import { type OrderedRequest, ProviderBackend, type ProviderDialect } from './provider-backend.ts'
import type { ProviderFault } from './provider-fault.ts'
import { type ProviderOptions, type ProviderSettings, providerSettings } from './provider-options.ts'
import { runText } from './provider-prompt.ts'
import { keylessClient, loadSdk } from './provider-sdk.ts'

/** The field that bounds an answer's tokens. */
export type MaxTokensField = 'max_tokens' | 'max_completion_tokens'

/** Options of `openOpenAiBackend`. */
export interface OpenAiOptions extends ProviderOptions {
  /**
   * Default: `max_completion_tokens` at OpenAI and Azure, whose newer models know no other; `max_tokens` elsewhere, where
   * older servers know no other.
   */
  readonly maxTokensField?: MaxTokensField
}

const BASE_URL = 'https://api.openai.com/v1'

/**
 * A backend by the package `openai`, which is loaded now. Without `baseUrl` at https://api.openai.com/v1; others say where
 * theirs is, with the `/v1`. A prompt's run is one message; `cacheKey` is sent as `prompt_cache_key`. `topK` is no field of
 * OpenAI's: at its own address it is refused with INVALID_REQUEST, elsewhere sent as `top_k`. Streams ask for usage; a
 * server that refuses to be asked is asked again without, and says none. Throws INVALID_CONFIG and MISSING_PACKAGE.
 */
export async function openOpenAiBackend(options: OpenAiOptions): Promise<TextBackend> {
  const settings = providerSettings('openai', BASE_URL, options)
  const sdk = await loadSdk('openai', () => import('openai'))
  return new ProviderBackend(settings, new OpenAiDialect(settings, sdk.OpenAI, options.maxTokensField ?? null))
}

type ChatRequest = OpenAI.Chat.Completions.ChatCompletionCreateParamsNonStreaming

class OpenAiDialect implements ProviderDialect {
  readonly keyHeaders: Readonly<Record<string, string>>
  readonly checkLine = null
  readonly #settings: ProviderSettings
  readonly #Client: typeof OpenAI
  readonly #isOpenAi: boolean
  readonly #maxTokensField: MaxTokensField
  #asksForUsage = true

  constructor(settings: ProviderSettings, Client: typeof OpenAI, maxTokensField: MaxTokensField | null) {
    const host = new URL(settings.baseUrl).hostname
    this.#settings = settings
    this.#Client = Client
    this.#isOpenAi = /(?:^|\.)(?:openai\.com|openai\.azure\.com)$/.test(host)
    this.#maxTokensField = maxTokensField ?? (this.#isOpenAi ? 'max_completion_tokens' : 'max_tokens')
    const { apiKey } = settings
    this.keyHeaders = apiKey === null ? {} : { authorization: `Bearer ${apiKey.reveal()}` }
  }

  check({ sampling }: TextRequest): void {
    if (!this.#isOpenAi || (sampling.topK ?? 0) === 0) return
    throw new MembraneError('INVALID_REQUEST', 'OpenAI has no field for topK.', {
      remedy: 'Leave topK out, or use topP.',
      details: { topK: sampling.topK },
    })
  }

  async generate(request: OrderedRequest, attempt: ProviderAttempt): ReturnType<ProviderDialect['generate']> {
    return openAiAnswer(await this.#client(attempt).chat.completions.create(this.#body(request)))
  }

  async *stream(request: OrderedRequest, attempt: ProviderAttempt): AsyncGenerator<TextEvent> {
    const usage = this.#asksForUsage ? { stream_options: { include_usage: true } } : {}
    const body = { ...this.#body(request), ...usage, stream: true } as const
    const chunks = new OpenAiChunks()
    for await (const chunk of attempt.events(this.#client(attempt).chat.completions.create(body))) {
      const text = chunks.add(chunk)
      if (text !== '') yield { kind: 'text', text }
    }
    yield { kind: 'end', ...chunks.answer() }
  }

  reported(error: unknown): ProviderFault | null {
    // The SDK's errors of no status are those that stood in a stream.
    if (!(error instanceof this.#Client.APIError) || error.error === undefined) return null
    return openAiReported(error.error)
  }

  adapt(fault: ProviderFault): boolean {
    const isRefusal = (fault.kind === 'status' || fault.kind === 'reported') && [400, 422].includes(fault.status ?? 0)
    if (!this.#asksForUsage || !isRefusal || !/stream_options|include_usage/.test(fault.said)) return false
    this.#asksForUsage = false
    return true
  }

  #client(attempt: ProviderAttempt): OpenAI {
    const { baseUrl } = this.#settings
    // What is not said here, the SDK would take from variables.
    const unsaid = { adminAPIKey: null, organization: null, project: null, webhookSecret: null }
    return new this.#Client({ ...keylessClient(attempt), ...unsaid, baseURL: baseUrl })
  }

  #body({ runs, maxTokens, sampling, cacheKey, stop = [] }: OrderedRequest): ChatRequest {
    const { temperature, topK = 0, topP = 1, seed } = sampling
    const body: ChatRequest = {
      model: this.#settings.model,
      messages: runs.map((run) => ({ role: run.role, content: runText(run) })),
      [this.#maxTokensField]: maxTokens,
      ...(temperature === undefined ? {} : { temperature }),
      // 1 restricts nothing, and some models refuse to be told.
      ...(topP === 1 ? {} : { top_p: topP }),
      ...(seed === undefined ? {} : { seed }),
      ...(stop.length === 0 ? {} : { stop: [...stop] }),
      ...(cacheKey === null ? {} : { prompt_cache_key: cacheKey }),
    }
    return topK === 0 ? body : Object.assign(body, { top_k: topK })
  }
}
