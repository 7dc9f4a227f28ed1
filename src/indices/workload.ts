/** What the traffic of the last minutes is like: rate, reuse, popular prefixes, and how soon things are used again. */
import { MembraneError } from '../core/errors.ts'
import { GapHistogram } from './gap-histogram.ts'
import { OldestFirst, type Queued } from './oldest-first.ts'
import { SpaceSaving } from './space-saving.ts'

/** Whole numbers from 1. */
export interface WorkloadOptions {
  /** What counts: the last so many milliseconds; default 10 minutes. */
  readonly windowMs: number
  /** The window moves on by one of so many parts; default 10. Memory grows with them. */
  readonly panes: number
  /** Keys whose last use is remembered; beyond, the one used longest ago counts as never seen. Default 1,000,000. */
  readonly keysMax: number
  /** Counters of popular prefixes, in each pane; default 1,024. */
  readonly prefixCountersMax: number
  /**
   * Keys of one request, from its start, that may be a popular prefix; default 64. A prefix that more than
   * `prefixKeysMax / prefixCountersMax` of the requests share is always found.
   */
  readonly prefixKeysMax: number
}

/** What `WorkloadAnalyser` takes where nothing else is said. */
export const DEFAULT_WORKLOAD_OPTIONS: WorkloadOptions = {
  windowMs: 600_000,
  panes: 10,
  keysMax: 1_000_000,
  prefixCountersMax: 1024,
  prefixKeysMax: 64,
}

/** The traffic of a window. */
export interface WorkloadAnalysis {
  /** What the numbers are of: the window, or less shortly after the start. */
  readonly coveredMs: number
  readonly requests: number
  readonly requestsPerSecond: number
  /** Keys of these requests, and the share of them that had been used before; null without any. */
  readonly uses: number
  readonly reuseRatio: number | null
  /** Time from a use to the next, of what was used again in the window; null without any. */
  readonly nextUseMs: { readonly p10: number; readonly p50: number; readonly p90: number } | null
  /** Most requested first; a prefix is left out when a longer one was requested as often. */
  readonly popularPrefixes: readonly PopularPrefix[]
}

/** A beginning that many prompts share; the true number of requests lies between the two. */
export interface PopularPrefix {
  /** The last key of the prefix. */
  readonly key: string
  /** Keys of the prefix, at least 1. */
  readonly length: number
  readonly requestsMin: number
  readonly requestsMax: number
}

interface Pane {
  readonly number: number
  requests: number
  uses: number
  reuses: number
  readonly gaps: GapHistogram
  readonly prefixes: SpaceSaving<PrefixTag>
}

interface LastUse extends Queued<LastUse> {
  readonly key: string
  atMs: number
}

interface PrefixTag {
  readonly length: number
  /** The key before it; null for the first. */
  readonly parent: string | null
}

/** Counts requests in a sliding window. Times are milliseconds since 1970. */
export class WorkloadAnalyser {
  readonly #options: WorkloadOptions
  readonly #paneMs: number
  /** Oldest first, at most `panes`. */
  #panes: Pane[] = []
  readonly #lastUses = new Map<string, LastUse>()
  readonly #usesInOrder = new OldestFirst<LastUse>()
  #firstAtMs: number | null = null

