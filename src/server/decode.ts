/** Generates tokens from a context that is ready, one after the other. */
import type { CallOptions, KvContext, Sampling, Tokenizer } from '../core/compute.ts'
import type { Stopwatch } from '../core/ports.ts'
import { TokenSampler } from '../engine/sampling.ts'
import { StoppedText } from './stopped-text.ts'

export interface DecodeRequest extends CallOptions {
  readonly tokenizer: Tokenizer
  readonly sampling: Sampling
  /** 1 or more; the context has room for them. */
  readonly maxTokens: number
  /** Any of these texts ends the answer, which does not have it. */
  readonly stop: readonly string[]
  readonly onText?: ((text: string) => void) | undefined
  /** Called once, between the first token and the second, when nothing of the answer is in the context yet. */
  readonly onFirst: () => Promise<void>
  readonly stopwatch: Stopwatch
}

export interface Decoded {
  readonly text: string
  /** Without the end token. */
  readonly tokenIds: Uint32Array
  readonly finish: 'stop' | 'length'
  /** When the first token was there, by the stopwatch. */
  readonly firstSeconds: number
  /** Of the tokens after the first; null when there were none. */
  readonly tokensPerSecond: number | null
}

/** The KV of all generated tokens but the last is in the context afterwards. Throws what the engine throws. */
export async function decode(context: KvContext, request: DecodeRequest): Promise<Decoded> {
  const { tokenizer, sampling, maxTokens, onText, onFirst, stopwatch, signal } = request
  const sampler = new TokenSampler(sampling)
  const endTokens = new Set(tokenizer.endTokens)
  const decoder = tokenizer.decoder()
  const tokenIds: number[] = []
  const answer = new StoppedText(request.stop, onText)
  let next = sampler.next(context.logits())
  const firstSeconds = stopwatch.seconds()
  await onFirst()
  const beganSeconds = stopwatch.seconds()
  let steps = 0
  while (!endTokens.has(next)) {
    tokenIds.push(next)
    answer.add(decoder.push(next))
    if (answer.isStopped || tokenIds.length === maxTokens) break
    await context.prefill(context.filledTokens, Uint32Array.of(next), { signal })
    next = sampler.next(context.logits())
    steps += 1
  }
  const seconds = stopwatch.seconds() - beganSeconds
  answer.end(decoder.end())
  return {
    text: answer.text,
    tokenIds: Uint32Array.from(tokenIds),
    finish: tokenIds.length === maxTokens && !answer.isStopped ? 'length' : 'stop',
    firstSeconds,
    tokensPerSecond: steps === 0 ? null : steps / seconds,
  }
}
