import { figure, percent } from './print.ts'
import { bytesText } from './units.ts'

export interface Progress {
  /** The share that is done, 0 to 1. */
  readonly update: (share: number) => void
  readonly end: () => void
}

/** Bytes that are moved. */
export interface ByteProgress {
  readonly add: (bytes: number) => void
  readonly end: () => void
}

/** Where nobody looks. */
export const NO_PROGRESS: ByteProgress = { add: () => undefined, end: () => undefined }

/** At most so often: a terminal is slow. */
const UPDATE_MS = 200
const BAR_CHARACTERS = 20

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

/** The same for bytes; `totalBytes` is null where nobody knows. A line that was there shortly is not shown at all. */
export function showBytes(
  what: string,
  totalBytes: number | null,
  target: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stderr,
): ByteProgress {
  if (!target.isTTY) return NO_PROGRESS
  const startedMs = performance.now()
  let shownMs = startedMs
  let isShown = false
  let doneBytes = 0
  return {
    add: (bytes) => {
      doneBytes += bytes
      const nowMs = performance.now()
      if (nowMs - shownMs < UPDATE_MS) return
      shownMs = nowMs
      isShown = true
      const seconds = (nowMs - startedMs) / 1000
      target.write(`\r\u001B[K${what}: ${bytesProgressText({ doneBytes, totalBytes, seconds })}`)
    },
    end: () => {
      if (isShown) target.write('\r\u001B[K')
    },
  }
}

/** `[#####---------------] 25 %, 1 GB of 4 GB, 500 MB/s, 6 s left`. */
export function bytesProgressText({
  doneBytes,
  totalBytes,
  seconds,
}: {
  readonly doneBytes: number
  readonly totalBytes: number | null
  readonly seconds: number
}): string {
  const bytesPerSecond = doneBytes / seconds
  const rate = `${bytesText(Math.round(bytesPerSecond))}/s`
  if (totalBytes === null || totalBytes === 0) return `${bytesText(doneBytes)}, ${rate}`
  const share = Math.min(1, doneBytes / totalBytes)
  const full = Math.round(share * BAR_CHARACTERS)
  const bar = `${'#'.repeat(full)}${'-'.repeat(BAR_CHARACTERS - full)}`
  const leftSeconds = Math.max(0, totalBytes - doneBytes) / bytesPerSecond
  return `[${bar}] ${percent(share)}, ${bytesText(doneBytes)} of ${bytesText(totalBytes)}, ${rate}, ${figure(leftSeconds)} s left`
}

/** Passes pieces on, and shows how many bytes they have. */
export async function* counted<T extends Uint8Array>(
  pieces: AsyncIterable<T>,
  progress: ByteProgress,
): AsyncGenerator<T> {
  try {
    for await (const piece of pieces) {
      progress.add(piece.length)
      yield piece
    }
  } finally {
    progress.end()
  }
}
