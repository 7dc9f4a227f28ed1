/** Why a plan takes what it takes, as sentences for people. */
import { unreachable } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { bytesText, secondsText, tokensText } from './explain-numbers.ts'
import type { RebuildPlanRequest, PlanStep, ReuseCandidate, SpanSource } from './rebuild-plan.ts'

/** A candidate that overlaps a span is looked for among so many that begin before it. */
const LOOK_BACK = 64

/** What a candidate is called in a sentence. */
function placeText(source: SpanSource, place: string): string {
  switch (source) {
    case 'resident':
      return "the engine's memory"
    case 'peer':
      return `node ${place}`
    case 'moved':
      return `another position (${place})`
    case 'memory':
    case 'disk':
    case 'remote':
      return source === place ? place : `${source} (${place})`
    case 'prefill':
      return 'this engine'
    case 'remote-prefill':
      return `the engine of node ${place}`
    default:
      return unreachable(source)
  }
}

export class PlanReasons {
  /** Of the plan, once they are all known. */
  steps: readonly PlanStep[] = []
  readonly #request: RebuildPlanRequest
  #byStart: readonly ReuseCandidate[] | null = null

  constructor(request: RebuildPlanRequest) {
    this.#request = request
  }

  ofStep(step: PlanStep): string {
    if (step.source === 'prefill') return this.#ofComputed(step)
    if (step.source !== 'remote-prefill') return this.#ofRead(step)
    const node = this.#request.offers[step.index ?? 0]?.node ?? ''
    return `Node ${node} computes it in ${secondsText(step.expectedSeconds)}; ${this.#hereInstead(step)}`
  }

  #ofRead(step: PlanStep): string {
    const candidate = this.#request.candidates[step.index ?? 0]
    const place = candidate?.place ?? ''
    const anew =
      step.source === 'moved'
        ? `, with ${tokensText(Math.min(candidate?.recomputedTokens ?? 0, step.span.end - step.span.start))} computed anew,`
        : ''
    return `Reading ${bytesText(step.bytes)} from ${placeText(step.source, place)}${anew} takes ${secondsText(step.expectedSeconds)}${this.#doubt(place)}; ${this.#hereInstead(step)}`
  }

  #hereInstead(step: PlanStep): string {
    const computing = `computing its ${tokensText(step.span.end - step.span.start)} here would take ${secondsText(step.prefillSeconds)}${this.#prefillDoubt()}`
    return step.expectedSeconds <= step.prefillSeconds
      ? `${computing}.`
      : `${computing}, and the reading is under way while other spans are made ready.`
  }

  #ofComputed(step: PlanStep): string {
    const { start, end } = step.span
    const { promptTokens } = this.#request
    if (end === promptTokens && end - start === 1)
      return 'The last token is always computed here: the answer begins with its logits.'
    const candidate = this.#overlapping(step.span)
    const computing = `Computing takes ${secondsText(step.expectedSeconds)}${this.#prefillDoubt()}`
    if (candidate === null) return `${computing}; no copy of these tokens is known that could be used.`
    const span = { start: Math.max(start, candidate.span.start), end: Math.min(end, candidate.span.end) }
    return `${computing}; of it, ${this.#comparison(candidate, span)}`
  }

  ofRefused(index: number): string {
    const candidate = this.#request.candidates[index]
    if (candidate === undefined) return ''
    const taken = new Set<string>()
    let seconds = 0
    for (let k = this.#stepAt(candidate.span.start); k < this.steps.length; k++) {
      const step = this.steps[k]
      if (step === undefined || step.span.start >= candidate.span.end) break
      if (step.source === 'prefill') continue
      taken.add(this.#placeOf(step))
      seconds += step.expectedSeconds
    }
    if (taken.size === 0) return capital(this.#comparison(candidate, candidate.span))
    const [first = '', ...more] = taken
    const places =
      more.length === 0 ? first : `${first} and ${more.length === 1 ? more[0] : `${more.length} other places`}`
    return `Reading ${bytesText(candidate.bytes)} from ${placeText(candidate.source, candidate.place)} takes ${secondsText(this.#readSeconds(candidate, 1))}${this.#doubt(candidate.place)}; its tokens come from ${places} instead, in ${secondsText(seconds)}.`
  }

  /** Reading a span of a candidate against computing it, when it was computed. */
  #comparison(candidate: ReuseCandidate, span: TokenSpan): string {
    const share = (span.end - span.start) / (candidate.span.end - candidate.span.start)
    const readSeconds = this.#readSeconds(candidate, share)
    const computeSeconds = this.#request.rates.prefillSeconds(span)
    const reading = `reading ${tokensText(span.end - span.start)} (${bytesText(Math.ceil(candidate.bytes * share))}) from ${placeText(candidate.source, candidate.place)} would take ${secondsText(readSeconds)}${this.#doubt(candidate.place)}, computing them ${secondsText(computeSeconds)}`
    return readSeconds >= computeSeconds
      ? `${reading}.`
      : `${reading}, and beside the other reads they are ready sooner so.`
  }

  #readSeconds({ place, bytes, reads, span, recomputedTokens }: ReuseCandidate, share: number): number {
    const { rates, parallelReads } = this.#request
    const { latencySeconds, bytesPerSecond } = rates.read(place)
    const recomputed = { start: span.start, end: Math.min(span.end, span.start + recomputedTokens) }
    const waits = latencySeconds * (1 + (reads - 1) / parallelReads)
    return waits + (bytes * share) / bytesPerSecond + (recomputedTokens === 0 ? 0 : rates.prefillSeconds(recomputed))
  }

  #doubt(place: string): string {
    return this.#request.rates.read(place).isMeasured ? '' : ' (assumed, nothing was read from there yet)'
  }

  #prefillDoubt(): string {
    return this.#request.rates.isPrefillMeasured ? '' : ' (assumed, nothing was computed yet)'
  }

  #placeOf({ source, index }: PlanStep): string {
    const { candidates, offers } = this.#request
    return source === 'remote-prefill'
      ? placeText(source, offers[index ?? 0]?.node ?? '')
      : placeText(source, candidates[index ?? 0]?.place ?? '')
  }

  /** The step that holds a token. */
  #stepAt(token: number): number {
    return lowerBound(this.steps, (step) => step.span.end > token)
  }

  /** Of the candidates that overlap a span the one that covers most of it. */
  #overlapping({ start, end }: TokenSpan): ReuseCandidate | null {
    this.#byStart ??= this.#request.candidates.toSorted((a, b) => a.span.start - b.span.start)
    const sorted = this.#byStart
    let best: ReuseCandidate | null = null
    let most = 0
    const first = lowerBound(sorted, (candidate) => candidate.span.start >= start)
    for (let k = Math.max(0, first - LOOK_BACK); k < sorted.length; k++) {
      const candidate = sorted[k]
      if (candidate === undefined || candidate.span.start >= end) break
      const covered = Math.min(end, candidate.span.end) - Math.max(start, candidate.span.start)
      if (covered > most) [best, most] = [candidate, covered]
    }
    return best
  }
}

/** The first of a list, sorted so that all that hold stand at its end, for which it holds. */
function lowerBound<T>(sorted: readonly T[], holds: (item: T) => boolean): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = sorted[middle]
    if (item !== undefined && holds(item)) high = middle
    else low = middle + 1
  }
  return low
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
