import { styleText } from 'node:util'
import Table from 'cli-table3'

/** Significant digits of printed JSON: more than any input has, fewer than the last bits that differ between machines. */
const JSON_DIGITS = 9

/** Writes a value as JSON on standard output, numbers rounded to nine significant digits, so that every machine prints the same bytes. */
export function printJson(value: unknown): void {
  process.stdout.write(
    `${JSON.stringify(value, (_, item: unknown) => (typeof item === 'number' ? rounded(item) : item), 2)}\n`,
  )
}

function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(JSON_DIGITS))
}

export function printText(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printWarnings(warnings: readonly string[]): void {
  for (const warning of warnings)
    process.stderr.write(`${styleText('yellow', 'warning:', { stream: process.stderr })} ${warning}\n`)
}

/** What was taken from a file without being asked, on standard error so that it does not mix with an answer. */
export function printNotes(notes: readonly string[]): void {
  for (const note of notes) process.stderr.write(`${styleText('cyan', 'note:', { stream: process.stderr })} ${note}\n`)
}

/** Whether standard output is a terminal that shows colours (and NO_COLOR does not forbid them). */
export function isColorful(): boolean {
  return process.stdout.isTTY && process.stdout.hasColors()
}

export function heading(text: string): string {
  return styleText('bold', text, { stream: process.stdout })
}

export function dim(text: string): string {
  return styleText('dim', text, { stream: process.stdout })
}

export function good(text: string): string {
  return styleText('green', text, { stream: process.stdout })
}

export function bad(text: string): string {
  return styleText('red', text, { stream: process.stdout })
}

/** Breaks prose between words where a terminal would break inside them; as it is when nobody looks. */
export function wrap(text: string): string {
  const width = process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].join('\n')
}

export type Cell = string | number | null

/** A plain table; numbers to the right, a missing value is a dash. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const isNumeric = head.map(
    (_, column) =>
      rows.some((row) => typeof row[column] === 'number') || rows.every((row) => looksNumeric(row[column])),
  )
  const grid = new Table({
    head: [...head],
    chars: BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    colAligns: head.map((_, column) => (column > 0 && isNumeric[column] === true ? 'right' : 'left')),
  })
  grid.push(
    ...rows.map((row) => row.map((cell) => (cell === null ? '-' : typeof cell === 'number' ? figure(cell) : cell))),
  )
  const [first = '', ...others] = grid
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
  return [dim(first), ...others].join('\n')
}

function looksNumeric(cell: Cell | undefined): boolean {
  return (
    cell === null || cell === undefined || typeof cell === 'number' || /^[-+]?[\d,.]+( ?[%x×sA-Za-z/]*)?$/.test(cell)
  )
}

const BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
}

/** Three significant digits, whole numbers as they are, thousands with separators: 0.0123, 3.24, 4, 45.1, 19,405. */
export function figure(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  const text = value.toPrecision(3)
  return text.includes('e') ? String(Number(text)) : text
}

export function tokens(value: number | null): string {
  return value === null ? '-' : Math.round(value).toLocaleString('en-US')
}

export function percent(share: number): string {
  return `${figure(share * 100)} %`
}

export function signedPercent(share: number): string {
  return `${share >= 0 ? '+' : ''}${(share * 100).toFixed(1)} %`
}
