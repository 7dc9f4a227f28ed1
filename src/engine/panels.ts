/**
 * Weights in the order in which the kernel reads them: panels of 8 columns, in which the 8 numbers of one step of depth
 * lie side by side. What is missing to whole panels, and to a depth that is a multiple of 8, is zero.
 */
export const PANEL = 8

export function roundUp(length: number): number {
  return Math.ceil(length / PANEL) * PANEL
}

export interface PanelPlace {
  /** Numbers of one row of the weights, and steps of a panel. */
  readonly depth: number
  readonly depthWidth: number
  /** The column of the product that a row of the weights makes. */
  readonly columnOf: (row: number) => number
}

/** Puts rows of weights, outputs by inputs, into their columns. The rest of `panels` is left as it is. */
export function packRows(
  weights: Float32Array,
  panels: Float32Array,
  { depth, depthWidth, columnOf }: PanelPlace,
): void {
  for (let row = 0; row * depth < weights.length; row++) {
    const column = columnOf(row)
    const lane = column % PANEL
    let to = (column - lane) * depthWidth + lane
    for (let from = row * depth; from < (row + 1) * depth; from++) {
      panels[to] = weights[from] ?? 0
      to += PANEL
    }
  }
}
