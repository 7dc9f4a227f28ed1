/** What became of each span of a prompt, as it happens: end to end, from its first token on. */
import type { TokenSpan } from '../core/fragment.ts'
import type { ExplainedSpan, PlanStep } from './rebuild-plan.ts'
import type { Delivery } from './retrieval.ts'

/** Sentences of plans are made when they are read, and so are these. */
export class RebuildExplanation {
  readonly #spans: ExplainedSpan[] = []
  /** Whose bytes and seconds have been told. */
  readonly #told = new Set<Delivery>()
  /** The step of the last span. */
  #lastStep: PlanStep | null = null

  get spans(): readonly ExplainedSpan[] {
    return this.#spans
  }

  /** What was read once is told once, however many spans it serves. */
  addDelivery(delivery: Delivery, { start, end }: TokenSpan): void {
    const { source } = delivery
    const { bytes, seconds } = this.#told.has(delivery) ? { bytes: 0, seconds: 0 } : delivery
    this.#told.add(delivery)
    this.#add({ start, end, source, bytes, seconds }, () => delivery.reason)
  }

  addResident(step: PlanStep): void {
    this.#add({ ...step.span, source: 'resident', bytes: 0, seconds: 0 }, () => step.reason)
  }

  /** Chunks of one step are one span. `failure`: why the step did not come as it was planned. */
  addComputed(
    { start, end, seconds }: TokenSpan & { readonly seconds: number },
    step: PlanStep,
    failure: string | null,
  ): void {
    const before = this.#spans.at(-1)
    const reason = (): string => (failure === null ? step.reason : `Computed after all. ${failure}`)
    if (before?.source === 'prefill' && this.#lastStep === step) {
      this.#spans.pop()
      this.#add({ ...before, end, seconds: before.seconds + seconds }, reason)
    } else this.#add({ start, end, source: 'prefill', bytes: 0, seconds }, reason)
    this.#lastStep = step
  }

  #add(span: Omit<ExplainedSpan, 'reason'>, reasonOf: () => string): void {
    const { start, end, source, bytes, seconds } = span
    this.#spans.push({
      start,
      end,
      source,
      bytes,
      seconds,
      get reason() {
        return reasonOf()
      },
    })
  }
}
