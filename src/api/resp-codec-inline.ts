/** Commands as a person types them into telnet: words between spaces, some of them quoted, as Redis splits them. */

/** The words of a line, each byte a character of code 0 to 255; null for a quote that is not closed, or not before a space. */
export function splitInline(line: string): readonly string[] | null {
  const words: string[] = []
  let at = 0
  for (;;) {
    while (isSpace(line[at])) at += 1
    if (at >= line.length) return words
    const word = readWord(line, at)
    if (word === null) return null
    words.push(word.text)
    at = word.end
  }
}

interface Word {
  readonly text: string
  readonly end: number
}

/** A word is plain and quoted parts with nothing between them; after a closing quote comes a space or the end. */
function readWord(line: string, start: number): Word | null {
  let text = ''
  let at = start
  while (at < line.length && !isSpace(line[at])) {
    const character = line[at] ?? ''
    if (character !== '"' && character !== "'") {
      text += character
      at += 1
      continue
    }
    const quoted = character === '"' ? readDouble(line, at + 1) : readSingle(line, at + 1)
    if (quoted === null || (quoted.end < line.length && !isSpace(line[quoted.end]))) return null
    text += quoted.text
    at = quoted.end
  }
  return { text, end: at }
}

function readDouble(line: string, start: number): Word | null {
  let text = ''
  for (let at = start; at < line.length; at++) {
    const character = line[at] ?? ''
    if (character === '"') return { text, end: at + 1 }
    if (character !== '\\' || at + 1 >= line.length) {
      text += character
      continue
    }
    const hex = /^x([0-9a-fA-F]{2})/.exec(line.slice(at + 1, at + 4))
    if (hex === null) {
      const escaped = line[at + 1] ?? ''
      text += ESCAPES[escaped] ?? escaped
      at += 1
    } else {
      text += String.fromCharCode(Number.parseInt(hex[1] ?? '', 16))
      at += 3
    }
  }
  return null
}

function readSingle(line: string, start: number): Word | null {
  let text = ''
  for (let at = start; at < line.length; at++) {
    const character = line[at] ?? ''
    if (character === "'") return { text, end: at + 1 }
    const isQuote = character === '\\' && line[at + 1] === "'"
    text += isQuote ? "'" : character
    if (isQuote) at += 1
  }
  return null
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' }

function isSpace(character: string | undefined): boolean {
  return character === ' ' || (character !== undefined && character >= '\t' && character <= '\r') || character === '\0'
}