  /** Throws INVALID_CONFIG. */
  constructor(options: Partial<WorkloadOptions> = {}) {
    this.#options = { ...DEFAULT_WORKLOAD_OPTIONS, ...options }
    for (const [name, value] of Object.entries(this.#options)) {
      if (!Number.isInteger(value) || value < 1) {
        throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from 1, found ${value}.`)
      }
    }
    this.#paneMs = this.#options.windowMs / this.#options.panes
  }

  /** One request: the keys that it used, in the order of its prompt. A request that comes late counts as of now. */
  record(keys: readonly string[], atMs: number): void {
    this.#firstAtMs ??= atMs
    const pane = this.#paneAt(atMs)
    pane.requests += 1
    pane.uses += keys.length
    for (const key of keys) {
      const gapMs = this.#use(key, atMs)
      if (gapMs === null) continue
      pane.reuses += 1
      pane.gaps.add(gapMs)
    }
    for (const [index, key] of keys.slice(0, this.#options.prefixKeysMax).entries()) {
      pane.prefixes.add(key, { length: index + 1, parent: keys[index - 1] ?? null })
    }
  }

  /** Of the window that ends at `atMs`, with at most `limit` prefixes (default 10). */
  analyze(atMs: number, { limit = 10 }: { readonly limit?: number } = {}): WorkloadAnalysis {
    this.#expire(Math.floor(atMs / this.#paneMs))
    const startMs = (Math.floor(atMs / this.#paneMs) - this.#options.panes + 1) * this.#paneMs
    const coveredMs = this.#firstAtMs === null ? 0 : Math.max(0, atMs - Math.max(startMs, this.#firstAtMs))
    const gaps = new GapHistogram()
    let [requests, uses, reuses] = [0, 0, 0]
    for (const pane of this.#panes) {
      requests += pane.requests
      uses += pane.uses
      reuses += pane.reuses
      gaps.addAll(pane.gaps)
    }
    const [p10, p50, p90] = [gaps.quantileMs(0.1), gaps.quantileMs(0.5), gaps.quantileMs(0.9)]
    return {
      coveredMs,
      requests,
      requestsPerSecond: coveredMs === 0 ? 0 : (1000 * requests) / coveredMs,
      uses,
      reuseRatio: uses === 0 ? null : reuses / uses,
      nextUseMs: p10 === null || p50 === null || p90 === null ? null : { p10, p50, p90 },
      popularPrefixes: mostPopular(this.#panes.map((pane) => pane.prefixes)).slice(0, limit),
    }
  }

  #paneAt(atMs: number): Pane {
    const last = this.#panes.at(-1)
    const number = Math.max(Math.floor(atMs / this.#paneMs), last?.number ?? Number.NEGATIVE_INFINITY)
    if (last?.number === number) return last
    this.#expire(number)
    const prefixes = new SpaceSaving<PrefixTag>(this.#options.prefixCountersMax)
    const pane = { number, requests: 0, uses: 0, reuses: 0, gaps: new GapHistogram(), prefixes }
    this.#panes.push(pane)
    return pane
  }

  #expire(number: number): void {
    this.#panes = this.#panes.filter((pane) => pane.number > number - this.#options.panes)
  }

  /** Milliseconds since the last use of the key; null when none is remembered. */
  #use(key: string, atMs: number): number | null {
    const known = this.#lastUses.get(key)
    const gapMs = known === undefined ? null : atMs - known.atMs
    const use = known ?? { key, atMs, older: null, newer: null }
    if (known === undefined) this.#lastUses.set(key, use)
    else this.#usesInOrder.remove(use)
    use.atMs = atMs
    this.#usesInOrder.push(use)
    const { oldest } = this.#usesInOrder
    if (oldest !== null && this.#lastUses.size > this.#options.keysMax) {
      this.#usesInOrder.remove(oldest)
      this.#lastUses.delete(oldest.key)
    }
    return gapMs
  }
}

/** Summaries of the panes put together: a key that has no counter in one of them may have been just below its least. */
function mostPopular(panes: readonly SpaceSaving<PrefixTag>[]): readonly PopularPrefix[] {
  const missedMax = panes.reduce((sum, pane) => sum + pane.missedMax, 0)
  const found = new Map<string, PopularPrefix & { readonly parent: string | null }>()
  for (const pane of panes) {
    for (const { key, tag, count, error } of pane.counters()) {
      const { requestsMin, requestsMax } = found.get(key) ?? { requestsMin: 0, requestsMax: missedMax }
      found.set(key, {
        key,
        ...tag,
        requestsMin: requestsMin + count - error,
        requestsMax: requestsMax + count - pane.missedMax,
      })
    }
  }
  const isCovered = new Set<string>()
  for (const { parent, requestsMin } of found.values()) {
    if (parent !== null && requestsMin >= (found.get(parent)?.requestsMin ?? 0)) isCovered.add(parent)
  }
  return [...found.values()]
    .filter(({ key }) => !isCovered.has(key))
    .sort((a, b) => b.requestsMin - a.requestsMin || b.length - a.length)
    .map(({ key, length, requestsMin, requestsMax }) => ({ key, length, requestsMin, requestsMax }))
}
