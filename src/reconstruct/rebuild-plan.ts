/** The words of a rebuild: where the KV of a prompt can come from, what each way costs, and which was taken. */
import type { TokenSpan } from '../core/fragment.ts'

/**
 * `resident`: another context in the engine's memory. `memory`, `disk`, `remote`: a tier of this node. `peer`: another
 * node. `moved`: KV of the same tokens at another position, approximate. `prefill`: computed here. `remote-prefill`:
 * computed by another node, for this prompt.
 */
export const SPAN_SOURCES = [
  'resident',
  'memory',
  'disk',
  'remote',
  'peer',
  'moved',
  'remote-prefill',
  'prefill',
] as const
/** One of SPAN_SOURCES. */
export type SpanSource = (typeof SPAN_SOURCES)[number]
/** A source whose KV exists already. */
export type ReuseSource = Exclude<SpanSource, 'prefill' | 'remote-prefill'>

/** KV that exists for a span of the prompt: one fragment, or fragments that have all layers, heads and parts between them. */
export interface ReuseCandidate {
  readonly source: ReuseSource
  /** Whose rate counts: a tier, a node's name, `engine`. */
  readonly place: string
  /** Of whole blocks of the prompt. */
  readonly span: TokenSpan
  /** Bytes that are read, of all its fragments. */
  readonly bytes: number
  /** Fragments that are read: each has a latency of its own. */
  readonly reads: number
  /**
   * Where computing can go on after it: behind any of its tokens, or, because a recurrent state belongs to it, only
   * behind its last one.
   */
  readonly continuesAt: 'any' | 'end'
  /** Leading tokens of it that are computed anew: 0 but for moved KV. */
  readonly recomputedTokens: number
}

/** How fast a place is read. */
export interface ReadRate {
  readonly latencySeconds: number
  readonly bytesPerSecond: number
  /** False until something was read from there: the numbers are then assumed. */
  readonly isMeasured: boolean
}

/** What things cost, measured. */
export interface RebuildRates {
  readonly read: (place: string) => ReadRate
  /** Seconds to compute the KV of a span when all before it is there; of joined spans, the sum. */
  readonly prefillSeconds: (span: TokenSpan) => number
  readonly isPrefillMeasured: boolean
}

/** Another node's offer to compute a span. */
export interface RemotePrefillOffer {
  readonly node: string
  readonly span: TokenSpan
  readonly seconds: number
}

/** What a plan is made from. */
export interface RebuildPlanRequest {
  /** 1 or more. The last token is always computed: its logits are what the answer begins with. */
  readonly promptTokens: number
  readonly blockTokens: number
  readonly candidates: readonly ReuseCandidate[]
  readonly offers: readonly RemotePrefillOffer[]
  readonly rates: RebuildRates
  /** Reads of one place that are under way at a time. */
  readonly parallelReads: number
  /** What a mixture of reading and computing must gain on the plain ways, for the calls that it takes; default 0. */
  readonly gainSecondsMin?: number
}

/** One span and where it comes from. */
export interface PlanStep {
  readonly span: TokenSpan
  readonly source: SpanSource
  /** Index in `candidates` or `offers`; null for `prefill`. */
  readonly index: number | null
  readonly bytes: number
  readonly expectedSeconds: number
  /** What computing the span here would take. */
  readonly prefillSeconds: number
  /** A sentence for people: why this source and no other. */
  readonly reason: string
}

/** A candidate that was not taken. */
export interface RefusedCandidate {
  readonly index: number
  readonly reason: string
}

/** Which way each span of a prompt takes. */
export interface RebuildPlan {
  /** In order, end to end, over all tokens of the prompt. */
  readonly steps: readonly PlanStep[]
  /** Reads and computing overlap, so this may be less than the sum. */
  readonly expectedSeconds: number
  /** Had everything been computed. */
  readonly prefillAllSeconds: number
  readonly refused: readonly RefusedCandidate[]
}

/** What became of one span. */
export interface ExplainedSpan {
  readonly start: number
  readonly end: number
  readonly source: SpanSource
  /** Read, not computed. */
  readonly bytes: number
  readonly seconds: number
  /** A sentence: why this source, or what failed with the planned one. */
  readonly reason: string
}
