import { figure, percent } from './print.ts'

export interface Progress {
  /** The share that is done, 0 to 1. */
  readonly update: (share: number) => void
  readonly end: () => void
}

/** At most so often: a terminal is slow. */
const UPDATE_MS = 200

/** One line on standard error with the share that is done and the time left; nothing where nobody looks. */
export function showProgress(what: string): Progress {
  if (!process.stderr.isTTY) return { update: () => undefined, end: () => undefined }
  const startedMs = performance.now()
  let shownMs = 0
  return {
    update: (share) => {
      const nowMs = performance.now()
      if (share <= 0 || nowMs - shownMs < UPDATE_MS) return
      shownMs = nowMs
      const leftSeconds = ((nowMs - startedMs) / 1000) * (1 / share - 1)
      process.stderr.write(`\r\u001B[K${what}: ${percent(share)}, ${figure(leftSeconds)} s left`)
    },
    end: () => {
      process.stderr.write('\r\u001B[K')
    },
  }
}
