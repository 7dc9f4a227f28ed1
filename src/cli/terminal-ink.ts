/** Colours for terminals, and widths that do not count them. */

export type Ink = 'plain' | 'soft' | 'bold' | 'first' | 'second' | 'third' | 'gain' | 'loss'

const CODES: Readonly<Record<Ink, string>> = {
  plain: '',
  soft: '2',
  bold: '1',
  first: '34',
  second: '33',
  third: '35',
  gain: '32',
  loss: '31',
}

export type Painter = (text: string, ink: Ink) => string

export function painter(color: boolean): Painter {
  return (text, ink) => (color && ink !== 'plain' && text !== '' ? `\u001b[${CODES[ink]}m${text}\u001b[0m` : text)
}

const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[\\d*m`, 'g')

function visibleWidth(text: string): number {
  return Array.from(text.replace(ESCAPES, '')).length
}

export function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - visibleWidth(text)))
}

/** Puts whole items on as few lines as they fit on; an item wider than a line is left whole. */
export function flow(items: readonly string[], width: number, gap: string): string[] {
  const lines: string[] = []
  for (const item of items) {
    const last = lines.at(-1)
    if (last !== undefined && visibleWidth(last) + gap.length + visibleWidth(item) <= width)
      lines[lines.length - 1] = last + gap + item
    else lines.push(item)
  }
  return lines
}
