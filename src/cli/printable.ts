/** Control characters, and those that change how others are shown: a terminal would obey what somebody else stored. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

export function isPrintable(text: string): boolean {
  return text.search(UNPRINTABLE) < 0
}

/** The same text on one line, what a terminal would obey as `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}
