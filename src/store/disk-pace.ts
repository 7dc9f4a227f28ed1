/**
 * Calls that never wait would keep timers and everybody else from running, however many of them follow each other: after
 * a megabyte of work, or 64 small calls, they let others run.
 */
const WORK_BETWEEN_PAUSES_BYTES = 1024 * 1024
/** What a call without payload counts as. */
const CALL_BYTES = 16 * 1024

export class Pace {
  #leftBytes = WORK_BETWEEN_PAUSES_BYTES

  /** Null when there is nothing to wait for. */
  pause(bytes: number): Promise<void> | null {
    this.#leftBytes -= CALL_BYTES + bytes
    if (this.#leftBytes > 0) return null
    this.#leftBytes = WORK_BETWEEN_PAUSES_BYTES
    return new Promise(setImmediate)
  }
}
