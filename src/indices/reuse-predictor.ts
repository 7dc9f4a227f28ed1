/**
 * The chance that a fragment is used again within some time, learned while it runs, by counting. It depends on how far
 * the session is that used it (the chance of another turn rises with the turns so far), on how often and by how many
 * sessions it was used, and on how long ago.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { OldestFirst, type Queued } from './oldest-first.ts'
import { type ReuseClass, reuseClassOf, REUSE_GROUPS } from './reuse-classes.ts'
import { AGE_STARTS_MS, ageEndMs, ReuseRates } from './reuse-rates.ts'
import type { Prospect } from './sessions.ts'

/** What a `ReusePredictor` remembers. */
export interface ReusePredictorOptions {
  /** Keys that are waited for; beyond, the one used longest ago leaves. Default 1,000,000, about 200 bytes each. */
  readonly keysMax: number
  /** What was learned counts half after so long; default a day, at least a minute. */
  readonly halfLifeMs: number
}

/** What `ReusePredictor` takes where nothing else is said. */
export const DEFAULT_REUSE_PREDICTOR_OPTIONS: ReusePredictorOptions = {
  keysMax: 1_000_000,
  // Assumed: traffic repeats by the day, so yesterday should still count, and last week hardly.
  halfLifeMs: 86_400_000,
}

interface Waiting extends Queued<Waiting> {
  readonly key: string
  uses: number
  group: ReuseClass
  usedAtMs: number
  /** Index into the ages, and since when it is of this age and group. */
  age: number
  beganMs: number
}

/** Times are milliseconds since 1970; they may not go back, and count as the latest when they do. */
export class ReusePredictor {
  readonly #options: ReusePredictorOptions
  readonly #rates = new ReuseRates(REUSE_GROUPS)
  readonly #waiting = new Map<string, Waiting>()
  /** All of one age leave it in the order in which they came. */
  readonly #byAge: readonly OldestFirst<Waiting>[] = AGE_STARTS_MS.map(() => new OldestFirst<Waiting>())
  /** Times count from the first one, so that sums of them stay exact. */
  #originMs: number | null = null
  #nowMs = 0
  #fadedMs = 0

  /** Throws INVALID_CONFIG. */
  constructor(options: Partial<ReusePredictorOptions> = {}) {
    this.#options = { ...DEFAULT_REUSE_PREDICTOR_OPTIONS, ...options }
    const { keysMax, halfLifeMs } = this.#options
    if (!Number.isInteger(keysMax) || keysMax < 1 || !(halfLifeMs >= 60_000)) {
      throw new MembraneError(
        'INVALID_CONFIG',
        `The reuse predictor keeps at least 1 key and a half-life of at least 60,000 ms, found ${keysMax} and ${halfLifeMs}.`,
      )
    }
  }

  /** Keys that are waited for. */
  get count(): number {
    return this.#waiting.size
  }

