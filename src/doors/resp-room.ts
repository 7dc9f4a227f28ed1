/** The part of the budget of all bodies that one connection's command holds until it has been carried out. */
import type { BodyBudget } from '../server/body-budget.ts'

export class RespRoom {
  readonly #budget: BodyBudget
  readonly #timeoutMs: number
  readonly #gone: AbortSignal
  #heldBytes = 0

  /** Who holds a part waits at most `timeoutMs` for the rest; `gone` ends every wait. */
  constructor(budget: BodyBudget, timeoutMs: number, gone: AbortSignal) {
    this.#budget = budget
    this.#timeoutMs = timeoutMs
    this.#gone = gone
  }

  /** Whether there is room now, which is taken then. */
  tryTake(bytes: number): boolean {
    if (bytes > this.#budget.bytesMax || !this.#budget.tryTake(bytes)) return false
    this.#heldBytes += bytes
    return true
  }

  /** Waits for it. Throws LIMIT_REACHED for more than all of it, and ABORTED. */
  async take(bytes: number): Promise<void> {
    if (!this.#budget.tryTake(bytes)) {
      // Not for ever: two that hold a part would wait for each other.
      const signals = this.#heldBytes > 0 ? [AbortSignal.timeout(this.#timeoutMs)] : []
      await this.#budget.take(bytes, AbortSignal.any([this.#gone, ...signals]))
    }
    this.#heldBytes += bytes
  }

  release(): void {
    if (this.#heldBytes === 0) return
    this.#budget.release(this.#heldBytes)
    this.#heldBytes = 0
  }
}
