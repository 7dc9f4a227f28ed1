/** What a generation and a rebuild did, for people. */
import type { ExplainedSpan } from '../reconstruct/rebuild-plan.ts'
import type { Generation } from '../server/generation.ts'
import { figure, table } from './print.ts'
import { bytesText } from './units.ts'

/** `1.23 s`, `4.56 ms`. */
export function secondsText(seconds: number): string {
  return seconds >= 1 ? `${figure(seconds)} s` : `${figure(seconds * 1000)} ms`
}

/** One line: how much of the prompt was reused, and how fast it went. */
export function ratesText(answer: Generation, loadSeconds: number): string {
  const { promptTokens, reusedTokens, tokenIds, ttftSeconds, decodeTokensPerSecond, isSimulated, approximate } = answer
  const prompt =
    promptTokens === null
      ? 'prompt of unknown length'
      : `prompt ${promptTokens} tokens, ${reusedTokens ?? 'unknown'} of them reused`
  const decode = decodeTokensPerSecond === null ? '' : ` at ${figure(decodeTokensPerSecond)} tokens/s`
  const moved = approximate === null ? '' : `; approximate: KV from other positions${divergenceText(approximate)}`
  const source = isSimulated ? '; simulated: text and times are made up' : ''
  return `${prompt}; first token after ${secondsText(ttftSeconds)}; ${tokenIds.length} tokens${decode}; loaded in ${secondsText(loadSeconds)}${moved}${source}`
}

function divergenceText({ klNats }: NonNullable<Generation['approximate']>): string {
  return klNats === null ? ', how far off was not measured' : `, ${figure(klNats)} nats from the exact next token`
}

/** Span by span. */
export function explainText(explain: readonly ExplainedSpan[]): string {
  return table(
    ['tokens', 'from', 'read', 'time', 'because'],
    explain.map(({ start, end, source, bytes, seconds, reason }) => [
      `${start}-${end}`,
      source,
      bytes === 0 ? null : bytesText(bytes),
      secondsText(seconds),
      reason,
    ]),
  )
}
