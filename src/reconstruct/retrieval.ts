/** KV that is on its way, for the spans of a plan that are not computed here. */
import type { CallOptions, ContextPart } from '../core/compute.ts'
import { assert } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import type { SpanSource } from './rebuild-plan.ts'
import { Bell, LinkedAbort } from './waiting.ts'

/** Verified KV, ready to be written. */
export interface Delivery {
  readonly span: TokenSpan
  readonly parts: readonly ContextPart[]
  readonly source: SpanSource
  readonly bytes: number
  readonly seconds: number
  /** Why it came from there. */
  readonly reason: string
  /** Of the fragments of this node that it was read from. */
  readonly keys: readonly string[]
}

/** What brings the KV of one step. */
export interface RetrievalWork {
  /** Held at a time at most. */
  readonly bytes: number
  /** Who is asked first. */
  readonly place: string
  /** Delivers, and ends when nothing more comes: with a sentence why, where something is missing. */
  readonly run: (retrieval: Retrieval) => Promise<string | null>
}

/** One step on its way: waiting for its turn, running, with a delivery to be taken, or over. */
export class Retrieval {
  readonly work: RetrievalWork
  readonly #abort: LinkedAbort
  readonly #changed: () => void
  #place: string
  #isBegun = false
  #isOver = false
  #delivery: Delivery | null = null
  #failure: string | null = null
  #crash: { readonly error: unknown } | null = null

  constructor(work: RetrievalWork, { changed, signal }: CallOptions & { readonly changed: () => void }) {
    this.work = work
    this.#place = work.place
    this.#changed = changed
    this.#abort = new LinkedAbort(signal)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Who is asked at the moment. */
  get place(): string {
    return this.#place
  }

  /** The one before failed. */
  askInstead(place: string): void {
    this.#place = place
  }

  get isBegun(): boolean {
    return this.#isBegun
  }

  /** Holds no bytes, and will not. */
  get isOver(): boolean {
    return this.#isOver && this.#delivery === null
  }

  /** What has come and was not taken yet. Throws what `run` threw: a bug. */
  get delivery(): Delivery | null {
    if (this.#crash !== null) throw this.#crash.error
    return this.#delivery
  }

  /** Why nothing more comes; null while something may. */
  get failure(): string | null {
    return this.isOver ? (this.#failure ?? 'What came was less than what was planned.') : null
  }

  begin(): void {
    this.#isBegun = true
    this.work.run(this).then(
      (failure) => {
        this.#end(failure)
      },
      (error: unknown) => {
        if (!this.#isOver) this.#crash = { error }
        this.#end(null)
      },
    )
  }

  /** One at a time: the one before has been taken. Whether anybody wants it. */
  deliver(delivery: Delivery): boolean {
    if (this.#isOver) return false
    assert(this.#delivery === null, 'a delivery waits until the one before has been taken')
    this.#delivery = delivery
    this.#changed()
    return true
  }

  /** The delivery has been used. */
  take(): void {
    this.#delivery = null
    this.#changed()
  }

  /** Nobody waits for it any more. A second call changes nothing. */
  abandon(reason: string): void {
    this.#delivery = null
    this.#end(reason)
    this.#abort.abort()
  }

  #end(failure: string | null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#failure = failure
    this.#abort.unlink()
    this.#changed()
  }
}

/**
 * Retrievals in the order of the plan. Each begins as soon as its bytes and those of all before it have room, so that
 * the one that is needed next is never kept waiting by later ones.
 */
export class RetrievalQueue {
  /** Rings whenever something has come, has ended or was taken. */
  readonly bell = new Bell()
  readonly #retrievals: Retrieval[] = []
  readonly #bytesInFlightMax: number
  readonly #signal: AbortSignal | undefined
  #isOpen = false

  constructor(bytesInFlightMax: number, { signal }: CallOptions) {
    this.#bytesInFlightMax = bytesInFlightMax
    this.#signal = signal
  }

  /** In the order of the plan; nothing begins before `open`. */
  add(work: RetrievalWork): Retrieval {
    const changed = (): void => {
      this.#beginWhatFits()
      this.bell.ring()
    }
    const retrieval = new Retrieval(work, { changed, signal: this.#signal })
    this.#retrievals.push(retrieval)
    return retrieval
  }

  open(): void {
    this.#isOpen = true
    for (const retrieval of this.#retrievals) {
      const { bytes } = retrieval.work
      if (bytes > this.#bytesInFlightMax) retrieval.abandon(`It takes ${bytes} bytes, more than are held at a time.`)
    }
    this.#beginWhatFits()
  }

  /** Abandons what is not over yet. */
  close(): void {
    this.#isOpen = false
    for (const retrieval of this.#retrievals) retrieval.abandon('Nobody waits for it any more.')
  }

  #beginWhatFits(): void {
    if (!this.#isOpen) return
    let bytes = 0
    for (const retrieval of this.#retrievals) {
      if (retrieval.isOver) continue
      bytes += retrieval.work.bytes
      if (bytes > this.#bytesInFlightMax) return
      if (!retrieval.isBegun) retrieval.begin()
    }
  }
}
