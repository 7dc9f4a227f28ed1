/** What every operation passes first: is the node taking requests, may the caller do this, and is it within its rate. */
import { MembraneError } from '../core/errors.ts'
import { type Caller, checkAllowed, type Permission } from './caller.ts'

/** Slows callers down; bytes are those of a payload. Throws RATE_LIMITED, with `retryAfterSeconds` in its details. */
export interface RateLimiter {
  take(caller: Caller, bytes: number): void
}

/** See the top of this file. */
export class Gate {
  readonly #limiter: RateLimiter | null
  readonly #admitted = new WeakSet<Caller>()
  #isDraining = false

  constructor(limiter: RateLimiter | null) {
    this.#limiter = limiter
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  /** From now on every request is refused with DRAINING; those under way go on. */
  drain(): void {
    this.#isDraining = true
  }

  /**
   * For doors whose requests take their time before they come here, such as to read a body: a request that was let in
   * passes with the caller that this gives, also while the node drains. Throws DRAINING.
   */
  admit(caller: Caller): Caller {
    this.#checkOpen()
    const admitted = { ...caller }
    this.#admitted.add(admitted)
    return admitted
  }

  /** HOT: once for every request. Throws DRAINING, FORBIDDEN and RATE_LIMITED. */
  enter(caller: Caller, permission: Permission, bytes = 0): void {
    if (this.#isDraining && !this.#admitted.has(caller)) this.#checkOpen()
    checkAllowed(caller, permission)
    // What nodes ask of each other was let in, and counted, where it came from.
    if (caller.role !== 'node') this.#limiter?.take(caller, bytes)
  }

  #checkOpen(): void {
    if (!this.#isDraining) return
    throw new MembraneError('DRAINING', 'This node is shutting down.', {
      remedy: 'Ask another node, or this one later.',
    })
  }
}
