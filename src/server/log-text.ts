/** One line of a log as somebody reads it at a terminal: time, level, message, and what else it says. */
import { styleText } from 'node:util'

const STYLES = {
  trace: 'gray',
  debug: 'gray',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
} as const

/** Control characters, and those that change how others are shown: a terminal would obey what somebody else sent. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** `line` is JSON as pino writes it, the result ends in a line break; what is no JSON stays as it is. */
export function textOfLogLine(line: string, { isColorful }: { readonly isColorful: boolean }): string {
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(line)
  } catch {
    return line
  }
  const { level, time, node: _, message, error, ...others } = fields
  const name = String(level)
  const style = isStyled(name) ? STYLES[name] : 'gray'
  const paint = (color: 'gray' | (typeof STYLES)[keyof typeof STYLES], text: string): string =>
    isColorful ? styleText(color, text, { validateStream: false }) : text
  const rest = Object.entries(others).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const head = `${paint('gray', String(time).slice(11, 23))} ${paint(style, name.toUpperCase().padEnd(5))} ${clean(typeof message === 'string' ? message : '')}`
  const tail = rest.length === 0 ? '' : ` ${paint('gray', clean(rest.join(' ')))}`
  return `${head}${tail}\n${errorText(error)}`
}

function isStyled(name: string): name is keyof typeof STYLES {
  return Object.hasOwn(STYLES, name)
}

function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('stack' in error)) return ''
  return String(error.stack)
    .split('\n')
    .map((text) => `    ${clean(text.trim())}\n`)
    .join('')
}

function clean(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}
