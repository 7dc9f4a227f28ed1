/**
 * Carries out a plan. The engine goes through the prompt from its first token to its last: what has come is written,
 * what is missing is computed. Nothing is written before the cursor, so a late read never overwrites what was computed;
 * while the engine would stand and wait, what has come early is written ahead.
 */
import { throwIfAborted } from '../core/cancel.ts'
import type { KvContext } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { sliceParts } from './context-parts.ts'
import { RebuildExplanation } from './rebuild-explanation.ts'
import type { ExplainedSpan, PlanStep } from './rebuild-plan.ts'
import type { FailedRead, RebuildOptions, RebuildParts, RebuildRequest } from './rebuild-ports.ts'
import { optionsOf, type PreparedRebuild } from './rebuild-prepare.ts'
import { retrievalsOf } from './rebuild-retrievals.ts'
import { ComputedFragments, spanText, type StoredSpan, storedSpans, wholeBlocks } from './rebuild-store.ts'
import { type Delivery, type Retrieval, RetrievalQueue } from './retrieval.ts'
import { deadline, untilAborted } from './waiting.ts'

/** A step of the plan, and how far it is. */
interface StepProgress {
  readonly step: PlanStep
  readonly retrieval: Retrieval | null
  /** Whether the next step is computed by plan: what is written beyond this one is then replaced. */
  readonly isBeforePrefill: boolean
  /** Whether no later step uses the same retrieval. */
  readonly isLastUse: boolean
  /** Up to here its tokens are computed before the others are written: of moved KV, the first of them. */
  readonly recomputedTo: number
  /** Why it is computed after all. */
  gap: string | null
  /** How far it was written ahead. */
  writtenTo: number
  waitedSeconds: number
}

export class RebuildRun {
  readonly #parts: RebuildParts
  readonly #context: KvContext
  readonly #request: RebuildRequest
  readonly #prepared: PreparedRebuild
  readonly #options: RebuildOptions
  readonly #queue: RetrievalQueue
  readonly #progress: readonly StepProgress[]
  readonly #hasState: boolean
  /** Places that kept the engine waiting for as long as computing takes: nobody waits for them again. */
  readonly #latePlaces = new Set<string>()
  readonly #lost = new Set<string>()
  readonly #stored: ReturnType<typeof storedSpans>
  readonly #explanation = new RebuildExplanation()
  #cursor = 0
  #isApproximate = false
  /** In the order in which they failed. */
  readonly failedReads: FailedRead[] = []
  /** What was computed, to be stored. */
  readonly computed: ComputedFragments
  /** Fragments of this node that were used, or computed again though they are here. */
  readonly keys: { readonly key: string; readonly start: number }[] = []

