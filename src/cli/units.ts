/** Sizes and durations as users write them. */
import { InvalidArgumentError } from 'commander'

const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

const MILLISECONDS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  min: 60e3,
  h: 3_600e3,
  d: 86_400e3,
}

/** `500MB`, `10 GiB` or a number of bytes. Throws InvalidArgumentError. */
export function bytesOf(text: string): number {
  return quantity(text, BYTES, 'a size such as 500MB or 10GiB')
}

/** `90s`, `15min`, `12h` or `7d`. Throws InvalidArgumentError. */
export function millisecondsOf(text: string): number {
  return quantity(text, MILLISECONDS, 'a duration such as 90s, 15min, 12h or 7d')
}

function quantity(text: string, units: Readonly<Record<string, number>>, expected: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text)
  const unit = units[match?.[2] ?? 'none']
  const value = Math.round(Number(match?.[1]) * (unit ?? Number.NaN))
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new InvalidArgumentError(`Expected ${expected}, above 0.`)
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
