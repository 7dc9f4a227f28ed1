import type { EventSchedule } from './event-schedule.ts'
import type { DecodeInstance } from './sim-decode.ts'
import type { ServerPool } from './sim-pool.ts'
import { TimeAverage } from './time-average.ts'

/** What a local instance does. `changing` is empty and on its way to its other role; `lost` is gone until restored. */
const PREFILLS = 0
const DECODES = 1
const CHANGING = 2
const LOST = 3

export interface LocalOptions {
  readonly schedule: EventSchedule
  /** The event source of an instance's prefill server, which also fires when its change of role is complete. */
  readonly firstServerSource: number
  readonly pool: ServerPool
  readonly decoders: readonly DecodeInstance[]
  /** The first so many prefill at the start, the others decode. */
  readonly localPrefill: number
  readonly roleChangeSeconds: number
}

/**
 * The local cluster's instances, each of which either prefills or decodes. An instance that is to change takes nothing
 * new, finishes what it has, and takes `roleChangeSeconds` more until it serves in the other role.
 */
export class LocalInstances {
  readonly decoders: readonly DecodeInstance[]
  /** Instances that take sequences, over time. */
  readonly decoding = new TimeAverage()
  readonly #options: LocalOptions
  readonly #pool: ServerPool
  readonly #state: Uint8Array
  /** The role that each has or is to have: PREFILLS or DECODES. */
  readonly #role: Uint8Array
  /** Those that take sequences. */
  #open: DecodeInstance[] = []
  #changing = 0
  #stateChanges = 0

  constructor(options: LocalOptions) {
    this.#options = options
    this.#pool = options.pool
    this.decoders = options.decoders
    this.#role = Uint8Array.from(options.decoders, (_, k) => (k < options.localPrefill ? PREFILLS : DECODES))
    this.#state = this.#role.slice()
    this.#listOpen(0)
  }

  /** Instances that prefill or are about to: N_p as it was last asked for. */
  get prefillRoles(): number {
    return this.#role.reduce((count, role, k) => count + (role === PREFILLS && this.#state[k] !== LOST ? 1 : 0), 0)
  }

  /** Instances that are not lost. */
  get alive(): number {
    return this.#state.reduce((count, state) => count + (state === LOST ? 0 : 1), 0)
  }

  get changing(): number {
    return this.#changing
  }

  /** Counts every time that an instance stopped or began to serve: who has seen the same count before has missed nothing. */
  get stateChanges(): number {
    return this.#stateChanges
  }

  /** The instance with the fewest sequences that has room for one more; null when none has. */
  leastLoaded(contextTokens: number): DecodeInstance | null {
    let best: DecodeInstance | null = null
    for (let k = 0; k < this.#open.length; k++) {
      const instance = this.#open[k]
      if (instance === undefined || (best !== null && instance.batch >= best.batch)) continue
      if (instance.hasRoom(contextTokens)) best = instance
    }
    return best
  }

  /** Gives instances other roles until `localPrefill` of them prefill; the emptiest go first. The last that decodes stays. */
  setPrefillRoles(localPrefill: number, nowSeconds: number): void {
    for (let prefill = this.prefillRoles; prefill < localPrefill; prefill++) {
      if (!this.#turn(DECODES, PREFILLS, nowSeconds)) return
    }
    for (let prefill = this.prefillRoles; prefill > localPrefill; prefill--) {
      if (!this.#turn(PREFILLS, DECODES, nowSeconds)) return
    }
  }

  /** A prefill has left an instance. */
  serverIsFree(k: number, nowSeconds: number): void {
    if (this.#role[k] === DECODES && this.#state[k] === PREFILLS) this.#beginChange(k, nowSeconds)
  }

  /** The last sequence has left an instance. */
  decoderIsEmpty(instance: DecodeInstance, nowSeconds: number): void {
    const k = this.decoders.indexOf(instance)
    if (this.#role[k] === PREFILLS && this.#state[k] === DECODES) this.#beginChange(k, nowSeconds)
  }

  /** The event of a server that has no job: its change is complete. */
  completeChange(k: number, nowSeconds: number): void {
    this.#options.schedule.set(this.#options.firstServerSource + k, Number.POSITIVE_INFINITY)
    if (this.#state[k] !== CHANGING) return
    this.#changing -= 1
    this.#serve(k, nowSeconds)
  }

  /** Takes an instance away and gives back the prefill that it was at (-1: none); its sequences are the caller's to take off. */
  lose(k: number, nowSeconds: number): number {
    if (this.#state[k] === CHANGING) {
      this.#changing -= 1
      this.#options.schedule.set(this.#options.firstServerSource + k, Number.POSITIVE_INFINITY)
    }
    this.#state[k] = LOST
    this.#stateChanges += 1
    this.#listOpen(nowSeconds)
    return this.#pool.lose(k, nowSeconds)
  }

  /** Back in the role that it had. */
  restore(k: number, nowSeconds: number): void {
    if (this.#state[k] === LOST) this.#serve(k, nowSeconds)
  }

  /** Up to `count` instances of a role that are (or are not) lost, in order of their number. */
  ofRole(role: 'localPrefill' | 'decode', isLost: boolean, count: number): number[] {
    const wanted = role === 'decode' ? DECODES : PREFILLS
    return [...this.#role.keys()].filter((k) => this.#role[k] === wanted && this.isLost(k) === isLost).slice(0, count)
  }

  isLost(k: number): boolean {
    return this.#state[k] === LOST
  }

  #turn(from: number, to: number, nowSeconds: number): boolean {
    // One that is to decode may never get rid of its last prefill if nobody decodes meanwhile.
    if (from === DECODES && this.#open.length === 1) return false
    let best = -1
    for (let k = 0; k < this.#role.length; k++) {
      if (this.#role[k] !== from || this.#state[k] !== from) continue
      if (best < 0 || this.#loadOf(k) < this.#loadOf(best)) best = k
    }
    if (best < 0) return false
    this.#role[best] = to
    if (from === PREFILLS) {
      this.#pool.closeServer(best, nowSeconds)
      if (!this.#pool.isServing(best)) this.#beginChange(best, nowSeconds)
    } else {
      this.#listOpen(nowSeconds)
      if (this.decoders[best]?.batch === 0) this.#beginChange(best, nowSeconds)
    }
    return true
  }

  #loadOf(k: number): number {
    return (this.decoders[k]?.batch ?? 0) + (this.#pool.isServing(k) ? 1 : 0)
  }

  #beginChange(k: number, nowSeconds: number): void {
    const { schedule, firstServerSource, roleChangeSeconds } = this.#options
    this.#state[k] = CHANGING
    this.#stateChanges += 1
    this.#changing += 1
    schedule.set(firstServerSource + k, nowSeconds + roleChangeSeconds)
  }

  #serve(k: number, nowSeconds: number): void {
    const role = this.#role[k] ?? PREFILLS
    this.#state[k] = role
    this.#stateChanges += 1
    if (role === PREFILLS) this.#pool.openServer(k, nowSeconds)
    this.#listOpen(nowSeconds)
  }

  #listOpen(nowSeconds: number): void {
    this.#open = this.decoders.filter((_, k) => this.#role[k] === DECODES && this.#state[k] === DECODES)
    this.decoding.set(this.#open.length, nowSeconds)
  }
}
