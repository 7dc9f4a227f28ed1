/**
 * Learns how long it takes until what was used is used again, by class, from a sample of the keys: whether they are in
 * the cache or not, because whoever looks only at what he kept learns that only that comes back.
 */
import { AGE_BINS, ageBin, BIN_AGES, hitDensities, type ReuseCounts } from './evict-hit-density.ts'
import { scattered } from './evict-ghosts.ts'

/** Uses that are watched until their key comes back; 26 bytes each. A power of two. With half of them, victims of large caches were worse. */
const WATCHED = 32_768
const CELLS = 4 * WATCHED
/** Watched uses reach back so many times the entries of the cache: what takes longer is no use of it. */
const REACH_RATIO = 32
/** The densities follow the counts every so many watched uses. */
const REFRESH_USES = 512
/** Counts are halved after so many watched uses, so that a workload that changes is learnt anew. */
const HALVING_USES = 32_768

/**
 * HOT: 10 ns for a key that is not in the sample, 0.2 µs for one that is. A ring of uses in order of time, from which
 * each is taken into the count of the bins of age that it reaches; so those that have not come back yet count as well,
 * up to their age (Kaplan and Meier's estimate).
 */
export class ReuseModel {
  readonly #counts: readonly ReuseCounts[]
  readonly #densities: Float64Array
  readonly #keys = new Int32Array(WATCHED)
  readonly #usedAt = new Int32Array(WATCHED)
  readonly #classes = new Uint8Array(WATCHED)
  readonly #isWaiting = new Uint8Array(WATCHED)
  /** From a key's bits to 1 + where it was watched last. One that takes another's cell ends the other's watch. */
  readonly #places = new Int32Array(CELLS)
  /** For each bin of age, how many of the uses ever watched have come into it. */
  readonly #reached = new Float64Array(AGE_BINS)
  #watched = 0
  /** One key in 2 to this power is watched: never all, which would only cost time. */
  #sampleShift = 1

  /** Of classes 0 to `classes` - 1, all of them unknown: what was used last is worth most. */
  constructor(classes: number) {
    this.#counts = Array.from({ length: classes }, () => ({
      used: new Float64Array(AGE_BINS),
      reached: new Float64Array(AGE_BINS),
    }))
    this.#densities = Float64Array.from(
      { length: classes * AGE_BINS },
      (_, cell) => 1 / (BIN_AGES[(cell % AGE_BINS) + 1] ?? 1),
    )
  }

  /** Expected uses per unit of time of an entry of this class, so long after its last use. */
  density(classIndex: number, age: number): number {
    return this.#densities[classIndex * AGE_BINS + ageBin(age)] ?? 0
  }

  /** What has this key is used now, and belongs to this class from now on. `entries`: how many the cache holds. */
  used(key: number, classIndex: number, now: number, entries: number): void {
    const bits = scattered(key)
    if (bits >>> (32 - this.#sampleShift) !== 0) return
    if (WATCHED * 2 ** this.#sampleShift < REACH_RATIO * entries) this.#halveSample()
    this.#age(now)
    const cell = bits & (CELLS - 1)
    const before = (this.#places[cell] ?? 0) - 1
    if (before >= 0 && this.#isWaiting[before] === 1) {
      this.#isWaiting[before] = 0
      if (this.#keys[before] === key) this.#countUse(before, now)
    }
    this.#watch(key, classIndex, now, cell)
  }

  #countUse(place: number, now: number): void {
    const counts = this.#counts[this.#classes[place] ?? 0]
    const bin = ageBin((now - (this.#usedAt[place] ?? 0)) >>> 0)
    if (counts !== undefined) counts.used[bin] = (counts.used[bin] ?? 0) + 1
  }

  #watch(key: number, classIndex: number, now: number, cell: number): void {
    const place = this.#watched & (WATCHED - 1)
    this.#keys[place] = key
    this.#usedAt[place] = now
    this.#classes[place] = classIndex
    this.#isWaiting[place] = 1
    this.#places[cell] = place + 1
    this.#watched += 1
    if (this.#watched % REFRESH_USES === 0) hitDensities(this.#counts, this.#densities)
    if (this.#watched % HALVING_USES === 0) this.#halveCounts()
  }

  /** Counts the watched uses into the bins that they have come into by now. */
  #age(now: number): void {
    const first = Math.max(0, this.#watched - WATCHED)
    for (let bin = 0; bin < AGE_BINS; bin++) {
      const from = this.#reached[bin] ?? 0
      const age = BIN_AGES[bin] ?? 0
      let reached = Math.max(first, from)
      for (; reached < this.#watched; reached++) {
        const place = reached & (WATCHED - 1)
        if ((now - (this.#usedAt[place] ?? 0)) >>> 0 < age) break
        const counts = this.#counts[this.#classes[place] ?? 0]
        if (this.#isWaiting[place] === 1 && counts !== undefined) counts.reached[bin] = (counts.reached[bin] ?? 0) + 1
      }
      this.#reached[bin] = reached
      // What no use has come into, none has passed.
      if (reached === first) return
    }
  }

  /** Watches every second of the keys from now on. Those that fall out have no end that one could wait for. */
  #halveSample(): void {
    this.#sampleShift += 1
    for (let place = 0; place < WATCHED; place++) {
      if (scattered(this.#keys[place] ?? 0) >>> (32 - this.#sampleShift) !== 0) this.#isWaiting[place] = 0
    }
  }

  #halveCounts(): void {
    for (const { used, reached } of this.#counts) {
      for (let bin = 0; bin < AGE_BINS; bin++) {
        used[bin] = (used[bin] ?? 0) / 2
        reached[bin] = (reached[bin] ?? 0) / 2
      }
    }
  }
}
