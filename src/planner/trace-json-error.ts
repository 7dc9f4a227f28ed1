/**
 * Finds the first place where a text stops being JSON. `JSON.parse` is fast but its message gives a position only
 * sometimes and differs between engines, so a line that it refused is walked again here. Never on the fast path.
 */

export interface JsonProblem {
  /** From 0; the text's length when it ends too early. */
  readonly index: number
  readonly found: string
  readonly expected: string
}

type Want =
  | 'a JSON value'
  | 'a JSON value or "]"'
  | 'a name in double quotes'
  | 'a name in double quotes or "}"'
  | 'after'

const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
const SPACE = /[ \t\r\n]*/y
const WORD = /[\w.+-]{1,20}/y

/** Null when the text is JSON. Keeps its own stack, so depth costs memory, not a crash. */
export function findJsonError(text: string): JsonProblem | null {
  const closers: string[] = []
  let want: Want = 'a JSON value'
  let index = skip(SPACE, text, 0)
  for (;;) {
    const character = text[index]
    if (want === 'after') {
      const closer = closers.at(-1)
      if (closer === undefined) return character === undefined ? null : problem(text, index, 'the end of the line')
      if (character === closer) closers.pop()
      else if (character === ',') want = closer === '}' ? 'a name in double quotes' : 'a JSON value'
      else return problem(text, index, `"," or "${closer}"`)
      index += 1
    } else if (isClosing(want, character)) {
      closers.pop()
      want = 'after'
      index += 1
    } else if (want === 'a name in double quotes' || want === 'a name in double quotes or "}"') {
      const name = readString(text, index, want)
      if (typeof name !== 'number') return name
      const colon = skip(SPACE, text, name)
      if (text[colon] !== ':') return problem(text, colon, '":"')
      index = colon + 1
      want = 'a JSON value'
    } else if (character === '{' || character === '[') {
      closers.push(character === '{' ? '}' : ']')
      want = character === '{' ? 'a name in double quotes or "}"' : 'a JSON value or "]"'
      index += 1
    } else {
      const end = character === '"' ? readString(text, index, want) : skip(SCALAR, text, index)
      if (typeof end !== 'number') return end
      if (end === index) return problem(text, index, want)
      index = end
      want = 'after'
    }
    index = skip(SPACE, text, index)
  }
}

function isClosing(want: Want, character: string | undefined): boolean {
  return (
    (want === 'a JSON value or "]"' && character === ']') ||
    (want === 'a name in double quotes or "}"' && character === '}')
  )
}

/** The index behind the string that starts at `start`. */
function readString(text: string, start: number, expected: string): number | JsonProblem {
  if (text[start] !== '"') return problem(text, start, expected)
  for (let index = start + 1; index < text.length; index++) {
    const character = text.charCodeAt(index)
    if (character === 0x22) return index + 1
    if (character < 0x20) return problem(text, index, 'no control character inside a string')
    if (character === 0x5c) {
      const escape = /^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(text.slice(index, index + 6))
      if (escape === null) return problem(text, index, 'an escape such as \\n or \\u0041')
      index += escape[0].length - 1
    }
  }
  return problem(text, text.length, 'a closing double quote')
}

/** The index behind what `pattern` (sticky) matches at `index`; `index` itself when it does not match. */
function skip(pattern: RegExp, text: string, index: number): number {
  pattern.lastIndex = index
  return pattern.test(text) ? pattern.lastIndex : index
}

function problem(text: string, index: number, expected: string): JsonProblem {
  if (index >= text.length) return { index, found: 'the end of the line', expected }
  const wordEnd = skip(WORD, text, index)
  return { index, found: JSON.stringify(text.slice(index, Math.max(wordEnd, index + 1))), expected }
}
