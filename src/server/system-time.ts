/** Time as the machine has it. */
import type { Alarm, Stopwatch } from '../core/ports.ts'

/** To the microsecond. */
export const systemStopwatch: Stopwatch = { seconds: () => performance.now() / 1000 }

/** Longer than a timer can wait, which is 24 days, is cut to that. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** By the event loop: never early, and late when it is busy. */
export const systemAlarm: Alarm = {
  after: (seconds, callback) => {
    const timer = setTimeout(callback, Math.min(TIMER_MS_MAX, seconds * 1000))
    return () => clearTimeout(timer)
  },
}
