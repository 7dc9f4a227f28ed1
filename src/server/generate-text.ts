/** Generation by a service that keeps its KV: the same request and answer, without what only an engine can say. */
import type { PromptSegment, TextBackend } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { Stopwatch } from '../core/ports.ts'
import {
  type ChatMessage,
  checkedStop,
  DEFAULT_MAX_TOKENS,
  type GenerateRequest,
  type Generation,
} from './generation.ts'

/** Throws INVALID_REQUEST for token ids, and what the backend throws. */
export async function generateText(
  backend: TextBackend,
  request: GenerateRequest,
  stopwatch: Stopwatch,
): Promise<Generation> {
  const { prompt, maxTokens = DEFAULT_MAX_TOKENS, sampling = {}, session = null, salt = '', signal, onText } = request
  if ('tokenIds' in prompt)
    throw new MembraneError('INVALID_REQUEST', `${backend.name} takes text; token ids are for engines.`)
  if (salt !== '')
    throw new MembraneError(
      'INVALID_REQUEST',
      `${backend.name} keeps its cache to itself: no salt keeps prompts apart there.`,
    )
  const startSeconds = stopwatch.seconds()
  let firstSeconds: number | null = null
  for await (const event of backend.stream({
    segments: 'text' in prompt ? [{ role: 'user', text: prompt.text, lasts: 'once' }] : segmentsOf(prompt.messages),
    maxTokens,
    sampling,
    stop: checkedStop(request.stop),
    cacheKey: session,
    signal,
  })) {
    firstSeconds ??= stopwatch.seconds()
    if (event.kind === 'text') {
      onText?.(event.text)
      continue
    }
    const { text, finish, usage } = event
    const { promptTokens, cachedTokens, completionTokens } = usage
    const decodeSeconds = stopwatch.seconds() - firstSeconds
    const isTimed = completionTokens !== null && completionTokens > 1 && decodeSeconds > 0
    return {
      text,
      tokenIds: new Uint32Array(0),
      finish,
      promptTokens,
      reusedTokens: cachedTokens,
      prefilledTokens: promptTokens === null || cachedTokens === null ? null : promptTokens - cachedTokens,
      ttftSeconds: firstSeconds - startSeconds,
      decodeTokensPerSecond: isTimed ? (completionTokens - 1) / decodeSeconds : null,
      kvHash: null,
      explain: [],
      approximate: null,
      isSimulated: backend.isSimulated,
      usage,
      stored: null,
    }
  }
  throw new MembraneError('PROVIDER_MALFORMED', `${backend.name} ended its stream without an answer.`)
}

/** What the system says stays the same for all, what was said for the session; the last turn is new. */
function segmentsOf(messages: readonly ChatMessage[]): readonly PromptSegment[] {
  return messages.map(({ role, text }, index) => {
    const lasts = index === messages.length - 1 ? 'once' : role === 'system' ? 'always' : 'session'
    return { role, text, lasts }
  })
}
