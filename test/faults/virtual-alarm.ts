/** Time that passes when everything waits for it, and not otherwise. */
import type { Alarm, Stopwatch } from '../../src/core/ports.ts'

interface Waiting {
  readonly atSeconds: number
  readonly call: () => void
}

export class VirtualAlarm implements Alarm, Stopwatch {
  #nowSeconds = 0
  readonly #waiting = new Set<Waiting>()
  /** Called before each turn, with the number of turns so far. */
  onTurn: (turn: number) => void = () => undefined

  readonly seconds = (): number => this.#nowSeconds

  after(seconds: number, call: () => void): () => void {
    const waiting = { atSeconds: this.#nowSeconds + seconds, call }
    this.#waiting.add(waiting)
    return () => {
      this.#waiting.delete(waiting)
    }
  }

  /** Alarms that nobody has cancelled. */
  get pending(): number {
    return this.#waiting.size
  }

  /** Ends soon after the signal, by throwing. */
  wait(seconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        cancel()
        signal?.removeEventListener('abort', end)
        if (signal?.aborted === true) reject(new Error('The wait was cancelled.'))
        else resolve()
      }
      const cancel = this.after(seconds, end)
      signal?.addEventListener('abort', end)
      if (signal?.aborted === true) end()
    })
  }

  /** Lets time pass until the promise ends. Throws when it waits for something that no alarm will bring. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isOver = false
    const over = (): void => {
      isOver = true
    }
    promise.then(over, over)
    for (let turn = 0; ; turn++) {
      // All that waits for no alarm goes on.
      await new Promise(setImmediate)
      if (isOver) return promise
      this.onTurn(turn)
      await new Promise(setImmediate)
      if (isOver) return promise
      let next: Waiting | null = null
      for (const waiting of this.#waiting) if (next === null || waiting.atSeconds < next.atSeconds) next = waiting
      if (next === null) throw new Error('Blocked: something waits, and no alarm is set.')
      this.#waiting.delete(next)
      this.#nowSeconds = Math.max(this.#nowSeconds, next.atSeconds)
      next.call()
    }
  }
}
