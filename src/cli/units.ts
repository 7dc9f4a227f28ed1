/** Sizes and durations as users write them. */
import { InvalidArgumentError } from 'commander'
import { parseBytes, parseMilliseconds } from '../core/quantities.ts'

/** `500MB`, `10 GiB` or a number of bytes. Throws InvalidArgumentError. */
export function bytesOf(text: string): number {
  return expected(parseBytes(text), 'a size such as 500MB or 10GiB')
}

/** `90s`, `15min`, `12h` or `7d`. Throws InvalidArgumentError. */
export function millisecondsOf(text: string): number {
  return expected(parseMilliseconds(text), 'a duration such as 90s, 15min, 12h or 7d')
}

function expected(value: number | null, what: string): number {
  if (value !== null) return value
  throw new InvalidArgumentError(`Expected ${what}, above 0.`)
}

/** Three digits and a unit: 1.23 GB. */
export function bytesText(bytes: number): string {
  for (const [unit, size] of [
    ['TB', 1e12],
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const)
    if (bytes >= size) return `${Number((bytes / size).toPrecision(3))} ${unit}`
  return `${bytes} B`
}

export function fragmentsText(count: number): string {
  return count === 1 ? '1 fragment' : `${count} fragments`
}
