/** Anthropic's messages. The only file that loads the package `@anthropic-ai/sdk`. */
import type { Anthropic } from '@anthropic-ai/sdk'
import type { TextBackend, TextEvent, TextRequest } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { AnthropicEvents, anthropicAnswer, anthropicReported } from './anthropic-answer.ts'
import type { ProviderAttempt } from './provider-attempt.ts'
import { type OrderedRequest, ProviderBackend, type ProviderDialect } from './provider-backend.ts'
import type { ProviderFault } from './provider-fault.ts'
import { type ProviderOptions, type ProviderSettings, providerSettings } from './provider-options.ts'
import { type Breakpoint, placeBreakpoints, type PromptBlock, promptBlocks, type PromptRun } from './provider-prompt.ts'
import { keylessClient, loadSdk } from './provider-sdk.ts'

/** How long a prefix stays in the service's cache after it was last used. */
export type CacheTtl = '5m' | '1h'

/** Options of `openAnthropicBackend`. */
export interface AnthropicOptions extends ProviderOptions {
  /**
   * How long a prefix is kept that lasts `always`, and one that lasts for the session; defaults `1h` and `5m`. Writing
   * costs 2 times the price of a token for an hour, 1.25 times for five minutes; reading a tenth. Null keeps none. What
   * lasts `always` is not kept shorter than a session.
   */
  readonly cacheTtl?: { readonly always: CacheTtl | null; readonly session: CacheTtl | null }
}

const BASE_URL = 'https://api.anthropic.com'
const DEFAULT_CACHE_TTL = { always: '1h', session: '5m' } as const

/** As the service has it: 4 of them, each looked back from over 20 blocks. Some hundred characters save nothing worth one. */
const BREAKPOINTS = { breakpointsMax: 4, lookBackBlocks: 20, charactersMin: 400 } as const

/**
 * A backend by the package `@anthropic-ai/sdk`, which is loaded now. Cache breakpoints are set where prefixes end that last.
 * `cacheKey` has no field there; `seed` neither, and is refused with INVALID_REQUEST unless the temperature is 0. System
 * segments at the beginning are the system prompt, later ones are messages of their own, which only newer models take.
 * Throws INVALID_CONFIG and MISSING_PACKAGE.
 */
export async function openAnthropicBackend(options: AnthropicOptions): Promise<TextBackend> {
  const settings = providerSettings('anthropic', BASE_URL, options)
  const { always, session } = options.cacheTtl ?? DEFAULT_CACHE_TTL
  if (session === '1h' && always !== '1h') {
    throw new MembraneError(
      'INVALID_CONFIG',
      'What lasts always is kept as long as what lasts for a session, or longer.',
    )
  }
  const sdk = await loadSdk('@anthropic-ai/sdk', () => import('@anthropic-ai/sdk'))
  return new ProviderBackend(settings, new AnthropicDialect(settings, sdk.Anthropic, { always, session }))
}

class AnthropicDialect implements ProviderDialect {
  readonly keyHeaders: Readonly<Record<string, string>>
  readonly checkLine = null
  readonly #settings: ProviderSettings
  readonly #Client: typeof Anthropic
  readonly #cacheTtl: Readonly<Record<'always' | 'session', CacheTtl | null>>

  constructor(
    settings: ProviderSettings,
    Client: typeof Anthropic,
    cacheTtl: Readonly<Record<'always' | 'session', CacheTtl | null>>,
  ) {
    this.#settings = settings
    this.#Client = Client
    this.#cacheTtl = cacheTtl
    const { apiKey } = settings
    this.keyHeaders = apiKey === null ? {} : { 'x-api-key': apiKey.reveal() }
  }

  check({ segments, sampling }: TextRequest): void {
    if (sampling.seed !== undefined && sampling.temperature !== 0) {
      throw new MembraneError('INVALID_REQUEST', 'Anthropic has no field for seed.', {
        remedy: 'Leave seed out, or take temperature 0.',
        details: { seed: sampling.seed },
      })
    }
    if (!segments.some(({ role, text }) => role !== 'system' && text !== '')) {
      throw new MembraneError('INVALID_REQUEST', 'Anthropic wants a message beside the system prompt.')
    }
  }

  async generate(request: OrderedRequest, attempt: ProviderAttempt): ReturnType<ProviderDialect['generate']> {
    return anthropicAnswer(await this.#client(attempt).messages.create(this.#body(request)))
  }

  async *stream(request: OrderedRequest, attempt: ProviderAttempt): AsyncGenerator<TextEvent> {
    const body = { ...this.#body(request), stream: true } as const
    const events = new AnthropicEvents()
    for await (const event of attempt.events(this.#client(attempt).messages.create(body))) {
      const text = events.add(event)
      if (text !== '') yield { kind: 'text', text }
    }
    yield { kind: 'end', ...events.answer() }
  }

  reported(error: unknown): ProviderFault | null {
    if (!(error instanceof this.#Client.APIError) || error.error === undefined) return null
    return anthropicReported(error.error)
  }

  adapt(): boolean {
    return false
  }

  #client(attempt: ProviderAttempt): Anthropic {
    const { baseUrl } = this.#settings
    return new this.#Client({ ...keylessClient(attempt), baseURL: baseUrl, webhookKey: null, openTelemetry: false })
  }

  #body({ runs, maxTokens, sampling, stop = [] }: OrderedRequest): Anthropic.MessageCreateParamsNonStreaming {
    const { temperature, topK = 0, topP = 1 } = sampling
    const content = this.#content(runs)
    const messages = runs.map((run, index) => ({ role: run.role, content: content[index] ?? [] }))
    const system = messages[0]?.role === 'system' ? messages.shift() : undefined
    return {
      model: this.#settings.model,
      max_tokens: maxTokens,
      ...(system === undefined ? {} : { system: system.content }),
      messages,
      ...(temperature === undefined ? {} : { temperature }),
      // 1 restricts nothing, and some models refuse to be told beside a temperature.
      ...(topP === 1 ? {} : { top_p: topP }),
      ...(topK === 0 ? {} : { top_k: topK }),
      ...(stop.length === 0 ? {} : { stop_sequences: [...stop] }),
    }
  }

  /** The blocks of each run, those with a breakpoint marked. */
  #content(runs: readonly PromptRun[]): readonly Anthropic.TextBlockParam[][] {
    const blocks = promptBlocks(runs)
    const ttls = this.#ttls(blocks.flat())
    let index = 0
    return blocks.map((run) =>
      run.map(({ text }) => {
        const ttl = ttls.get(index++)
        return { type: 'text', text, ...(ttl === undefined ? {} : { cache_control: { type: 'ephemeral', ttl } }) }
      }),
    )
  }

  #ttls(blocks: readonly PromptBlock[]): ReadonlyMap<number, CacheTtl> {
    const kept = ({ lasts }: Pick<Breakpoint, 'lasts'>): CacheTtl | null => this.#cacheTtl[lasts]
    return new Map(
      placeBreakpoints(blocks, BREAKPOINTS).flatMap((breakpoint) => {
        const ttl = kept(breakpoint)
        return ttl === null ? [] : [[breakpoint.block, ttl] as const]
      }),
    )
  }
}
