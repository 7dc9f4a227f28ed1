/** Who computes a span for this node, what it would take, and whom to ask when nobody answers: decisions without a wire. */
import type { TokenSpan } from '../core/fragment.ts'
import { abortedError } from '../core/cancel.ts'
import type { CallOptions } from '../core/compute.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, RemotePrefillEstimate } from '../core/ports.ts'
import type { Member, PrefillReport } from './member.ts'

/** The way to another node. */
export interface PrefillLink {
  readonly bytesPerSecond: number
  readonly rttSeconds: number
}

/** A span of a prompt. */
export interface PrefillWork {
  readonly model: string
  readonly span: TokenSpan
  /** Of KV, for each token. */
  readonly tokenBytes: number
  readonly layers: number
  /** Tokens that are computed before their layers go out. */
  readonly chunkTokens: number
}

/** A node that would compute it. */
export interface PrefillChoice extends RemotePrefillEstimate {
  readonly member: Member
  /** From asking until something comes. */
  readonly firstSeconds: number
}

/** A gigabit a second and the round trip of a rack, for a way that nobody has measured: too little sends too few prompts, too much is hedged. */
export const DEFAULT_PREFILL_LINK: PrefillLink = { bytesPerSecond: 125_000_000, rttSeconds: 0.0005 }

/** As a node's telemetry has it of other datacentres; else the default. */
export function reportedLink(self: Member, { datacentre }: Member): PrefillLink {
  return self.telemetry.links.find((link) => link.datacentre === datacentre) ?? DEFAULT_PREFILL_LINK
}

/** Those that live, take work and compute this model; the soonest first. */
export function choosePrefill(
  members: readonly Member[],
  work: PrefillWork,
  { self, link }: { readonly self: string; readonly link: (member: Member) => PrefillLink },
): readonly PrefillChoice[] {
  return members
    .flatMap((member): readonly PrefillChoice[] => {
      const { node, state, isDraining, roles, telemetry } = member
      if (node === self || state !== 'alive' || isDraining || !roles.includes('prefill')) return []
      const report = telemetry.prefill
      return report?.model === work.model ? [choiceOf(member, report, work, link(member))] : []
    })
    .toSorted((a, b) => totalSeconds(a) - totalSeconds(b))
}

function totalSeconds({ waitSeconds, prefillSeconds, transferSeconds }: RemotePrefillEstimate): number {
  return waitSeconds + prefillSeconds + transferSeconds
}

/** Layers travel while others are computed, so that of the transfer only what takes longer and the last layer stick out. */
function choiceOf(
  member: Member,
  report: PrefillReport,
  { span, tokenBytes, layers, chunkTokens }: PrefillWork,
  { bytesPerSecond, rttSeconds }: PrefillLink,
): PrefillChoice {
  const tokens = span.end - span.start
  // What is before the span it has from its own memory, from this node, or computes: whichever is soonest.
  const before = Math.min(
    secondsOf(report, { start: 0, end: span.start }),
    (span.start * tokenBytes) / bytesPerSecond + rttSeconds,
  )
  const ofSpan = secondsOf(report, span)
  const prefillSeconds = (span.start > 0 ? before : 0) + ofSpan
  const bytesSeconds = (tokens * tokenBytes) / bytesPerSecond
  const lastLayerSeconds = (Math.min(tokens, chunkTokens) * tokenBytes) / bytesPerSecond / layers
  const transferSeconds = rttSeconds + Math.max(0, bytesSeconds - ofSpan) + lastLayerSeconds
  const firstChunk = { start: span.start, end: Math.min(span.end, span.start + chunkTokens) }
  const { waitSeconds } = report
  // An engine that knows of no layers has the first when it has all of them.
  const firstSeconds = waitSeconds + rttSeconds + prefillSeconds - ofSpan + secondsOf(report, firstChunk)
  return { node: member.node, member, waitSeconds, prefillSeconds, transferSeconds, firstSeconds }
}

function secondsOf({ callSeconds, secondsPerToken, secondsPerPair }: PrefillReport, { start, end }: TokenSpan): number {
  const pairs = (end ** 2 - start ** 2) / 2
  return callSeconds + secondsPerToken * (end - start) + secondsPerPair * pairs
}

