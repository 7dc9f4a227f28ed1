/** Chat completions as OpenAI and the many that speak its language answer them. Pure. */
import type { TextAnswer, TextUsage } from '../core/compute.ts'
import { FaultError, type ProviderFault } from './provider-fault.ts'
import { asCount, asList, asName, asObject, asTextOrNull, fieldsOf } from './provider-shape.ts'

/** Throws FaultError. */
export function openAiAnswer(value: unknown): TextAnswer {
  const body = asObject(value, 'the answer')
  if (body['error'] !== undefined && body['error'] !== null) throw new FaultError(openAiReported(body['error']))
  const choice = asObject(asList(body['choices'], 'choices')[0], 'the first choice')
  const message = asObject(choice['message'], 'its message')
  return {
    text: asTextOrNull(message['content'], 'its content') ?? '',
    finish: openAiFinish(asName(choice['finish_reason'], 'finish_reason')),
    usage: openAiUsage(body),
    model: asName(body['model'], 'model'),
  }
}

/** Adds up the chunks of a stream. */
export class OpenAiChunks {
  readonly #pieces: string[] = []
  #finish: string | null = null
  #model: string | null = null
  #usage: TextUsage = openAiUsage({})
  #count = 0

  /** The text that it adds, sometimes none. Throws FaultError. */
  add(value: unknown): string {
    const chunk = asObject(value, 'a chunk')
    this.#count++
    // Some have an empty name in a first chunk that says other things.
    this.#model = asTextOrNull(chunk['model'], 'model') || this.#model
    if (fieldsOf(chunk['usage'], 'usage') === chunk['usage'] || chunk['timings'] !== undefined) {
      this.#usage = openAiUsage(chunk)
    }
    const first = asList(chunk['choices'], 'choices')[0]
    if (first === undefined) return ''
    const choice = asObject(first, 'the first choice')
    const text = asTextOrNull(fieldsOf(choice['delta'], 'its delta')['content'], 'its content') ?? ''
    this.#finish = asTextOrNull(choice['finish_reason'], 'finish_reason') ?? this.#finish
    this.#pieces.push(text)
    return text
  }

  /** Once the stream has ended. Throws FaultError when it ended before the answer did. */
  answer(): TextAnswer {
    if (this.#count === 0) throw new FaultError({ kind: 'malformed', said: 'it has no events' })
    if (this.#finish === null) throw new FaultError({ kind: 'cut', said: 'no finish_reason came' })
    return {
      text: this.#pieces.join(''),
      finish: openAiFinish(this.#finish),
      usage: this.#usage,
      model: asName(this.#model, 'model'),
    }
  }
}

/** The error that stands in an answer, or in a stream. */
export function openAiReported(error: unknown): ProviderFault {
  const fields: Readonly<Record<string, unknown>> =
    typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : { message: error }
  const { code, type, message } = fields
  // vLLM and routers put the status there.
  const status = typeof code === 'number' && code >= 400 && code < 600 ? code : null
  const name = [code, type].find((text) => typeof text === 'string')
  return {
    kind: 'reported',
    status,
    type: typeof name === 'string' ? name : null,
    said: typeof message === 'string' ? message : (JSON.stringify(error) ?? ''),
  }
}

function openAiFinish(reason: string): TextAnswer['finish'] {
  return reason === 'stop' || reason === 'length' ? reason : 'other'
}

/**
 * `usage`, and the `timings` of llama.cpp's server, which says there what it had cached. DeepSeek has a name of its own
 * for cached tokens. `received` is `usage`, with `timings` in it when there are any.
 */
function openAiUsage(body: Readonly<Record<string, unknown>>): TextUsage {
  const usage = fieldsOf(body['usage'], 'usage')
  const details = fieldsOf(usage['prompt_tokens_details'], 'prompt_tokens_details')
  const timings = fieldsOf(body['timings'], 'timings')
  const cached = details['cached_tokens'] ?? usage['prompt_cache_hit_tokens'] ?? timings['cache_n']
  const received = { ...usage, ...(body['timings'] === undefined ? {} : { timings: body['timings'] }) }
  return {
    promptTokens: asCount(usage['prompt_tokens'], 'prompt_tokens'),
    cachedTokens: asCount(cached, 'cached_tokens'),
    cacheWriteTokens: asCount(details['cache_write_tokens'], 'cache_write_tokens'),
    completionTokens: asCount(usage['completion_tokens'], 'completion_tokens'),
    received: Object.keys(received).length === 0 ? null : received,
  }
}