  /** The key was used; `prospect` is what its sessions say after that. A time before an earlier one counts as that one. */
  used(key: string, prospect: Prospect, atMs: number): void {
    this.#advance(atMs)
    const before = this.#waiting.get(key)
    if (before !== undefined) this.#stop(before, { isUsed: true })
    const uses = (before?.uses ?? 0) + 1
    const group = reuseClassOf(prospect, uses)
    this.#start({ key, uses, group, usedAtMs: this.#nowMs, age: 0, beganMs: 0, older: null, newer: null })
    if (this.#waiting.size > this.#options.keysMax) this.#stop(this.#oldest(), { isUsed: false })
  }

  /** What the sessions of a key say has changed without a use: one of them was closed. */
  changed(key: string, prospect: Prospect, atMs: number): void {
    this.#advance(atMs)
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    this.#end(waiting, false)
    waiting.group = reuseClassOf(prospect, waiting.uses)
    this.#begin(waiting)
  }

  /** The fragment is gone, and nobody waits for it. Whether somebody did. */
  remove(key: string, atMs: number): boolean {
    this.#advance(atMs)
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return false
    this.#stop(waiting, { isUsed: false })
    return true
  }

  /**
   * The chance, 0 to 1, that the key is used again within `horizonMs` after `atMs`, given that it was not until then; 0
   * as long as nothing has ever been used again. Null for a key that is not waited for.
   */
  probability(key: string, { atMs, horizonMs }: { readonly atMs: number; readonly horizonMs: number }): number | null {
    if (!(horizonMs >= 0)) {
      throw new MembraneError('INVALID_REQUEST', `A horizon is a time from 0 ms, found ${horizonMs}.`)
    }
    this.#advance(atMs)
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return null
    const groups = [waiting.group.own, waiting.group.turns, waiting.group.all]
    const fromMs = this.#nowMs - waiting.usedAtMs
    const toMs = fromMs + horizonMs
    let expectedUses = 0
    for (let age = waiting.age; age < AGE_STARTS_MS.length && (AGE_STARTS_MS[age] ?? 0) < toMs; age++) {
      const ms = Math.min(toMs, ageEndMs(age)) - Math.max(fromMs, AGE_STARTS_MS[age] ?? 0)
      expectedUses += ms * this.#rates.rate(groups, age, this.#nowMs)
    }
    return 1 - Math.exp(-expectedUses)
  }

  /** Lets the time pass: what has waited long enough is of the next age. */
  #advance(atMs: number): void {
    this.#originMs ??= atMs
    this.#nowMs = Math.max(this.#nowMs, atMs - this.#originMs)
    for (let age = AGE_STARTS_MS.length - 2; age >= 0; age--) {
      const queue = this.#byAge[age]
      const endMs = ageEndMs(age)
      for (let oldest = queue?.oldest; oldest && oldest.usedAtMs + endMs <= this.#nowMs; oldest = queue?.oldest) {
        this.#grow(oldest)
      }
    }
    const halfLives = (this.#nowMs - this.#fadedMs) / this.#options.halfLifeMs
    // In steps, because each touches everything that was learned.
    if (halfLives < 1 / 16) return
    this.#rates.fade(2 ** -halfLives)
    this.#fadedMs = this.#nowMs
  }

  /** To the age that it has now, through all between. */
  #grow(waiting: Waiting): void {
    this.#byAge[waiting.age]?.remove(waiting)
    while (waiting.usedAtMs + ageEndMs(waiting.age) <= this.#nowMs) {
      const atMs = waiting.usedAtMs + ageEndMs(waiting.age)
      this.#end(waiting, false, atMs)
      waiting.age += 1
      this.#begin(waiting, atMs)
    }
    this.#byAge[waiting.age]?.push(waiting)
  }

  #start(waiting: Waiting): void {
    this.#waiting.set(waiting.key, waiting)
    this.#byAge[waiting.age]?.push(waiting)
    this.#begin(waiting)
  }

  #stop(waiting: Waiting, { isUsed }: { readonly isUsed: boolean }): void {
    this.#end(waiting, isUsed)
    this.#waiting.delete(waiting.key)
    this.#byAge[waiting.age]?.remove(waiting)
  }

  /** HOT: with its pair some ten times a use, so each group is named. */
  #begin(waiting: Waiting, atMs: number = this.#nowMs): void {
    const { group, age } = waiting
    waiting.beganMs = atMs
    this.#rates.begin(group.own, age, atMs)
    this.#rates.begin(group.turns, age, atMs)
    this.#rates.begin(group.all, age, atMs)
  }

  #end({ group, age, beganMs }: Waiting, isUsed: boolean, atMs: number = this.#nowMs): void {
    this.#rates.end(group.own, age, beganMs, atMs)
    this.#rates.end(group.turns, age, beganMs, atMs)
    this.#rates.end(group.all, age, beganMs, atMs)
    if (!isUsed) return
    this.#rates.use(group.own, age)
    this.#rates.use(group.turns, age)
    this.#rates.use(group.all, age)
  }

  #oldest(): Waiting {
    const oldest = this.#byAge.findLast((queue) => queue.size > 0)?.oldest ?? null
    assert(oldest !== null, 'something is waited for')
    return oldest
  }
}
