/**
 * A provider as a backend: checks what is asked, orders the prompt, and tries until there is an answer or no hope. The
 * SDKs' own retries are off: this is the one policy for all of them, on a clock that is handed in.
 */
import type { TextAnswer, TextBackend, TextEvent, TextRequest } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { onAbort } from './provider-abort.ts'
import { ProviderAttempt } from './provider-attempt.ts'
import { providerError, shownHeaders } from './provider-error.ts'
import { FaultError, type FaultVerdict, judge, type ProviderFault } from './provider-fault.ts'
import { rateLimits, requestId, retryAfterMs } from './provider-headers.ts'
import type { LineCheck } from './provider-lines.ts'
import type { ProviderAttemptReport, ProviderSettings } from './provider-options.ts'
import { orderPrompt, type PromptRun } from './provider-prompt.ts'

/** A request that was checked, with its prompt in order. */
export interface OrderedRequest extends Omit<TextRequest, 'segments'> {
  readonly runs: readonly PromptRun[]
}

/** How one provider is spoken to, through its SDK. */
export interface ProviderDialect {
  readonly keyHeaders: Readonly<Record<string, string>>
  /** Of a stream's lines; null when it has other events. */
  readonly checkLine: LineCheck | null
  /** Throws INVALID_REQUEST for what the provider has no word for. */
  check(request: TextRequest): void
  generate(request: OrderedRequest, attempt: ProviderAttempt): Promise<TextAnswer>
  /** Ends after an `end` event. Throws FaultError, or whatever the SDK throws. */
  stream(request: OrderedRequest, attempt: ProviderAttempt): AsyncGenerator<TextEvent>
  /** What an SDK's error says that the service reported in the midst of a stream; null when it says something else. */
  reported(error: unknown): ProviderFault | null
  /** Whether it will ask differently because of this fault, so that another attempt makes sense at once. */
  adapt(fault: ProviderFault): boolean
}

/** A backend by a dialect. Shows nothing of its settings when it is printed. */
export class ProviderBackend implements TextBackend {
  readonly kind = 'text'
  readonly name: ProviderSettings['provider']
  readonly model: string
  readonly description: string
  readonly isSimulated = false
  readonly #settings: ProviderSettings
  readonly #dialect: ProviderDialect
  readonly #closing = new AbortController()

  constructor(settings: ProviderSettings, dialect: ProviderDialect) {
    this.name = settings.provider
    this.model = settings.model
    this.description = `${settings.model} at ${settings.baseUrl}`
    this.#settings = settings
    this.#dialect = dialect
  }

