/**
 * UTC timestamps such as `2023-11-16 18:15:46.6805900`, read by arithmetic alone: a JavaScript Date has milliseconds
 * only, and reads a time without an offset in the reader's own zone.
 */

export interface Timestamp {
  /** Since 1970-01-01T00:00:00Z. */
  readonly wholeSeconds: number
  /** 0 to 999,999,999. Apart, because a double cannot hold today's date and 100 ns together. */
  readonly nanoseconds: number
}

const PATTERN = /^(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:Z|\+00(?::?00)?)?$/

/** Null when the text is no timestamp, names no real date, or has an offset other than UTC. */
export function parseTimestamp(text: string): Timestamp | null {
  const match = PATTERN.exec(text)
  if (match === null) return null
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const isDate = month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month)
  if (!isDate || hour > 23 || minute > 59 || second > 59) return null
  return {
    wholeSeconds: ((daysSince1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second,
    nanoseconds: Number((match[7] ?? '').padEnd(9, '0')),
  }
}

export function secondsBetween(earlier: Timestamp, later: Timestamp): number {
  return later.wholeSeconds - earlier.wholeSeconds + (later.nanoseconds - earlier.nanoseconds) / 1e9
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return isLeapYear(year) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function isLeapYear(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
}

/** Counts years from March, so that the leap day comes last and month lengths follow one formula. */
function daysSince1970(year: number, month: number, day: number): number {
  const marchYear = month <= 2 ? year - 1 : year
  const monthFromMarch = (month + 9) % 12
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400)
  const daysBefore1970 = 719_468
  return 365 * marchYear + leapDays + Math.floor((153 * monthFromMarch + 2) / 5) + day - 1 - daysBefore1970
}
