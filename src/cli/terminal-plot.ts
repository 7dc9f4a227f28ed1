import { roundTicks } from './report-axis.ts'
import { short } from './report-numbers.ts'
import { flow, type Ink, type Painter, padded, painter } from './terminal-ink.ts'

/**
 * Lines in a grid of characters. Our own, because plots must stay readable without colour: every series has its own
 * glyph, axes end where the answer is, and no line is wider than asked for.
 */

export interface PlotPoint {
  readonly x: number
  readonly y: number
}

interface Styled {
  readonly glyph: string
  readonly ink: Ink
}

export interface PlotSeries extends Styled {
  readonly name: string
  /** Ascending in x; joined by straight lines. */
  readonly points: readonly PlotPoint[]
}

export interface PlotMark extends Styled {
  readonly at: PlotPoint
  /** What the mark says, under the plot. Empty for a mark that another one explains. */
  readonly text: string
}

export interface PlotAxis {
  readonly title: string
  readonly min: number
  readonly max: number
  readonly ticks?: readonly number[]
  readonly format?: (value: number) => string
}

export interface Plot {
  readonly title: string
  readonly x: PlotAxis
  readonly y: PlotAxis
  /** Later ones are drawn over earlier ones. */
  readonly series: readonly PlotSeries[]
  readonly marks: readonly PlotMark[]
  readonly notes: readonly string[]
}

const ROWS = 14
const Y_TICKS = 5

/** A column for every label of about this many characters. */
const X_TICK_COLUMNS = 14

export function renderPlot(plot: Plot, options: { readonly width: number; readonly color: boolean }): string[] {
  const yTicks = plot.y.ticks ?? roundTicks(plot.y.min, plot.y.max, Y_TICKS)
  const labels = yTicks.map((tick) => (plot.y.format ?? short)(tick))
  const labelWidth = Math.max(...labels.map((text) => text.length))
  // One column more at the right, so that the last label of the x axis can be centred.
  const grid = new Grid(plot, options.width - labelWidth - 3)
  for (const series of plot.series) grid.drawLine(series)
  for (const mark of plot.marks) grid.drawMark(mark)
  const paint = painter(options.color)
  const labelAt = new Map(yTicks.map((tick, k) => [grid.rowOf(tick), labels[k] ?? '']))
  const rows = grid.rows().map((cells, row) => {
    const text = labelAt.get(row)
    return `${(text ?? '').padStart(labelWidth)} ${paint(text === undefined ? '│' : '┤', 'soft')}${painted(cells, paint)}`
  })
  const indent = ' '.repeat(labelWidth + 1)
  const [axis, numbers] = xAxis(plot.x, grid)
  return [
    ...wrapped(plot.title, options.width).map((text) => paint(text, 'bold')),
    plot.y.title,
    ...rows,
    indent + paint(`└${axis}`, 'soft'),
    `${indent} ${numbers}`,
    padded(indent, labelWidth + 2 + Math.max(0, Math.floor((grid.columns - plot.x.title.length) / 2))) + plot.x.title,
    ...flow(
      plot.series.map(({ name, glyph, ink }) => `${paint(glyph.repeat(3), ink)} ${name}`),
      options.width,
      '   ',
    ),
    ...plot.marks
      .filter(({ text }) => text !== '')
      .flatMap(({ glyph, ink, text }) => wrapped(`${paint(glyph, ink)} ${text}`, options.width)),
    ...plot.notes.flatMap((note) => wrapped(note, options.width)),
  ]
}

/** Neighbours of one colour share one escape code. */
function painted(cells: readonly Styled[], paint: Painter): string {
  let [text, run, ink]: [string, string, Ink] = ['', '', 'plain']
  for (const cell of cells) {
    if (cell.ink !== ink) {
      text += paint(run, ink)
      run = ''
      ink = cell.ink
    }
    run += cell.glyph
  }
  return text + paint(run, ink)
}

function wrapped(text: string, width: number): string[] {
  return flow(text.split(' '), width, ' ')
}

