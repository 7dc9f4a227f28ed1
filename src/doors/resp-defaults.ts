/** What a RESP door does when nobody says otherwise. */
import type { RespSettings } from './resp-parts.ts'

export const RESP_NOT_ASKED: RespSettings = {
  nowMs: Date.now,
  commandTimeoutMs: 30_000,
  // A megabit a second: below, a gigabyte would hold its memory for hours.
  senderBytesPerSecondMin: 125_000,
  answerTimeoutMs: 60_000,
  failedAuthDelayMs: 100,
  failedAuthsMax: 5,
}
