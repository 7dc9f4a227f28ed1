/** A call to another node that is watched: it ends with an answer, with an error, or when nothing has moved for too long. */
import { abortedError } from '../core/cancel.ts'
import { MembraneError } from '../core/errors.ts'
import type { Alarm, Stopwatch } from '../core/ports.ts'

export interface CallWatch {
  readonly stopwatch: Stopwatch
  readonly alarm: Alarm
  /** Without a call of `moved` for so long the call is given up. */
  readonly stallSeconds: number
  /** Given up at once when it is given. */
  readonly signal: AbortSignal
}

/** `isSettled` is false when the call was given up and may still go on behind our back. */
export type CallEnd<T> =
  | { readonly kind: 'answer'; readonly answer: T }
  | { readonly kind: 'failure'; readonly error: MembraneError; readonly isSettled: boolean }

/** Throws what the call throws when that is no MembraneError: a bug. */
export function watchCall<T>(
  call: (signal: AbortSignal, moved: () => void) => Promise<T>,
  { stopwatch, alarm, stallSeconds, signal }: CallWatch,
): Promise<CallEnd<T>> {
  const controller = new AbortController()
  let movedSeconds = stopwatch.seconds()
  let cancelAlarm = (): void => undefined
  return new Promise<CallEnd<T>>((resolve, reject) => {
    const giveUp = (error: MembraneError): void => {
      resolve({ kind: 'failure', error, isSettled: false })
      controller.abort(error)
    }
    const leave = (): void => {
      giveUp(abortedError(signal))
    }
    // Set anew when it rings, not at each movement: movements are many.
    const watch = (seconds: number): void => {
      cancelAlarm = alarm.after(seconds, () => {
        const left = movedSeconds + stallSeconds - stopwatch.seconds()
        if (left > 0) watch(left)
        else giveUp(stalledError(stallSeconds))
      })
    }
    const moved = (): void => {
      movedSeconds = stopwatch.seconds()
    }
    const settle = (): void => {
      cancelAlarm()
      signal.removeEventListener('abort', leave)
    }
    if (signal.aborted) {
      leave()
      return
    }
    signal.addEventListener('abort', leave)
    watch(stallSeconds)
    controller.signal.addEventListener('abort', settle)
    // A call that throws before it waits is a call that fails.
    new Promise<T>((begun) => {
      begun(call(controller.signal, moved))
    })
      .then(
        (answer) => {
          resolve({ kind: 'answer', answer })
        },
        (error: unknown) => {
          if (error instanceof MembraneError) resolve({ kind: 'failure', error, isSettled: true })
          else if (!controller.signal.aborted) reject(error)
        },
      )
      .finally(settle)
  })
}

function stalledError(seconds: number): MembraneError {
  return new MembraneError('STORE_UNAVAILABLE', `Nothing came from the other node for ${seconds} s.`)
}
