/** Patterns of keys as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what is meant as it is. */

/**
 * Whether all of `text` matches. Of several `*`, only the latest is ever tried again, so the time is at most the product
 * of both lengths: a pattern made to be slow is not.
 */
export function matchesGlob(pattern: Uint8Array, text: Uint8Array): boolean {
  let at = 0
  let place = 0
  let star = -1
  let starPlace = 0
  while (place < text.length) {
    if (pattern[at] === STAR) {
      star = at
      starPlace = place
      at += 1
      continue
    }
    const end = at < pattern.length ? matchOne(pattern, at, text[place] ?? 0) : -1
    if (end >= 0) {
      at = end
      place += 1
    } else if (star >= 0) {
      at = star + 1
      starPlace += 1
      place = starPlace
    } else return false
  }
  while (pattern[at] === STAR) at += 1
  return at >= pattern.length
}

const STAR = 0x2a
const QUESTION = 0x3f
const OPEN = 0x5b
const CLOSE = 0x5d
const CARET = 0x5e
const DASH = 0x2d
const BACKSLASH = 0x5c

/** The place after the element of the pattern that matches the byte; -1 when it does not. */
function matchOne(pattern: Uint8Array, start: number, byte: number): number {
  const element = pattern[start]
  if (element === QUESTION) return start + 1
  if (element === OPEN) return matchClass(pattern, start + 1, byte)
  const at = element === BACKSLASH && start + 1 < pattern.length ? start + 1 : start
  return pattern[at] === byte ? at + 1 : -1
}

/** A class that is not closed ends with the pattern, as in Redis. */
function matchClass(pattern: Uint8Array, start: number, byte: number): number {
  const isNegated = pattern[start] === CARET
  let at = isNegated ? start + 1 : start
  let isIn = false
  while (at < pattern.length && pattern[at] !== CLOSE) {
    const first = pattern[at] ?? 0
    if (first === BACKSLASH && at + 1 < pattern.length) {
      isIn ||= pattern[at + 1] === byte
      at += 2
    } else if (pattern[at + 1] === DASH && at + 2 < pattern.length) {
      const last = pattern[at + 2] ?? 0
      isIn ||= byte >= Math.min(first, last) && byte <= Math.max(first, last)
      at += 3
    } else {
      isIn ||= first === byte
      at += 1
    }
  }
  return isIn === isNegated ? -1 : Math.min(at + 1, pattern.length)
}
