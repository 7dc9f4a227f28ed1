/** One connection of a transfer: fetches runs of chunks, counts, and knows when to rest and when to give up. */
import { ERROR_CODES, MembraneError } from '../core/errors.ts'
import type { ByteSpan } from '../core/ports.ts'
import { backoffSeconds } from '../policy/backoff.ts'
import { type ChunkManifest, chunkSpan } from './chunks.ts'
import type { ChunkRun } from './chunk-set.ts'
import type { ReceiveCounters } from './receive-counters.ts'
import type { ChunkSource, ReceiveOptions, ReceiveParts, WantedFragment } from './receive-ports.ts'
import type { ReceivingFragment } from './receiving-fragment.ts'
import { type CallEnd, watchCall } from './watched-call.ts'

/** Chunks of a fragment, claimed by the connection that is to fetch them. */
export interface FetchTask {
  readonly fragment: ReceivingFragment
  readonly run: ChunkRun
  /** The bytes of the run, in the payload. */
  readonly span: ByteSpan
}

interface FetcherContext {
  readonly parts: ReceiveParts
  readonly options: ReceiveOptions
  readonly counters: ReceiveCounters
  readonly signal: AbortSignal
  /** Bytes have come. */
  readonly moved: () => void
}

/** What became of the chunks of one call. */
interface Taken {
  bytes: number
  /** One of them was damaged too often. */
  isHopeless: boolean
}

export class ChunkFetcher {
  readonly index: number
  readonly place: string
  readonly #source: ChunkSource
  readonly #context: FetcherContext
  /** Used again and again; null when somebody may still be writing to the last one. */
  #buffer: Uint8Array | null = null
  /** In a row, without a chunk between. */
  #failures = 0
  #needsRest = false
  #lostReason: string | null = null

  constructor(index: number, source: ChunkSource, context: FetcherContext) {
    this.index = index
    this.place = source.place
    this.#source = source
    this.#context = context
  }

  /** Not to be used any more. */
  get isLost(): boolean {
    return this.#lostReason !== null
  }

  get lostReason(): string | null {
    return this.#lostReason
  }

  /** Null where the fragment is gone. */
  async manifest(wanted: WantedFragment): Promise<ChunkManifest | null | 'cut'> {
    const end = await this.#watch((signal) => this.#source.manifest(wanted, { signal }))
    if (end.kind === 'answer') return end.answer
    this.#cut(end.error)
    return 'cut'
  }

  /**
   * Fetches, verifies and stages; chunks that did not come whole or intact stay missing. `damaged`: one of them was so
   * often that the fragment is to be given up. Throws what the sink throws.
   */
  async fetch({ fragment, run, span }: FetchTask): Promise<'done' | 'gone' | 'damaged'> {
    const { counters, parts } = this.#context
    const bytes = span.end - span.start
    await this.#pause(parts.bucket?.reserve(bytes, parts.stopwatch.seconds()) ?? 0)
    const into = this.#bufferOf(bytes)
    const { key, contentHash } = fragment.wanted
    let came = 0
    const end = await this.#watch((signal, moved) =>
      this.#source.fetch({ key, contentHash, span }, into, {
        signal,
        progress: (more) => {
          if (signal.aborted || !(more > 0)) return
          came = Math.min(bytes, came + more)
          moved()
          this.#context.moved()
        },
      }),
    )
    // Whoever was given up may still write to it.
    if (end.kind === 'failure' && !end.isSettled) this.#buffer = null
    const answer = end.kind === 'answer' ? end.answer : came
    if (answer !== null && answer > came) this.#context.moved()
    // What is no number of bytes is none.
    const usable = answer === null || !(answer > 0) ? 0 : Math.min(bytes, Math.floor(answer))
    came = Math.max(came, usable)
    parts.bucket?.refund(bytes - came)
    counters.add({ bytesReceived: came })
    const taken = { bytes: 0, isHopeless: false }
    try {
      await this.#take({ fragment, run, span }, into.subarray(0, usable), taken)
    } finally {
      counters.add({ bytesDiscarded: came - taken.bytes })
    }
    if (taken.bytes > 0) this.#failures = 0
    if (end.kind === 'failure') this.#cut(end.error)
    else if (answer === null) return 'gone'
    else if (usable < bytes) this.#cut(shortError(usable, bytes))
    else if (taken.bytes === 0 && fragment.outcome === null)
      this.#failed('Chunks come with other bytes than their hashes name.')
    return taken.isHopeless ? 'damaged' : 'done'
  }

  /** After a failure: for a while. */
  async rest(): Promise<void> {
    if (!this.#needsRest || this.isLost) return
    this.#needsRest = false
    this.#context.counters.add({ retries: 1 })
    await this.#pause(backoffSeconds(this.#failures, this.#context.options.backoff, this.#context.parts.random))
  }

  async #take({ fragment, run, span }: FetchTask, came: Uint8Array, taken: Taken): Promise<void> {
    const { counters } = this.#context
    for (let index = run.start; index < run.end; index++) {
      const { open, outcome } = fragment
      // It ended meanwhile: nobody wants the bytes.
      if (open === null || outcome !== null) return
      const { start, end } = chunkSpan(open.received.manifest, index)
      if (end - span.start > came.length) return
      const piece = came.subarray(start - span.start, end - span.start)
      if (open.received.accept(index, piece) !== 'accepted') {
        counters.add({ chunksDamaged: 1 })
        taken.isHopeless = fragment.noteDamage(index, this.index) || taken.isHopeless
        continue
      }
      await open.staged.stage(start, piece)
      taken.bytes += piece.length
      counters.add({ bytesAccepted: piece.length })
    }
  }

  #cut(error: MembraneError): void {
    // Whoever stopped the transfer cut the connection, not the other side.
    if (this.#context.signal.aborted) return
    this.#context.counters.add({ cuts: 1 })
    if (ERROR_CODES[error.code].retryable) this.#failed(error.message)
    else this.#lostReason = `${this.place}: ${error.message}`
  }

  #failed(reason: string): void {
    this.#failures += 1
    this.#needsRest = true
    if (this.#failures >= this.#context.options.failuresMax) this.#lostReason = `${this.place}: ${reason}`
  }

  #bufferOf(bytes: number): Uint8Array {
    if (this.#buffer === null || this.#buffer.length < bytes) this.#buffer = new Uint8Array(bytes)
    return this.#buffer.subarray(0, bytes)
  }

  #watch<T>(call: (signal: AbortSignal, moved: () => void) => Promise<T>): Promise<CallEnd<T>> {
    const { signal, options, parts } = this.#context
    const { stopwatch, alarm } = parts
    return watchCall(call, { stopwatch, alarm, stallSeconds: options.stallSeconds, signal })
  }

  /** Ends early when the transfer is stopped. */
  #pause(seconds: number): Promise<void> {
    const { signal, parts } = this.#context
    if (!(seconds > 0) || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = parts.alarm.after(seconds, end)
      signal.addEventListener('abort', end)
    })
  }
}

function shortError(bytes: number, expected: number): MembraneError {
  return new MembraneError('STORE_UNAVAILABLE', `The answer has ${bytes} of ${expected} bytes.`)
}
