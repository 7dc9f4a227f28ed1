import { MembraneError } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'
import { type FitState, isFitState, RateFit } from './measured-rates-fit.ts'

/** How fast a place is read. */
export interface MeasuredRead {
  readonly latencySeconds: number
  readonly bytesPerSecond: number
  readonly isMeasured: boolean
}

/** What is taken for true until something was measured. */
export interface AssumedRates {
  /** By place; of others, which are nodes, `otherPlaces`. */
  readonly places: Readonly<Record<string, AssumedRead>>
  readonly otherPlaces: AssumedRead
  readonly prefill: AssumedPrefill
}

/** Of a place that was never read. */
export interface AssumedRead {
  readonly latencySeconds: number
  readonly bytesPerSecond: number
}

/** Seconds of one call, of each of its tokens, and of each pair of a token and one before it. */
export interface AssumedPrefill {
  readonly callSeconds: number
  readonly secondsPerToken: number
  readonly secondsPerPair: number
}

/**
 * Rather fast for reading and slow for computing: what is believed to be slow is never tried, and so never measured,
 * while one read of a slow place is enough to know better.
 */
export const ASSUMED_RATES: AssumedRates = {
  places: {
    // A copy within the engine's memory.
    engine: { latencySeconds: 20e-6, bytesPerSecond: 5e9 },
    // A copy, and BLAKE3 over it.
    memory: { latencySeconds: 50e-6, bytesPerSecond: 2e9 },
    // A solid-state disk behind one thread.
    disk: { latencySeconds: 500e-6, bytesPerSecond: 1e9 },
    // Redis in the same rack.
    remote: { latencySeconds: 1e-3, bytesPerSecond: 500e6 },
  },
  // 10 Gbit/s, of which a node gets a good part.
  otherPlaces: { latencySeconds: 1e-3, bytesPerSecond: 500e6 },
  // A small model on a few cores.
  prefill: { callSeconds: 1e-3, secondsPerToken: 1e-3, secondsPerPair: 1e-7 },
}

/** Links change from minute to minute: half of what counts is the last ten reads. */
const READ_FIT = { terms: 2, kept: 0.93 } as const
/** An engine hardly changes, and three terms take more observations to tell apart. */
const PREFILL_FIT = { terms: 3, kept: 0.98 } as const
/** After so many observations of other places a slow place is believed to be half as slow, in octaves, and is tried again. */
const RETRY_OBSERVATIONS = 256
/** No link and no memory is faster, and no computing: below, plans would divide by nothing. */
const BYTES_PER_SECOND_MAX = 1e13
const BYTES_PER_SECOND_MIN = 1e-3
const SECONDS_PER_TOKEN_MIN = 1e-12

/** What `snapshot` gives: plain data, for JSON. */
export interface RatesSnapshot {
  readonly version: 1
  readonly prefill: FitState
  /** The least recently read first. */
  readonly places: readonly { readonly place: string; readonly fit: FitState }[]
}

interface PlaceFit {
  readonly fit: RateFit
  /** Of all observations, the count when this place was read last. */
  lastObservation: number
}

/**
 * What reading and computing cost, learnt from what they took. Reading takes a latency and bytes over a bandwidth;
 * computing a time for each token and one for each pair of a token and one before it, and a time for each call, which
 * `prefillSeconds` leaves out, so that it adds up over joined spans. A change is noticed within a few observations, one
 * outlier counts little. Numbers are never negative, infinite or NaN, whatever was observed. Deterministic: knows
 * no clock.
 */
export class MeasuredRates {
  readonly #assumed: AssumedRates
  readonly #places = new Map<string, PlaceFit>()
  #prefill = new RateFit(PREFILL_FIT)
  #observations = 0

  constructor(assumed: AssumedRates = ASSUMED_RATES) {
    this.#assumed = assumed
  }

  get isPrefillMeasured(): boolean {
    return this.#prefill.isMeasured
  }

  /** What every call to the engine costs beside its tokens. */
  get prefillCallSeconds(): number {
    return this.prefillCosts.callSeconds
  }

  /** Of the engine, as measured so far. */
  get prefillCosts(): AssumedPrefill {
    const { callSeconds, secondsPerToken, secondsPerPair } = this.#assumed.prefill
    const [call = 1, token = 1, pair = 1] = this.#prefill.factors
    return {
      callSeconds: call * callSeconds,
      secondsPerToken: Math.max(SECONDS_PER_TOKEN_MIN, token * secondsPerToken),
      secondsPerPair: pair * secondsPerPair,
    }
  }