  async generate(request: TextRequest): Promise<TextAnswer> {
    const ordered = this.#order(request)
    const answers = this.#attempts(request, null, async function* (dialect, attempt) {
      yield await attempt.wait(dialect.generate(ordered, attempt))
    })
    let answer: TextAnswer | null = null
    for await (const given of answers) answer = given
    assert(answer !== null, 'attempts ended without an answer')
    return answer
  }

  async *stream(request: TextRequest): AsyncGenerator<TextEvent> {
    const ordered = this.#order(request)
    yield* this.#attempts(request, this.#dialect.checkLine, (dialect, attempt) => dialect.stream(ordered, attempt))
  }

  close(): Promise<void> {
    this.#closing.abort()
    return Promise.resolve()
  }

  #order({ segments, ...request }: TextRequest): OrderedRequest {
    checkRequest({ segments, ...request })
    this.#dialect.check({ segments, ...request })
    return { ...request, runs: orderPrompt(segments) }
  }

  /** Attempts until one succeeds, or fails after it gave something, or there is no hope. */
  async *#attempts<T>(
    { signal }: TextRequest,
    checkLine: LineCheck | null,
    work: (dialect: ProviderDialect, attempt: ProviderAttempt) => AsyncGenerator<T>,
  ): AsyncGenerator<T> {
    const settings = this.#settings
    const { keyHeaders } = this.#dialect
    const signals = [this.#closing.signal, ...(signal === undefined ? [] : [signal])]
    for (let number = 1, failures = 0; ; number++) {
      const attempt = new ProviderAttempt({ settings, signals, keyHeaders, checkLine })
      const startMs = settings.clock.nowMs()
      let hasGiven = false
      let isWhole = false
      // What stands when whoever reads the stream leaves.
      let outcome: AttemptOutcome = { code: 'ABORTED', retryInMs: null }
      try {
        for await (const item of work(this.#dialect, attempt)) {
          hasGiven = true
          yield item
        }
        isWhole = true
        outcome = { code: null, retryInMs: null }
        return
      } catch (error) {
        const fault = this.#faultOf(error, attempt)
        const isAdapted = !hasGiven && this.#dialect.adapt(fault)
        if (!isAdapted) failures++
        const retryInMs = hasGiven ? null : isAdapted ? 0 : this.#retryInMs(fault, failures)
        outcome = { code: judge(fault).code, retryInMs }
        if (retryInMs === null) throw providerError(settings, fault, number)
      } finally {
        attempt.end(isWhole)
        this.#report(attempt, number, startMs, outcome)
      }
      await this.#pause(outcome.retryInMs ?? 0, signals, number)
    }
  }

  #faultOf(error: unknown, attempt: ProviderAttempt): ProviderFault {
    if (error instanceof FaultError) return error.fault
    const reported = this.#dialect.reported(error)
    if (reported !== null) return reported
    // Nothing was sent: it is no provider's doing.
    if (attempt.status === null) throw error
    return { kind: 'malformed', said: error instanceof Error ? error.message : String(error) }
  }

  /** Null when the same request is not to be sent again. */
  #retryInMs(fault: ProviderFault, failures: number): number | null {
    const { retries, random, clock } = this.#settings
    const verdict: FaultVerdict = judge(fault)
    if (!verdict.isRetryable || failures > retries.retriesMax) return null
    const askedMs = fault.kind === 'status' ? retryAfterMs(fault.headers, clock.nowMs()) : null
    if (askedMs === null) {
      return random() * Math.min(retries.waitMsMax, retries.waitMsFirst * 2 ** (failures - 1))
    }
    return askedMs > retries.retryAfterMsMax ? null : askedMs + random() * retries.waitMsFirst
  }

  #report(attempt: ProviderAttempt, number: number, startMs: number, outcome: AttemptOutcome): void {
    const { provider, model, clock, onAttempt } = this.#settings
    const { status } = attempt
    const headers = shownHeaders(this.#settings, attempt.headers)
    const tookMs = clock.nowMs() - startMs
    const said = { requestId: requestId(headers), rateLimits: rateLimits(headers) }
    onAttempt({ provider, model, attempt: number, status, ...said, tookMs, ...outcome })
  }

  /** Throws ABORTED when it is cancelled. */
  #pause(ms: number, signals: readonly AbortSignal[], number: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let forget = (): void => undefined
      const cancel = this.#settings.alarm.after(ms / 1000, () => {
        forget()
        resolve()
      })
      forget = onAbort(signals, () => {
        cancel()
        reject(providerError(this.#settings, { kind: 'aborted', said: '' }, number))
      })
    })
  }
}

type AttemptOutcome = Pick<ProviderAttemptReport, 'code' | 'retryInMs'>

/** Throws INVALID_REQUEST. */
function checkRequest({ segments, maxTokens, sampling }: TextRequest): void {
  const { temperature = 0, topK = 0, topP = 1, seed = 0 } = sampling
  const claims: readonly (readonly [boolean, string])[] = [
    [segments.some(({ text }) => text !== ''), 'A prompt has at least one segment with text.'],
    [isWholeIn(maxTokens, 1, LIMITS.requestTokensMax), `maxTokens is 1 to ${LIMITS.requestTokensMax}.`],
    [Number.isFinite(temperature) && temperature >= 0, 'temperature is a number from 0 on.'],
    [isWholeIn(topK, 0, 2 ** 31 - 1), 'topK is a whole number from 0 on.'],
    [topP > 0 && topP <= 1, 'topP is above 0 and at most 1.'],
    [isWholeIn(seed, 0, 2 ** 32 - 1), 'seed is an unsigned 32-bit number.'],
  ]
  for (const [holds, message] of claims) {
    if (!holds) throw new MembraneError('INVALID_REQUEST', message, { details: { maxTokens, ...sampling } })
  }
}

function isWholeIn(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}
