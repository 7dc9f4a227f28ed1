/** Numbers in sentences: three digits and a unit. */

export function secondsText(seconds: number): string {
  if (seconds >= 1) return `${digits(seconds)} s`
  return seconds >= 1e-3 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds * 1e6)} µs`
}

export function bytesText(bytes: number): string {
  if (bytes >= 1e9) return `${digits(bytes / 1e9)} GB`
  if (bytes >= 1e6) return `${digits(bytes / 1e6)} MB`
  return bytes >= 1e3 ? `${digits(bytes / 1e3)} kB` : `${bytes} B`
}

export function tokensText(tokens: number): string {
  return tokens === 1 ? '1 token' : `${tokens} tokens`
}

/** Three digits, and no exponent: 1,240 s stays 1240. */
function digits(value: number): string {
  return String(Number(value.toPrecision(value >= 1000 ? 4 : 3)))
}