  /** What was assumed of a place that was never read. */
  read(place: string): MeasuredRead {
    const assumed = this.#assumedOf(place)
    const known = this.#places.get(place)
    if (known === undefined) return { ...assumed, isMeasured: false }
    const [latency = 1, transfer = 1] = known.fit.factors
    const hope = this.#hope(known, assumed)
    return {
      latencySeconds: latency * assumed.latencySeconds * hope,
      bytesPerSecond: Math.max(
        BYTES_PER_SECOND_MIN,
        Math.min(BYTES_PER_SECOND_MAX, assumed.bytesPerSecond / (Math.max(transfer, Number.MIN_VALUE) * hope)),
      ),
      isMeasured: true,
    }
  }

  /** Seconds to compute the KV of a span when all before it is there; of joined spans, the sum. */
  prefillSeconds({ start, end }: TokenSpan): number {
    const { secondsPerToken, secondsPerPair } = this.prefillCosts
    return secondsPerToken * (end - start) + secondsPerPair * pairsOf(start, end)
  }

  /** One read of so many bytes took so long. Ignored when that is no time or no size. */
  observeRead(place: string, bytes: number, seconds: number): void {
    if (!(bytes >= 0 && seconds >= 0 && bytes < Infinity && seconds < Infinity)) return
    const assumed = this.#assumedOf(place)
    const known = this.#places.get(place) ?? { fit: new RateFit(READ_FIT), lastObservation: 0 }
    known.fit.observe([assumed.latencySeconds, bytes / assumed.bytesPerSecond], seconds)
    this.#observations += 1
    known.lastObservation = this.#observations
    // The order of a map is that of insertion: who was read last is last.
    this.#places.delete(place)
    this.#places.set(place, known)
    if (this.#places.size <= LIMITS.measuredPlacesMax) return
    const [oldest] = this.#places.keys()
    if (oldest !== undefined) this.#places.delete(oldest)
  }

  /** One call computed this span in so long. Ignored when that is no time or no span. */
  observePrefill({ start, end }: TokenSpan, seconds: number): void {
    if (!(start >= 0 && start < end && end < Infinity && seconds >= 0 && seconds < Infinity)) return
    const { callSeconds, secondsPerToken, secondsPerPair } = this.#assumed.prefill
    this.#prefill.observe([callSeconds, secondsPerToken * (end - start), secondsPerPair * pairsOf(start, end)], seconds)
    this.#observations += 1
  }

  snapshot(): RatesSnapshot {
    const places = Array.from(this.#places, ([place, { fit }]) => ({ place, fit: fit.state }))
    return { version: 1, prefill: this.#prefill.state, places }
  }

  /**
   * Goes on from a snapshot; what was measured before is forgotten. It must have been made with the same assumed rates.
   * Throws INVALID_REQUEST, and changes nothing, for what is no snapshot.
   */
  restore(snapshot: unknown): void {
    const { prefill, places } = parseSnapshot(snapshot)
    this.#prefill = new RateFit(PREFILL_FIT, prefill)
    this.#places.clear()
    for (const { place, fit } of places.slice(-LIMITS.measuredPlacesMax))
      this.#places.set(place, { fit: new RateFit(READ_FIT, fit), lastObservation: this.#observations })
  }

  #assumedOf(place: string): AssumedRead {
    return Object.hasOwn(this.#assumed.places, place)
      ? (this.#assumed.places[place] ?? this.#assumed.otherPlaces)
      : this.#assumed.otherPlaces
  }

  /** 1, or less for a place slower than assumed that was not read for long: else nobody would see that it recovered. */
  #hope({ fit, lastObservation }: PlaceFit, assumed: AssumedRead): number {
    const [latency = 1, transfer = 1] = fit.factors
    // At the size whose bytes take as long as the latency.
    const slowness = assumed.latencySeconds > 0 ? (latency + transfer) / 2 : transfer
    if (slowness <= 1) return 1
    return slowness ** (2 ** (-(this.#observations - lastObservation) / RETRY_OBSERVATIONS) - 1)
  }
}

/** Pairs of a token of the span and one before it. */
function pairsOf(start: number, end: number): number {
  return ((end - start) * (end + start)) / 2
}

function parseSnapshot(value: unknown): RatesSnapshot {
  const snapshot = value as RatesSnapshot | null | undefined
  if (
    snapshot?.version === 1 &&
    isFitState(snapshot.prefill, PREFILL_FIT.terms) &&
    Array.isArray(snapshot.places) &&
    snapshot.places.every((entry) => typeof entry?.place === 'string' && isFitState(entry.fit, READ_FIT.terms))
  )
    return snapshot
  throw new MembraneError('INVALID_REQUEST', 'A snapshot of measured rates was expected, of version 1.', {
    remedy: 'Leave it out: rates are measured again.',
  })
}
