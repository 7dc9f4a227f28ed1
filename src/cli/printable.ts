/** Control characters, and those that change how others are shown: a terminal would obey what somebody else stored. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

export function isPrintable(text: string): boolean {
  return text.search(UNPRINTABLE) < 0
}

/** The same text on one line, what a terminal would obey as `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}

/** The beginning and the end of a text that is longer than so many characters, 3 or more; both tell texts apart. */
export function shortened(text: string, charactersMax: number): string {
  const characters = Array.from(text)
  if (characters.length <= charactersMax) return text
  const end = Math.floor((charactersMax - 1) / 2)
  return `${characters.slice(0, charactersMax - 1 - end).join('')}…${characters.slice(-end).join('')}`
}
