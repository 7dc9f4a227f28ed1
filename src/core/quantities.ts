/** Sizes and durations as people write them. */

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

/** `500MB`, `10 GiB` or a number of bytes, rounded to whole bytes; null for what is neither, or not above 0. */
export function parseBytes(text: string): number | null {
  return quantity(text, BYTES)
}

/** `90s`, `15min`, `12h` or `7d`, rounded to whole milliseconds; null for what is none of it, or not above 0. */
export function parseMilliseconds(text: string): number | null {
  return quantity(text, MILLISECONDS)
}

function quantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text)
  const unitText = match?.[2] ?? 'none'
  const unit = Object.hasOwn(units, unitText) ? units[unitText] : undefined
  const value = Math.round(Number(match?.[1]) * (unit ?? Number.NaN))
  return Number.isSafeInteger(value) && value > 0 ? value : null
}
