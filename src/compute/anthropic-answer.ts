/** Anthropic's messages, whole and as events. Pure. */
import type { TextAnswer, TextUsage } from '../core/compute.ts'
import { FaultError, malformed, type ProviderFault } from './provider-fault.ts'
import { asCount, asList, asName, asObject, asText, asTextOrNull, fieldsOf } from './provider-shape.ts'

/** Throws FaultError. */
export function anthropicAnswer(value: unknown): TextAnswer {
  const message = asObject(value, 'the answer')
  if (message['type'] === 'error') throw new FaultError(anthropicReported(message))
  const blocks = asList(message['content'], 'content').map((block) => asObject(block, 'a block'))
  return {
    text: blocks.map((block) => (block['type'] === 'text' ? asText(block['text'], 'text') : '')).join(''),
    finish: anthropicFinish(asName(message['stop_reason'], 'stop_reason')),
    usage: anthropicUsage(fieldsOf(message['usage'], 'usage')),
    model: asName(message['model'], 'model'),
  }
}

/** Adds up the events of a stream. */
export class AnthropicEvents {
  readonly #pieces: string[] = []
  #stopReason: string | null = null
  #model: unknown = null
  #usage: Readonly<Record<string, unknown>> = {}
  #state: 'awaited' | 'begun' | 'stopped' = 'awaited'

  /** The text that it adds, sometimes none. Throws FaultError. */
  add(value: unknown): string {
    const event = asObject(value, 'an event')
    switch (event['type']) {
      case 'message_start': {
        const message = asObject(event['message'], 'message')
        this.#state = 'begun'
        this.#model = message['model']
        this.#addUsage(message['usage'])
        return ''
      }
      case 'content_block_start':
        return this.#addText(asObject(event['content_block'], 'content_block'), 'text')
      case 'content_block_delta':
        return this.#addText(asObject(event['delta'], 'delta'), 'text_delta')
      case 'message_delta':
        this.#stopReason =
          asTextOrNull(asObject(event['delta'], 'delta')['stop_reason'], 'stop_reason') ?? this.#stopReason
        this.#addUsage(event['usage'])
        return ''
      case 'message_stop':
        this.#state = 'stopped'
        return ''
      default:
        // Kinds that come later are to be passed over.
        return ''
    }
  }

  /** Once the stream has ended. Throws FaultError when it ended before the answer did. */
  answer(): TextAnswer {
    if (this.#state === 'awaited') return malformed('it has no message_start')
    if (this.#state === 'begun') throw new FaultError({ kind: 'cut', said: 'no message_stop came' })
    return {
      text: this.#pieces.join(''),
      finish: anthropicFinish(asName(this.#stopReason, 'stop_reason')),
      usage: anthropicUsage(this.#usage),
      model: asName(this.#model, 'model'),
    }
  }

  #addText(holder: Readonly<Record<string, unknown>>, type: string): string {
    if (holder['type'] !== type) return ''
    const text = asText(holder['text'], 'text')
    this.#pieces.push(text)
    return text
  }

  /** The last word of a stream repeats some fields, with larger numbers, and leaves others out. */
  #addUsage(value: unknown): void {
    const said = Object.entries(fieldsOf(value, 'usage')).filter(([, field]) => field !== null)
    this.#usage = { ...this.#usage, ...Object.fromEntries(said) }
  }
}

/** `{"type": "error", "error": {"type", "message"}}` in the midst of a stream. */
export function anthropicReported(body: unknown): ProviderFault {
  const error = fieldsOf(fieldsOf(body, 'the error')['error'], 'its error')
  const { type, message } = error
  return {
    kind: 'reported',
    status: null,
    type: typeof type === 'string' ? type : null,
    said: typeof message === 'string' ? message : (JSON.stringify(body) ?? ''),
  }
}

function anthropicFinish(reason: string): TextAnswer['finish'] {
  if (reason === 'end_turn' || reason === 'stop_sequence') return 'stop'
  return reason === 'max_tokens' || reason === 'model_context_window_exceeded' ? 'length' : 'other'
}

/** `input_tokens` leaves out what was read from the cache and what was written to it; here all of them count. */
function anthropicUsage(usage: Readonly<Record<string, unknown>>): TextUsage {
  const inputTokens = asCount(usage['input_tokens'], 'input_tokens')
  const cachedTokens = asCount(usage['cache_read_input_tokens'], 'cache_read_input_tokens')
  const cacheWriteTokens = asCount(usage['cache_creation_input_tokens'], 'cache_creation_input_tokens')
  return {
    promptTokens: inputTokens === null ? null : inputTokens + (cachedTokens ?? 0) + (cacheWriteTokens ?? 0),
    cachedTokens,
    cacheWriteTokens,
    completionTokens: asCount(usage['output_tokens'], 'output_tokens'),
    received: Object.keys(usage).length === 0 ? null : usage,
  }
}