/** How a choice is asked. */
export interface HedgeOptions<T> extends CallOptions {
  readonly alarm: Alarm
  /** Ends with the first that came. The signal, given at any time, ends all that it began. */
  readonly ask: (choice: PrefillChoice, signal: AbortSignal) => Promise<T>
  /** Calls back when a node is not taken for alive any more; what it gives ends that. */
  readonly onSuspected: (node: string, callback: () => void) => () => void
  /** Told of each that is asked beside another, or after it. */
  readonly onHedge: (choice: PrefillChoice) => void
}

/** The one that delivered first. */
export interface Hedged<T> {
  readonly choice: PrefillChoice
  readonly first: T
  /** Ends what was asked of it. */
  readonly cancel: () => void
}

/** Nothing is taken for late sooner: what is short takes less than it takes to notice. */
const PATIENCE_SECONDS_MIN = 0.05

interface Attempt {
  readonly choice: PrefillChoice
  readonly abort: AbortController
  /** Nobody waits for its alarm or its node's state any more. */
  calm: () => void
}

/**
 * Asks the first; when nothing has come after twice the expected time, when the node is suspected or when it fails, the
 * next one too, LIMITS.prefillHedgesMax more at most. Who delivers first wins, all others are cancelled. Throws what the
 * last one threw when all have failed, and ABORTED.
 */
export function hedge<T>(choices: readonly PrefillChoice[], options: HedgeOptions<T>): Promise<Hedged<T>> {
  return new Hedge(choices.slice(0, 1 + LIMITS.prefillHedgesMax), options).winner
}

class Hedge<T> {
  readonly #options: HedgeOptions<T>
  readonly #left: PrefillChoice[]
  readonly #attempts = new Set<Attempt>()
  readonly #winner = Promise.withResolvers<Hedged<T>>()
  #isOver = false
  readonly #leave = (): void => {
    const { signal } = this.#options
    if (signal !== undefined) this.#fail(abortedError(signal))
  }

  constructor(choices: readonly PrefillChoice[], options: HedgeOptions<T>) {
    this.#options = options
    this.#left = [...choices]
    if (options.signal?.aborted === true) this.#leave()
    options.signal?.addEventListener('abort', this.#leave)
    this.#askNext()
  }

  get winner(): Promise<Hedged<T>> {
    return this.#winner.promise
  }

  #askNext(): void {
    const choice = this.#left.shift()
    if (choice === undefined || this.#isOver) return
    const { alarm, ask, onSuspected } = this.#options
    const attempt: Attempt = { choice, abort: new AbortController(), calm: () => undefined }
    this.#attempts.add(attempt)
    let isCalm = false
    const hedgeOnce = (): void => {
      if (isCalm) return
      attempt.calm()
      this.#hedge()
    }
    const patience = Math.max(PATIENCE_SECONDS_MIN, 2 * choice.firstSeconds)
    const cancelAlarm = alarm.after(patience, hedgeOnce)
    const endWatch = onSuspected(choice.node, hedgeOnce)
    attempt.calm = () => {
      isCalm = true
      cancelAlarm()
      endWatch()
    }
    ask(choice, attempt.abort.signal).then(
      (first) => this.#win(attempt, first),
      (error: unknown) => this.#failed(attempt, error),
    )
  }

  #hedge(): void {
    const [next] = this.#left
    if (next === undefined) return
    this.#options.onHedge(next)
    this.#askNext()
  }

  #win(attempt: Attempt, first: T): void {
    if (this.#isOver) return
    this.#end(attempt)
    const { choice, abort } = attempt
    this.#winner.resolve({ choice, first, cancel: () => abort.abort() })
  }

  #failed(attempt: Attempt, error: unknown): void {
    attempt.calm()
    this.#attempts.delete(attempt)
    if (this.#isOver) return
    this.#hedge()
    if (this.#attempts.size === 0) this.#fail(error)
  }

  #fail(error: unknown): void {
    this.#end(null)
    this.#winner.reject(error)
  }

  /** All but the winner are cancelled. */
  #end(winner: Attempt | null): void {
    this.#isOver = true
    this.#options.signal?.removeEventListener('abort', this.#leave)
    for (const attempt of this.#attempts) {
      attempt.calm()
      if (attempt !== winner) attempt.abort.abort()
    }
  }
}
