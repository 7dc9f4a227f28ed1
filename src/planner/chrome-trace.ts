import type { RequestTimeline } from './sim-timeline.ts'

/** Single requests in the Trace Event Format, which Perfetto and chrome://tracing open. */

/** A span ("X") with its times in microseconds. */
export interface TraceSpan {
  readonly ph: 'X'
  readonly name: string
  readonly cat: 'request' | 'phase'
  readonly pid: number
  readonly tid: number
  readonly ts: number
  readonly dur: number
  readonly args: Readonly<Record<string, number>>
}

/** What a process or a row is called, and where it stands. */
export interface TraceLabel {
  readonly ph: 'M'
  readonly name: 'process_name' | 'process_sort_index' | 'thread_name'
  readonly pid: number
  readonly tid: number
  readonly args: { readonly name: string } | { readonly sort_index: number }
}

/** What chrome://tracing and Perfetto open. */
export interface ChromeTrace {
  readonly traceEvents: readonly (TraceSpan | TraceLabel)[]
  readonly displayTimeUnit: 'ms'
}

/** A process each for the requests that were prefilled there. */
const PROCESSES = [
  { place: 'remote', pid: 1, name: 'prefilled in the remote cluster' },
  { place: 'local', pid: 2, name: 'prefilled in the local cluster' },
] as const

/**
 * One span a request, with a span for each of its phases inside: they fill it without a gap. Requests that do not
 * overlap share a row. Phases of less than half a microsecond are left out. The same timelines give the same trace,
 * in whatever order they come.
 */
export function chromeTrace(timelines: readonly RequestTimeline[]): ChromeTrace {
  const traceEvents = PROCESSES.flatMap(({ place, pid, name }) => {
    const rows = rowsOf(timelines.filter((timeline) => timeline.place === place))
    if (rows.length === 0) return []
    const labels: TraceLabel[] = [
      { ph: 'M', name: 'process_name', pid, tid: 0, args: { name } },
      { ph: 'M', name: 'process_sort_index', pid, tid: 0, args: { sort_index: pid } },
      ...rows.map((_, row): TraceLabel => {
        return { ph: 'M', name: 'thread_name', pid, tid: row + 1, args: { name: `requests, row ${row + 1}` } }
      }),
    ]
    return [...labels, ...rows.flatMap((row, k) => row.flatMap((timeline) => spansOf(timeline, { pid, tid: k + 1 })))]
  })
  return { traceEvents, displayTimeUnit: 'ms' }
}

/** Each request goes to the first row that is free when it arrives: as few rows as there are requests at once. */
function rowsOf(timelines: readonly RequestTimeline[]): RequestTimeline[][] {
  const rows: RequestTimeline[][] = []
  const freeAt: number[] = []
  const sorted = [...timelines].sort((a, b) => a.arrivalSeconds - b.arrivalSeconds || a.number - b.number)
  for (const timeline of sorted) {
    const arrival = microseconds(timeline.arrivalSeconds)
    const found = freeAt.findIndex((end) => end <= arrival)
    const row = found < 0 ? rows.length : found
    const others = rows[row]
    if (others === undefined) rows.push([timeline])
    else others.push(timeline)
    freeAt[row] = Math.max(arrival, microseconds(timeline.endSeconds))
  }
  return rows
}

function spansOf(timeline: RequestTimeline, at: { readonly pid: number; readonly tid: number }): TraceSpan[] {
  const { number, arrivalSeconds, endSeconds, promptTokens, uncachedTokens, outputTokens } = timeline
  const start = microseconds(arrivalSeconds)
  const end = Math.max(start, microseconds(endSeconds))
  const args = { number, promptTokens, uncachedTokens, outputTokens }
  const phases: TraceSpan[] = []
  let from = start
  for (const { name, untilSeconds, tokens } of phasesOf(timeline)) {
    // A request that was lost and began anew keeps some times of its first try.
    const until = Math.min(end, Math.max(from, microseconds(untilSeconds)))
    if (until > from) {
      phases.push({ ph: 'X', name, cat: 'phase', ...at, ts: from, dur: until - from, args: { number, ...tokens } })
    }
    from = until
  }
  return [{ ph: 'X', name: `request ${number}`, cat: 'request', ...at, ts: start, dur: end - start, args }, ...phases]
}

interface Phase {
  readonly name: string
  readonly untilSeconds: number
  readonly tokens: Readonly<Record<string, number>>
}

/** In their order; each begins where the one before it ends. */
function phasesOf(timeline: RequestTimeline): Phase[] {
  const { promptTokens, uncachedTokens, outputTokens } = timeline
  return [
    { name: 'wait for prefill', untilSeconds: timeline.prefillStartSeconds, tokens: {} },
    { name: 'prefill', untilSeconds: timeline.prefillEndSeconds, tokens: { uncachedTokens } },
    { name: 'transfer', untilSeconds: timeline.kvReadySeconds, tokens: { promptTokens } },
    { name: 'wait for a slot', untilSeconds: timeline.joinSeconds, tokens: {} },
    { name: 'first step', untilSeconds: timeline.firstTokenSeconds, tokens: { outputTokens: 1 } },
    { name: 'decode', untilSeconds: timeline.endSeconds, tokens: { outputTokens: outputTokens - 1 } },
  ]
}

/** Whole ones, so that durations add up exactly. */
function microseconds(seconds: number): number {
  return Math.round(seconds * 1e6)
}