  constructor(parts: RebuildParts, context: KvContext, request: RebuildRequest, prepared: PreparedRebuild) {
    this.#parts = parts
    this.#context = context
    this.#request = request
    this.#prepared = prepared
    this.#options = optionsOf(parts)
    this.#hasState = parts.model.parts.some(({ kind }) => kind === 'state')
    this.#stored = storedSpans(prepared.candidates)
    this.computed = new ComputedFragments(this.#options.storeBytesMax)
    const queue = new RetrievalQueue(this.#options.bytesInFlightMax, request)
    this.#queue = queue
    const onFailure = (failure: FailedRead, lost: string | null): void => {
      this.failedReads.push(failure)
      if (lost !== null) this.#lost.add(lost)
    }
    const retrievals = retrievalsOf({ parts, request, prepared, options: this.#options, queue, onFailure })
    const { steps } = prepared.plan
    this.#progress = steps.map((step, index) => ({
      step,
      retrieval: retrievals[index] ?? null,
      isBeforePrefill: steps[index + 1]?.source === 'prefill',
      isLastUse: retrievals.lastIndexOf(retrievals[index] ?? null) === index,
      recomputedTo: recomputedEnd(step, prepared),
      gap: null,
      writtenTo: 0,
      waitedSeconds: 0,
    }))
  }

  /** Whether moved KV was used: what was computed behind it rests on it. */
  get isApproximate(): boolean {
    return this.#isApproximate
  }

  /** Throws ABORTED and what the engine throws; no read goes on after it has ended. */
  async run(): Promise<readonly ExplainedSpan[]> {
    const { promptTokens } = this.#prepared
    try {
      this.#queue.open()
      for (const [index, progress] of this.#progress.entries())
        while (this.#cursor < progress.step.span.end) {
          throwIfAborted(this.#request.signal)
          if (!(await this.#fill(progress))) await this.#compute(index)
        }
      throwIfAborted(this.#request.signal)
      assert(this.#context.filledTokens === promptTokens, 'the context holds the prompt and nothing else')
      return this.#explanation.spans
    } finally {
      this.#queue.close()
    }
  }

  /** Whether the context holds more of the step than before. If not, it is to be computed. */
  async #fill(progress: StepProgress): Promise<boolean> {
    const { step, retrieval } = progress
    if (step.source === 'prefill' || progress.gap !== null || this.#cursor < progress.recomputedTo) return false
    if (retrieval === null) return this.#takeResident(progress)
    const delivery = await this.#awaitDelivery(progress, retrieval)
    if (delivery === null) return false
    const failure = await this.#write(progress, delivery, this.#cursor)
    if (failure !== null) {
      progress.gap = failure
      retrieval.abandon(failure)
      return false
    }
    const start = this.#cursor
    this.#cursor = Math.min(delivery.span.end, step.span.end)
    if (delivery.source === 'moved') this.#isApproximate = true
    this.#explanation.addDelivery(delivery, { start, end: this.#cursor })
    this.keys.push(...delivery.keys.map((key) => ({ key, start: delivery.span.start })))
    if (progress.isLastUse) retrieval.take()
    return true
  }

  #takeResident(progress: StepProgress): boolean {
    const { step } = progress
    const { end } = step.span
    if (this.#context.filledTokens < end) {
      progress.gap = 'The engine holds it no more.'
      return false
    }
    this.#explanation.addResident(step)
    for (const { span, keys } of this.#stored.values())
      if (span.end <= end) this.keys.push(...keys.map((key) => ({ key, start: span.start })))
    this.#cursor = end
    return true
  }

  /**
   * Waits for at most as long as computing would take: whoever waits longer would have been better off computing, and
   * so all waiting at most doubles the time, once for each place. Null when it is to be computed.
   */
  async #awaitDelivery(progress: StepProgress, retrieval: Retrieval): Promise<Delivery | null> {
    const { alarm, rates, stopwatch } = this.#parts
    const span = { start: progress.step.span.start, end: progress.step.span.end }
    const patience = Math.max(this.#options.patienceSecondsMin, rates.prefillSeconds(span))
    const limitSeconds = this.#latePlaces.has(retrieval.place) ? 0 : Math.max(0, patience - progress.waitedSeconds)
    const beganSeconds = stopwatch.seconds()
    let isLate = limitSeconds === 0
    const cancel = isLate
      ? null
      : deadline(alarm, limitSeconds, () => {
          isLate = true
          this.#queue.bell.ring()
        })
    try {
      for (;;) {
        const { delivery, failure, place } = retrieval
        if (delivery !== null) return delivery
        if (failure !== null) progress.gap = failure
        else if (isLate) {
          progress.gap = `${place} did not give it within ${patience.toPrecision(3)} s, in which it can be computed.`
          if (this.#latePlaces.has(place)) progress.gap = `${place} was late before, and was not waited for.`
          this.#latePlaces.add(place)
          retrieval.abandon(progress.gap)
        }
        if (progress.gap !== null) return null
        const { rung } = this.#queue.bell
        if (!(await this.#writeAhead())) await untilAborted(rung, this.#request.signal)
        throwIfAborted(this.#request.signal)
      }
    } finally {
      cancel?.()
      progress.waitedSeconds += stopwatch.seconds() - beganSeconds
    }
  }

  /** Writes something that came before its turn; whether there was anything. A recurrent state is only written in turn. */
  async #writeAhead(): Promise<boolean> {
    if (this.#hasState) return false
    for (const progress of this.#progress) {
      const { step, retrieval } = progress
      if (step.span.start < this.#cursor || retrieval === null || progress.gap !== null || progress.writtenTo > 0)
        continue
      // Its first tokens are computed before, which forgets what lies behind them.
      if (step.source === 'moved') continue
      const { delivery } = retrieval
      if (delivery === null) continue
      const failure = await this.#write(progress, delivery, step.span.start)
      if (failure !== null) {
        progress.gap = failure
        retrieval.abandon(failure)
      }
      return true
    }
    return false
  }

  /** Null, or why the engine did not take it. From `start` on, which is not before the cursor. */
  async #write(progress: StepProgress, { span, parts }: Delivery, start: number): Promise<string | null> {
    const { step, isBeforePrefill } = progress
    assert(start >= this.#cursor, 'nothing is written before the cursor')
    const end = isBeforePrefill ? span.end : Math.min(span.end, step.span.end)
    if (span.start > start || span.end <= start) return 'It holds other tokens than those that were planned.'
    if (this.#hasState && end < span.end) return 'A recurrent state cannot be cut.'
    // An engine may forget what lies after a span that it computes.
    if (progress.writtenTo === end && this.#context.filledTokens >= Math.min(end, step.span.end)) return null
    try {
      await this.#context.write(sliceParts(parts, { start, end }), { signal: this.#request.signal })
    } catch (error) {
      if (error instanceof MembraneError && error.code === 'INVALID_FRAGMENT')
        return `The engine did not take it: ${error.message}`
      throw error
    }
    progress.writtenTo = end
    return null
  }

  /** Up to where a fragment ends, so that a recurrent state can be read there. */
  async #compute(index: number): Promise<void> {
    const { tokenIds, signal } = this.#request
    const { rates, stopwatch } = this.#parts
    const span = { start: this.#cursor, end: this.#chunkEnd(index) }
    const beganSeconds = stopwatch.seconds()
    await this.#context.prefill(span.start, tokenIds.subarray(span.start, span.end), { signal })
    const seconds = stopwatch.seconds() - beganSeconds
    rates.observePrefill(span, seconds)
    this.#explainComputed(index, span, seconds)
    await this.#keep(span)
    this.#cursor = span.end
  }

  #chunkEnd(index: number): number {
    const { fragmentTokens, blockTokens } = this.#parts.fragmentize
    let end = this.#cursor
    for (const progress of this.#progress.slice(index)) {
      if (!isGap(progress)) {
        end = Math.max(end, progress.recomputedTo)
        break
      }
      end = progress.step.span.end
    }
    const nextCut = this.#cursor - (this.#cursor % fragmentTokens) + fragmentTokens
    const lastBlock = end - (end % blockTokens)
    return Math.min(end, nextCut, this.#hasState && lastBlock > this.#cursor ? lastBlock : Infinity)
  }

  /** A chunk may be of several steps; its seconds are shared out by tokens. */
  #explainComputed(index: number, chunk: TokenSpan, chunkSeconds: number): void {
    for (const { step, gap, retrieval } of this.#progress.slice(index)) {
      const start = Math.max(chunk.start, step.span.start)
      const end = Math.min(chunk.end, step.span.end)
      if (start >= end) return
      const seconds = (chunkSeconds * (end - start)) / (chunk.end - chunk.start)
      this.#explanation.addComputed({ start, end, seconds }, step, gap ?? retrieval?.failure ?? null)
    }
  }

  /** Copied at once: the next call of the engine may change what it gives. */
  async #keep(chunk: TokenSpan): Promise<void> {
    const span = wholeBlocks(chunk, this.#parts.fragmentize.blockTokens)
    if (span === null || this.#isApproximate) return
    const here = this.#storedOver(span)
    if (here !== null) {
      this.keys.push(...here.keys.map((key) => ({ key, start: span.start })))
      return
    }
    const { prompt } = this.#prepared
    await this.computed.keep(this.#context, { span, prompt }, { signal: this.#request.signal })
  }

  /** What is here already for all of a span, in a fragment that may be longer: computing was only quicker than reading. */
  #storedOver({ start, end }: TokenSpan): StoredSpan | null {
    for (const stored of this.#stored.values()) {
      const { span } = stored
      if (span.start <= start && end <= span.end && !this.#lost.has(spanText(span))) return stored
    }
    return null
  }
}

/** Where nothing of a step is computed anew, its start. */
function recomputedEnd({ source, index, span }: PlanStep, { candidates }: PreparedRebuild): number {
  const tokens = source === 'moved' && index !== null ? (candidates[index]?.recomputedTokens ?? 0) : 0
  return Math.min(span.end, span.start + tokens)
}

function isGap({ step, gap, retrieval }: StepProgress): boolean {
  return step.source === 'prefill' || gap !== null || (retrieval !== null && retrieval.failure !== null)
}
