/** What a generation and a rebuild did, for people. */
import { stripVTControlCharacters } from 'node:util'
import type { ExplainedSpan } from '../reconstruct/rebuild-plan.ts'
import type { Generation } from '../server/generation.ts'
import { figure, table } from './print.ts'
import { bytesText } from './units.ts'

/** A terminal's width in characters; Infinity where nobody looks. */
type Columns = number

/** `1.23 s`, `4.56 ms`. */
export function secondsText(seconds: number): string {
  return seconds >= 1 ? `${figure(seconds)} s` : `${figure(seconds * 1000)} ms`
}

export function columnsOf(stream: NodeJS.WriteStream): Columns {
  return stream.isTTY ? stream.columns : Number.POSITIVE_INFINITY
}

/** As counted here, or as a service says; null where it says nothing. */
export function generatedTokens({ tokenIds, usage }: Pick<Generation, 'tokenIds' | 'usage'>): number | null {
  return usage === null ? tokenIds.length : usage.completionTokens
}

/** How much of the prompt was reused, and how fast it went: a line each. */
export function ratesText(answer: Omit<Generation, 'stored'>, loadSeconds: number | null): string {
  const { promptTokens, reusedTokens, prefilledTokens, ttftSeconds, decodeTokensPerSecond } = answer
  const { isSimulated, approximate } = answer
  const isOfService = answer.usage !== null
  const count = (tokens: number | null): string => (tokens === null ? 'unknown' : tokens.toLocaleString('en-US'))
  const reused = isOfService ? 'read from its cache' : 'reused'
  const rate = decodeTokensPerSecond === null ? '' : `, ${figure(decodeTokensPerSecond)} tokens/s`
  return [
    `prompt: ${count(promptTokens)} tokens, ${count(reusedTokens)} ${reused}, ${count(prefilledTokens)} computed`,
    `answer: first token after ${secondsText(ttftSeconds)}; ${count(generatedTokens(answer))} tokens${rate}`,
    ...(loadSeconds === null
      ? []
      : [`${isOfService ? 'ready' : 'model and memory ready'} after ${secondsText(loadSeconds)}`]),
    ...(approximate === null ? [] : [`approximate: KV from other positions; ${divergenceText(approximate)}`]),
    ...(isSimulated ? ['simulated: text and times are made up'] : []),
  ].join('\n')
}

function divergenceText({ klNats }: NonNullable<Generation['approximate']>): string {
  return klNats === null
    ? 'how far off they are was not measured'
    : `next token ${figure(klNats)} nats from what full prefill gives`
}

/** Span by span; reasons are broken between words where the terminal ends. */
export function explainText(explain: readonly ExplainedSpan[], columns: Columns): string {
  const rows = explain.map(({ start, end, source, bytes, seconds }) => [
    `${start}-${end}`,
    source,
    bytes === 0 ? null : bytesText(bytes),
    secondsText(seconds),
  ])
  const reasons = explain.map(({ reason }) => reason)
  return withReasons(table(['tokens', 'from', 'read', 'time'], rows), { reasons, columns })
}

/** A table whose last column is prose. */
export function withReasons(
  lines: string,
  { reasons, columns }: { readonly reasons: readonly string[]; readonly columns: Columns },
): string {
  const [head = '', ...rows] = lines.split('\n')
  const width = Math.max(...[head, ...rows].map((line) => stripVTControlCharacters(line).length)) + 2
  const padded = (line: string): string => line + ' '.repeat(width - stripVTControlCharacters(line).length)
  return [
    `${padded(head)}because`,
    ...rows.map((row, index) => padded(row) + broken(reasons[index] ?? '', columns - width).join(`\n${padded('')}`)),
  ].join('\n')
}

/** Lines of at most so many characters, but for words that are longer. */
export function broken(text: string, columns: Columns): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = ''
    }
    line += line === '' ? word : ` ${word}`
  }
  return [...lines, line]
}