function xAxis(axis: PlotAxis, grid: Grid): readonly [string, string] {
  const ticks = axis.ticks ?? roundTicks(axis.min, axis.max, Math.max(2, Math.floor(grid.columns / X_TICK_COLUMNS)))
  const line = Array.from({ length: grid.columns }, () => '─')
  const numbers = Array.from({ length: grid.columns + 1 }, () => ' ')
  let free = 0
  for (const tick of ticks) {
    const column = grid.columnOf(tick)
    const text = (axis.format ?? short)(tick)
    const start = Math.min(Math.max(0, column - Math.floor(text.length / 2)), numbers.length - text.length)
    if (start < free) continue
    line[column] = '┬'
    for (const [k, character] of Array.from(text).entries()) numbers[start + k] = character
    free = start + text.length + 1
  }
  return [line.join(''), numbers.join('').trimEnd()]
}

class Grid {
  readonly columns: number
  readonly #plot: Plot
  readonly #cells: Styled[][]

  constructor(plot: Plot, columns: number) {
    this.columns = columns
    this.#plot = plot
    this.#cells = Array.from({ length: ROWS }, () =>
      Array.from({ length: columns }, () => ({ glyph: ' ', ink: 'plain' }) as const),
    )
  }

  rows(): readonly (readonly Styled[])[] {
    return this.#cells
  }

  columnOf(x: number): number {
    const { min, max } = this.#plot.x
    return Math.round(((x - min) / (max - min)) * (this.columns - 1))
  }

  rowOf(y: number): number {
    const { min, max } = this.#plot.y
    return Math.round((1 - (y - min) / (max - min)) * (ROWS - 1))
  }

  /** One row in every column that the line passes, and all rows between those of neighbours. */
  drawLine({ points, glyph, ink }: PlotSeries): void {
    const [first, last] = [points[0], points.at(-1)]
    if (first === undefined || last === undefined) return
    let previous: number | null = null
    const { min, max } = this.#plot.x
    for (let column = this.columnOf(first.x); column <= this.columnOf(last.x); column++) {
      const x = min + ((max - min) * column) / (this.columns - 1)
      const row = this.rowOf(heightAt(points, Math.min(Math.max(x, first.x), last.x)))
      const [from, to] = spanBetween(previous ?? row, row)
      for (let k = Math.max(0, from); k <= Math.min(ROWS - 1, to); k++) this.#set(k, column, { glyph, ink })
      previous = row
    }
  }

  /** The mark and, when it is explained, a line down to the x axis where nothing else is. */
  drawMark({ at, glyph, ink, text }: PlotMark): void {
    const [row, column] = [this.rowOf(at.y), this.columnOf(at.x)]
    if (row < 0 || row >= ROWS) return
    for (let k = text === '' ? ROWS : row + 1; k < ROWS; k++) {
      if (this.#cells[k]?.[column]?.glyph === ' ') this.#set(k, column, { glyph: '┊', ink: 'soft' })
    }
    this.#set(row, column, { glyph, ink })
  }

  #set(row: number, column: number, cell: Styled): void {
    const cells = this.#cells[row]
    if (cells !== undefined && column >= 0 && column < this.columns) cells[column] = cell
  }
}

/** The rows that a step from one row to the next passes, without the one it starts from. */
function spanBetween(previous: number, row: number): readonly [number, number] {
  if (previous === row) return [row, row]
  return previous < row ? [previous + 1, row] : [row, previous - 1]
}

/** Height of the line at x, which lies within its points. */
function heightAt(points: readonly PlotPoint[], x: number): number {
  const after = points.findIndex((point) => point.x >= x)
  const [left, right] = [points[Math.max(0, after - 1)], points[after]]
  if (left === undefined || right === undefined) return points.at(-1)?.y ?? 0
  return right.x === left.x ? right.y : left.y + ((right.y - left.y) * (x - left.x)) / (right.x - left.x)
}
