/** Ctrl-C during long work: it is cancelled, what is open is closed, and the command ends as one that was interrupted. */

/** As shells say it: 128 and the number of the signal. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

/**
 * Hands `use` a signal that the first interrupt aborts; a second one ends the process at once. Only around work
 * that listens: elsewhere an interrupt ends the process by itself, and a data directory survives that.
 */
export async function withInterrupt<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const cancel = new AbortController()
  const interrupt = (code: number) => () => {
    if (cancel.signal.aborted) process.exit(code)
    cancel.abort()
    // Whatever the failure that follows sets.
    process.once('exit', () => {
      process.exitCode = code
    })
  }
  const [onInterrupt, onTerminate] = [interrupt(EXIT_CODES.SIGINT), interrupt(EXIT_CODES.SIGTERM)]
  process.on('SIGINT', onInterrupt).on('SIGTERM', onTerminate)
  try {
    return await use(cancel.signal)
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onTerminate)
  }
}
