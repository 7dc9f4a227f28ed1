/** A transfer that is running: who fetches what next, and how each fragment ends. `receive.ts` is its door. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { ChunkFetcher, type FetchTask } from './chunk-fetcher.ts'
import { chunkSpan, impliedManifest } from './chunks.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import { ReceiveCounters } from './receive-counters.ts'
import type {
  FragmentOutcome,
  ReceiveOptions,
  ReceiveParts,
  TransferCounters,
  WantedFragment,
} from './receive-ports.ts'
import { ReceivingFragment } from './receiving-fragment.ts'
import { verifyStaged } from './verify-staged.ts'

type Task = ({ readonly kind: 'fetch' } & FetchTask) | { readonly kind: 'open'; readonly fragment: ReceivingFragment }

type LeftRoom = NonNullable<ReturnType<ReceivingFragment['leave']>>

export class Transfer {
  readonly #parts: ReceiveParts
  readonly #options: ReceiveOptions
  readonly #wanted: readonly WantedFragment[]
  /** By their places among what is wanted. */
  readonly #outcomes: (FragmentOutcome | undefined)[] = []
  readonly #fetchers: readonly ChunkFetcher[]
  readonly #counters: ReceiveCounters
  readonly #abort = new AbortController()
  /** Fragments that were begun and have no outcome, in order. */
  #active: ReceivingFragment[] = []
  /** Begun are all before this one: what is only wanted costs nothing. */
  #next = 0
  #over = 0
  /** Under a rate limit at most what a second brings, so that bytes, and leases, keep moving. */
  readonly #requestBytes: number
  #bytesInFlight = 0
  #stopReason: string | null = null
  #crash: { readonly error: unknown } | null = null
  /** Ends of fragments that are under way beside the connections. */
  readonly #ends = new Set<Promise<void>>()
  #bell = Promise.withResolvers<void>()

  constructor(wanted: readonly WantedFragment[], parts: ReceiveParts, options: ReceiveOptions) {
    this.#parts = parts
    this.#options = options
    this.#requestBytes = Math.min(options.requestBytes, parts.bucket?.perSecond ?? Infinity)
    this.#wanted = wanted
    this.#counters = new ReceiveCounters(options.progress)
    const { signal } = this.#abort
    const counters = this.#counters
    const { lease, stopwatch } = parts
    const keeper =
      lease === null ? null : new LeaseKeeper({ lease, keys: () => this.#leasedKeys(), stopwatch, counters, signal })
    const moved = (): void => {
      keeper?.moved((error) => {
        this.#crashed(error)
      })
    }
    this.#fetchers = parts.sources.map(
      (source, index) => new ChunkFetcher(index, source, { parts, options, counters, signal, moved }),
    )
  }

  get counters(): TransferCounters {
    return this.#counters.snapshot
  }

  /** Suspends what is not over; `run` ends soon. The first reason counts. */
  stop(reason: string): void {
    this.#stopReason ??= reason
    this.#abort.abort()
    this.#ring()
  }

  /** One outcome a fragment. Throws what was a bug of a port, after everything has come to rest. */
  async run(): Promise<readonly FragmentOutcome[]> {
    await Promise.all(this.#fetchers.map((fetcher) => this.#serve(fetcher)))
    // Ends may begin others: of a fragment whose last bytes came while it was being ended.
    while (this.#ends.size > 0) await Promise.all(this.#ends)
    for (const fragment of [...this.#active]) this.#finish(fragment, this.#unfinished())
    while (this.#ends.size > 0) await Promise.all(this.#ends)
    // A renewal of leases has nothing to keep any more.
    this.#abort.abort()
    if (this.#crash !== null) throw this.#crash.error
    return Array.from(this.#wanted, (_, index) => this.#outcomes[index] ?? this.#unfinished())
  }

  async #serve(fetcher: ChunkFetcher): Promise<void> {
    try {
      while (this.#stopReason === null && this.#over < this.#wanted.length && !fetcher.isLost) {
        const task = this.#nextTask(fetcher)
        if (task === null) await this.#bell.promise
        else if (task.kind === 'open') await this.#begin(task.fragment, fetcher)
        else await this.#fetch(task, fetcher)
        await fetcher.rest()
      }
    } catch (error) {
      this.#crashed(error)
    }
    if (fetcher.isLost) this.#endUnservable()
    this.#ring()
  }

  #nextTask(fetcher: ChunkFetcher): Task | null {
    const room = this.#options.bytesInFlightMax - this.#bytesInFlight
    for (const fragment of this.#active) {
      if (fragment.isBusy || fragment.goneAt.has(fetcher.place)) continue
      if (fragment.open === null) return { kind: 'open', fragment }
      const { manifest } = fragment.open.received
      // One chunk is always allowed: otherwise nothing would ever move.
      if (manifest.chunkBytes > room && this.#bytesInFlight > 0) continue
      const hasOthers = this.#serving(fragment).some((other) => other !== fetcher)
      const run = fragment.claim(fetcher.index, Math.min(room, this.#requestBytes), hasOthers)
      if (run === null) continue
      const span = { start: chunkSpan(manifest, run.start).start, end: chunkSpan(manifest, run.end - 1).end }
      return { kind: 'fetch', fragment, run, span }
    }
    const wanted = this.#wanted[this.#next]
    if (wanted === undefined || this.#active.length >= this.#options.openFragmentsMax) return null
    const fragment = new ReceivingFragment(wanted, this.#next)
    this.#next += 1
    this.#active.push(fragment)
    return { kind: 'open', fragment }
  }

  /** Makes room, and learns how the payload is cut. What the connection fails at another one tries again. */
  async #begin(fragment: ReceivingFragment, fetcher: ChunkFetcher): Promise<void> {
    const { wanted } = fragment
    fragment.isBusy = true
    try {
      fragment.staged ??= await this.#parts.sink.open(wanted)
      if (fragment.staged === null) {
        this.#finish(fragment, { kind: 'stored', put: 'present' })
        return
      }
      const implied = impliedManifest(wanted, this.#options.chunkBytes)
      const manifest = implied ?? (await fetcher.manifest(wanted))
      if (manifest === 'cut') return
      // Other bytes under the same key: those that were wanted are gone.
      const isWanted = manifest?.contentHash === wanted.contentHash && manifest.payloadBytes === wanted.payloadBytes
      if (manifest === null || !isWanted) this.#goneAt(fragment, fetcher.place)
      else this.#counters.add({ bytesResumed: fragment.begin(manifest, this.#parts.hashers) })
    } catch (error) {
      this.#finish(fragment, refusal(error))
    } finally {
      fragment.isBusy = false
      this.#proceed(fragment)
    }
  }

  async #fetch(task: FetchTask, fetcher: ChunkFetcher): Promise<void> {
    const { fragment, run, span } = task
    const bytes = span.end - span.start
    this.#bytesInFlight += bytes
    try {
      const answer = await fetcher.fetch(task)
      if (answer === 'gone') this.#goneAt(fragment, fetcher.place)
      if (answer === 'damaged') {
        const reason = `A chunk came ${LIMITS.transferDamagedMax} times with other bytes than its hash names.`
        this.#finish(fragment, { kind: 'damaged', reason })
      }
    } catch (error) {
      this.#finish(fragment, refusal(error))
    } finally {
      this.#bytesInFlight -= bytes
      fragment.release(run)
      this.#proceed(fragment)
    }
  }

  /** Something about it has changed: it may be complete, or free to be closed. */
  #proceed(fragment: ReceivingFragment): void {
    const isReady = fragment.isComplete && fragment.outcome === null
    if (!isReady) this.#close(fragment)
    else if (!fragment.isBusy && !fragment.isClaimed && this.#stopReason === null)
      this.#beside(this.#complete(fragment))
    this.#ring()
  }

  async #complete(fragment: ReceivingFragment): Promise<void> {
    const { open } = fragment
    if (open === null) return
    fragment.isBusy = true
    try {
      const verdict = await verifyStaged(open, this.#parts.hashers)
      if (verdict.kind === 'whole') {
        const put = await open.staged.commit()
        fragment.leave()
        const kept = 'The sink rather keeps what it has.'
        this.#finish(
          fragment,
          put === 'refused' ? { kind: 'refused', code: null, reason: kept } : { kind: 'stored', put },
        )
      } else if (verdict.kind === 'lost') {
        this.#counters.add({ chunksLost: verdict.chunks.length })
        const reason = 'The sink does not give back the bytes that it was given.'
        if (verdict.chunks.map((index) => fragment.noteDamage(index, null)).includes(true))
          this.#finish(fragment, { kind: 'damaged', reason })
        this.#endIfUnservable(fragment)
      } else {
        const reason = 'All chunks are what the manifest says, and the whole is not what the content hash says.'
        this.#finish(fragment, { kind: 'damaged', reason })
      }
    } catch (error) {
      this.#finish(fragment, refusal(error))
    } finally {
      fragment.isBusy = false
      this.#proceed(fragment)
    }
  }

  #goneAt(fragment: ReceivingFragment, place: string): void {
    fragment.goneAt.add(place)
    this.#endIfUnservable(fragment)
  }

  /** A connection was lost: what nobody else can fetch ends. */
  #endUnservable(): void {
    for (const fragment of [...this.#active]) this.#endIfUnservable(fragment)
  }

  #endIfUnservable(fragment: ReceivingFragment): void {
    if (fragment.outcome !== null || this.#serving(fragment).length > 0) return
    if (fragment.isComplete) return
    const isGone = this.#fetchers.every(({ place }) => fragment.goneAt.has(place))
    this.#finish(fragment, isGone ? { kind: 'gone' } : this.#unfinished())
  }

  /** Connections that may still bring something of it. */
  #serving(fragment: ReceivingFragment): readonly ChunkFetcher[] {
    return this.#fetchers.filter((fetcher) => !fetcher.isLost && !fragment.goneAt.has(fetcher.place))
  }

  /** The first outcome counts. */
  #finish(fragment: ReceivingFragment, outcome: FragmentOutcome): void {
    if (fragment.outcome !== null) return
    fragment.outcome = outcome
    this.#outcomes[fragment.index] = outcome
    this.#over += 1
    this.#active = this.#active.filter((one) => one !== fragment)
    this.#close(fragment)
    this.#ring()
  }

  /** Leaves the sink, once nobody writes to it any more. */
  #close(fragment: ReceivingFragment): void {
    if (fragment.outcome === null || fragment.isBusy || fragment.isClaimed) return
    const left = fragment.leave()
    if (left !== null) this.#beside(this.#leave(fragment, fragment.outcome, left))
  }

  async #leave(fragment: ReceivingFragment, outcome: FragmentOutcome, { staged, received }: LeftRoom): Promise<void> {
    try {
      if (outcome.kind !== 'unfinished' || received === null || received.acceptedBytes === 0) await staged.abandon()
      else {
        await staged.suspend(received.encode())
        this.#outcomes[fragment.index] = { ...outcome, acceptedBytes: received.acceptedBytes }
      }
    } catch (error) {
      // The sink looks after its own room; what we know is that nothing is kept.
      if (!(error instanceof MembraneError)) throw error
    }
  }

  /** Nothing is kept, unless the sink says so. */
  #unfinished(): FragmentOutcome {
    const lostReason = this.#fetchers.findLast(({ isLost }) => isLost)?.lostReason
    const reason = this.#stopReason ?? `No connection is left. ${lostReason ?? ''}`.trim()
    return { kind: 'unfinished', reason, acceptedBytes: 0 }
  }

  #leasedKeys(): readonly string[] {
    const active = this.#active.map(({ wanted }) => wanted)
    const waiting = this.#wanted.slice(this.#next, this.#next + LIMITS.transferLeaseKeysMax)
    return [...active, ...waiting].slice(0, LIMITS.transferLeaseKeysMax).map(({ key }) => key)
  }

  #beside(end: Promise<void>): void {
    const watched = end
      .catch((error: unknown) => {
        this.#crashed(error)
      })
      .finally(() => {
        this.#ends.delete(watched)
      })
    this.#ends.add(watched)
  }

  #crashed(error: unknown): void {
    this.#crash ??= { error }
    this.stop('The transfer failed.')
  }

  #ring(): void {
    this.#bell.resolve()
    this.#bell = Promise.withResolvers()
  }
}

/** How a fragment ends whose sink failed. Throws what is no MembraneError: a bug. */
function refusal(error: unknown): FragmentOutcome {
  if (error instanceof MembraneError) return { kind: 'refused', code: error.code, reason: error.message }
  throw error
}
