/** Ollama's chat, whole and in lines. Pure. */
import type { TextAnswer } from '../core/compute.ts'
import { FaultError, malformed } from './provider-fault.ts'
import { asCount, asName, asObject, asText, asTextOrNull } from './provider-shape.ts'

/** The counts and times of an answer, which stand beside its text. */
const USAGE_FIELD = /^(?:prompt_eval|eval|total|load)_/

/** Of the last line, which has what was used; `text` is that of all lines. Throws FaultError. */
export function ollamaAnswer(value: unknown, textBefore: string): TextAnswer {
  const last = asObject(value, 'the answer')
  if (last['done'] !== true) return malformed('it does not say done')
  const usage = Object.entries(last).filter(([name]) => USAGE_FIELD.test(name))
  const reason = asTextOrNull(last['done_reason'], 'done_reason')
  return {
    text: textBefore + ollamaText(last),
    // Servers before 0.1.44 give no reason.
    finish: reason === 'stop' || reason === 'length' ? reason : 'other',
    usage: {
      // Cached tokens are among these. A server that leaves the field out may have had all of them.
      promptTokens: asCount(last['prompt_eval_count'], 'prompt_eval_count'),
      cachedTokens: asCount(last['prompt_eval_cached_count'], 'prompt_eval_cached_count'),
      cacheWriteTokens: null,
      completionTokens: asCount(last['eval_count'], 'eval_count'),
      received: usage.length === 0 ? null : Object.fromEntries(usage),
    },
    model: asName(last['model'], 'model'),
  }
}

/** The text that a line adds. */
export function ollamaText(value: unknown): string {
  return asText(asObject(asObject(value, 'a line')['message'], 'message')['content'], 'its content')
}

/** Throws the fault of a line that reports an error, or is no object: the SDK would take it for a text of its own. */
export function checkOllamaLine(value: unknown): void {
  const { error } = asObject(value, 'a line')
  if (error === undefined) return
  const said = typeof error === 'string' ? error : (JSON.stringify(error) ?? '')
  throw new FaultError({ kind: 'reported', status: null, type: null, said })
}
