/** Products of matrices, in blocks that fit the caches. */
import { PANEL_STEP, rowOfFour, rowOfOne, TILE_ROWS, tileOfSix } from './tile'

/**
 * Depth is summed in blocks of so many, from 0 on, and the sums of the blocks are added in order: part of what the
 * results are, so a change changes the KV of every model. A block of a panel takes 8 kB, of a tile's rows 6 kB.
 */
export const DEPTH_BLOCK: i32 = 256

/**
 * `rows` rows at `a` times panels [first, first + panels) of `weights`, into 8 columns of `c` for each. Strides are in
 * bytes, between rows. `depth` is a multiple of 8.
 */
export function multiply(
  a: usize,
  aStride: i32,
  rows: i32,
  weights: usize,
  depth: i32,
  first: i32,
  panels: i32,
  c: usize,
  cStride: i32,
  isAdded: bool,
): void {
  const panelBytes = depth * PANEL_STEP
  const start = weights + (first as usize) * panelBytes
  for (let done = 0; done < depth; done += DEPTH_BLOCK) {
    const block = min(DEPTH_BLOCK, depth - done)
    const from = start + done * PANEL_STEP
    multiplyBlock(a + done * 4, aStride, rows, from, panelBytes, block, panels, c, cStride, isAdded || done > 0)
  }
}

/** As `multiply`, of one block of depth; panels lie `panelBytes` apart. */
export function multiplyBlock(
  a: usize,
  aStride: i32,
  rows: i32,
  from: usize,
  panelBytes: i32,
  depth: i32,
  panels: i32,
  c: usize,
  cStride: i32,
  isAdded: bool,
): void {
  if (rows == 1) {
    multiplyRow(a, from, panelBytes, depth, panels, c, isAdded)
    return
  }
  for (let row = 0; row < rows; row += TILE_ROWS) {
    const at = a + row * aStride
    const to = c + row * cStride
    const count = min(TILE_ROWS, rows - row)
    for (let panel = 0; panel < panels; panel++) {
      tileOfSix(at, aStride, count, from + panel * panelBytes, depth, to + panel * PANEL_STEP, cStride, isAdded)
    }
  }
}

function multiplyRow(
  a: usize,
  from: usize,
  panelBytes: i32,
  depth: i32,
  panels: i32,
  c: usize,
  isAdded: bool,
): void {
  let panel = 0
  for (; panel + 4 <= panels; panel += 4) {
    rowOfFour(a, from + panel * panelBytes, panelBytes, depth, c + panel * PANEL_STEP, isAdded)
  }
  for (; panel < panels; panel++) {
    rowOfOne(a, from + panel * panelBytes, depth, c + panel * PANEL_STEP, isAdded)
  }
}
