import { type Painter, painter } from './terminal-ink.ts'

/** Bars from a common zero, gains to the right and losses to the left, in another glyph as well as another colour. */

export interface Bar {
  readonly name: string
  readonly value: number
  readonly text: string
}

const GAIN = '█'
const LOSS = '▒'

export function renderBars(
  title: string,
  bars: readonly Bar[],
  options: { readonly width: number; readonly color: boolean },
): string[] {
  const paint = painter(options.color)
  const nameWidth = Math.max(...bars.map(({ name }) => name.length))
  const textWidth = Math.max(...bars.map(({ text }) => text.length))
  const columns = Math.max(8, options.width - nameWidth - textWidth - 4)
  const most = Math.max(0, ...bars.map(({ value }) => value))
  const least = Math.max(0, ...bars.map(({ value }) => -value))
  const scale = most + least > 0 ? (columns - 1) / (most + least) : 0
  const left = Math.round(least * scale)
  const right = columns - 1 - left
  return [
    paint(title, 'bold'),
    ...bars.map(
      ({ name, value, text }) => `${name.padStart(nameWidth)} ${barOf(value * scale, { left, right }, paint)}  ${text}`,
    ),
  ]
}

function barOf(length: number, room: { readonly left: number; readonly right: number }, paint: Painter): string {
  // What is not nothing is seen.
  const cells = Math.abs(length) < 1e-9 ? 0 : Math.max(1, Math.round(Math.abs(length)))
  const loss = length < 0 ? Math.min(cells, room.left) : 0
  const gain = length > 0 ? Math.min(cells, room.right) : 0
  const [before, after] = [' '.repeat(room.left - loss), ' '.repeat(room.right - gain)]
  return `${before}${paint(LOSS.repeat(loss), 'loss')}${paint('│', 'soft')}${paint(GAIN.repeat(gain), 'gain')}${after}`
}
