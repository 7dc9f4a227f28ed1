/** What headers of an answer say about when to come again, and about what is left. Pure. */

/** Names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string>>

/** What a service says is left of what it allows; the names and values are its own. */
export function rateLimits(headers: AnswerHeaders): AnswerHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => /^(?:anthropic|x)-ratelimit-/.test(name)))
}

export function requestId(headers: AnswerHeaders): string | null {
  return headers['x-request-id'] ?? headers['request-id'] ?? null
}

/**
 * Milliseconds after which the service wants to be asked again, 0 or more; null when it does not say. First
 * `retry-after-ms`, then `retry-after` (seconds, or a date), then the latest reset of those limits of which nothing is left.
 */
export function retryAfterMs(headers: AnswerHeaders, nowMs: number): number | null {
  const ms = plainNumber(headers['retry-after-ms'])
  if (ms !== null) return ms
  const after = headers['retry-after']
  if (after !== undefined) {
    const seconds = plainNumber(after)
    const waitMs = seconds === null ? untilDate(after, nowMs) : seconds * 1000
    if (waitMs !== null) return waitMs
  }
  const resets = Object.entries(headers).flatMap(([name, left]) => {
    const reset = resetName(name)
    if (reset === null || Number(left) > 0 || left.trim() === '') return []
    return [resetMs(headers[reset] ?? '', nowMs) ?? []].flat()
  })
  return resets.length === 0 ? null : Math.max(...resets)
}

/** `x-ratelimit-remaining-requests` and `anthropic-ratelimit-requests-remaining` have a sibling that says when there is more. */
function resetName(name: string): string | null {
  const openAi = /^x-ratelimit-remaining-(.+)$/.exec(name)
  if (openAi !== null) return `x-ratelimit-reset-${openAi[1]}`
  const anthropic = /^anthropic-ratelimit-(.+)-remaining$/.exec(name)
  return anthropic === null ? null : `anthropic-ratelimit-${anthropic[1]}-reset`
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `6m0s`, `20ms`, a date, or seconds. */
function resetMs(text: string, nowMs: number): number | null {
  const seconds = plainNumber(text)
  if (seconds !== null) return seconds * 1000
  if (!/^(?:[0-9.]+(?:ms|s|m|h|d))+$/.test(text)) return untilDate(text, nowMs)
  const parts = [...text.matchAll(/([0-9.]+)(ms|s|m|h|d)/g)]
  const totalMs = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0), 0)
  return Number.isFinite(totalMs) ? totalMs : null
}

/** Zero for one that has passed. `Date.parse` alone takes `-5` for a year. */
function untilDate(text: string, nowMs: number): number | null {
  const atMs = /[0-9]{4}.*:/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs)
}

/** Not negative; fractions count. */
function plainNumber(text: string | undefined): number | null {
  return text !== undefined && /^\s*[0-9]+(?:\.[0-9]+)?\s*$/.test(text) ? Number(text) : null
}
