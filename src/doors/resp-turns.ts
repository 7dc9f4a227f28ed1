/**
 * Shares the one thread among the connections of a door. What one pass of the event loop may do is bounded, over all
 * connections; who wants more waits for the next pass, in which sockets are read before: so a small look-up waits for
 * one pass, however large the values are that others fetch.
 */

/** Handed over in one pass. The network takes a part of it at a time, so this bounds our own work, not the wait. */
const PASS_BYTES = 8 * 1024 * 1024

export class RespTurns {
  #leftBytes = PASS_BYTES
  readonly #waiting: (() => void)[] = []
  #isScheduled = false

  /** Whether work on so many bytes may be done now. All of a large one is: it cannot be cut. */
  take(bytes: number): boolean {
    // Those who wait come first.
    if (this.#leftBytes <= 0) return false
    this.#leftBytes -= bytes
    this.#schedule()
    return true
  }

  /** Calls back in the next pass; then ask `take` again. */
  next(callback: () => void): void {
    this.#waiting.push(callback)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#leftBytes = PASS_BYTES
      for (const callback of this.#waiting.splice(0)) callback()
    })
  }
}
