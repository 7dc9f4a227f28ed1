/** Plans and what became of them, as lines for people. */
import type { TokenSpan } from '../core/fragment.ts'
import { bytesText, secondsText, tokensText } from './explain-numbers.ts'
import type { ExplainedSpan, RebuildPlan } from './rebuild-plan.ts'

/** Lines of a span, and those that sum up. */
interface Entry {
  readonly span: TokenSpan
  readonly source: string
  readonly bytes: number
  readonly seconds: number
  readonly computedSeconds: number
  readonly reason: string
}

/** What an explanation is set beside. */
export interface ExplainOptions {
  /** Seconds to compute a span here: what each span would have cost otherwise. */
  readonly prefillSeconds: (span: TokenSpan) => number
  /** From the start until all was ready; spans overlap, so it is not their sum. */
  readonly seconds: number
}

/**
 * One line a span (`[start, end)` in tokens, source, bytes, time, what computing it would take, the reason), then one
 * that sums up. Lines are plain text of any width.
 */
export function explainSpans(spans: readonly ExplainedSpan[], options: ExplainOptions): string[] {
  const entries = spans.map(({ start, end, source, bytes, seconds, reason }): Entry => {
    const span = { start, end }
    return { span, source, bytes, seconds, computedSeconds: options.prefillSeconds(span), reason }
  })
  const allSeconds = entries.reduce((sum, { computedSeconds }) => sum + computedSeconds, 0)
  return [...tableOf(entries), summary('Ready after', options.seconds, entries, allSeconds)]
}

/** The same of a plan, in the times that it expects, then a line for each candidate that it refuses. */
export function explainPlan(plan: RebuildPlan): string[] {
  const entries = plan.steps.map(
    ({ span, source, bytes, expectedSeconds, prefillSeconds, reason }): Entry => ({
      span,
      source,
      bytes,
      seconds: expectedSeconds,
      computedSeconds: prefillSeconds,
      reason,
    }),
  )
  return [
    ...tableOf(entries),
    summary('Expected after', plan.expectedSeconds, entries, plan.prefillAllSeconds),
    ...plan.refused.map(({ index, reason }) => `Candidate ${index} is not used. ${reason}`),
  ]
}

function summary(word: string, seconds: number, entries: readonly Entry[], allSeconds: number): string {
  const tokens = entries.at(-1)?.span.end ?? 0
  const computed = entries
    .filter(({ source }) => source === 'prefill')
    .reduce((sum, { span }) => sum + span.end - span.start, 0)
  const read = entries.reduce((sum, { bytes }) => sum + bytes, 0)
  return `${word} ${secondsText(seconds)}: ${computed} of ${tokensText(tokens)} computed here, ${bytesText(read)} read. Computing all of them would take ${secondsText(allSeconds)}.`
}

function tableOf(entries: readonly Entry[]): string[] {
  const rows = entries.map(({ span, source, bytes, seconds, computedSeconds, reason }) => [
    `[${span.start}, ${span.end})`,
    source,
    bytes === 0 ? '' : bytesText(bytes),
    secondsText(seconds),
    source === 'prefill' ? '' : `(computed: ${secondsText(computedSeconds)})`,
    reason,
  ])
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), 0),
  )
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .filter((_, column) => (widths[column] ?? 0) > 0)
      .join('  ')
      .trimEnd(),
  )
}
