/** Waits that end: with what was waited for, at a deadline, or when the caller has gone. */
import { abortedError } from '../core/cancel.ts'
import type { Alarm } from '../core/ports.ts'

/** As the promise, or ABORTED as soon as the signal is given, whether or not the promise ever ends. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      signal.removeEventListener('abort', leave)
      reject(abortedError(signal))
    }
    if (signal.aborted) leave()
    else signal.addEventListener('abort', leave)
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', leave)
    })
  })
}

/** A controller of its own that is given its signal when the caller's is. */
export class LinkedAbort {
  readonly #controller = new AbortController()
  readonly #caller: AbortSignal | undefined
  readonly #follow = (): void => {
    this.abort()
  }

  constructor(caller: AbortSignal | undefined) {
    this.#caller = caller
    if (caller?.aborted === true) this.abort()
    else caller?.addEventListener('abort', this.#follow)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** A second call changes nothing. */
  abort(): void {
    this.unlink()
    this.#controller.abort()
  }

  /** What follows of the caller does not matter any more. */
  unlink(): void {
    this.#caller?.removeEventListener('abort', this.#follow)
  }
}

/** Rings for everybody who waits at the moment. */
export class Bell {
  #next = Promise.withResolvers<void>()

  /** Ends at the next ring. */
  get rung(): Promise<void> {
    return this.#next.promise
  }

  readonly ring = (): void => {
    const { resolve } = this.#next
    this.#next = Promise.withResolvers<void>()
    resolve()
  }
}

/**
 * Calls back once the time is over, and not before everybody else had a turn: while the engine computed in this thread,
 * what has come could not be told. Gives what cancels it.
 */
export function deadline(alarm: Alarm, seconds: number, callback: () => void): () => void {
  let cancel = alarm.after(seconds, () => {
    cancel = alarm.after(0, callback)
  })
  return () => {
    cancel()
  }
}

/** Gives everybody else a turn. */
export function nextTurn(alarm: Alarm): Promise<void> {
  return new Promise((resolve) => {
    alarm.after(0, resolve)
  })
}
