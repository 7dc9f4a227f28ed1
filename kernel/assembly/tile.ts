/**
 * HOT: the innermost loops; nearly all time is spent here. A tile is 6 rows by 8 columns of a product of matrices: 12
 * sums of four columns each, which with two vectors of weights and one number of the row fill the 16 registers that
 * x86 has. Every element is summed over `depth` in order, one fused step at a time, in every tile: it does not depend on
 * the rows beside it.
 *
 * Weights lie in panels: 8 columns of one step of depth side by side, then the next step.
 */
import { madd } from './madd'

export const TILE_ROWS: i32 = 6
/** Columns of a panel, and bytes of one step of it. */
export const PANEL: i32 = 8
export const PANEL_STEP: i32 = 32

/** Adds to what is there, or replaces it, in the first `rows` rows. Rows beyond are computed from the last one and dropped. */
export function tileOfSix(
  a: usize,
  aStride: i32,
  rows: i32,
  panel: usize,
  depth: i32,
  c: usize,
  cStride: i32,
  isAdded: bool,
): void {
  const last = rows - 1
  let a0 = a
  let a1 = a + aStride * min(1, last)
  let a2 = a + aStride * min(2, last)
  let a3 = a + aStride * min(3, last)
  let a4 = a + aStride * min(4, last)
  let a5 = a + aStride * min(5, last)
  let s00 = f32x4.splat(0)
  let s01 = s00
  let s10 = s00
  let s11 = s00
  let s20 = s00
  let s21 = s00
  let s30 = s00
  let s31 = s00
  let s40 = s00
  let s41 = s00
  let s50 = s00
  let s51 = s00
  // One step a turn: V8 unrolls it better than we do (50 against 41 GFLOPS).
  for (let k = 0; k < depth; k++) {
    const b0 = v128.load(panel)
    const b1 = v128.load(panel, 16)
    let x = v128.load32_splat(a0)
    s00 = madd(x, b0, s00)
    s01 = madd(x, b1, s01)
    x = v128.load32_splat(a1)
    s10 = madd(x, b0, s10)
    s11 = madd(x, b1, s11)
    x = v128.load32_splat(a2)
    s20 = madd(x, b0, s20)
    s21 = madd(x, b1, s21)
    x = v128.load32_splat(a3)
    s30 = madd(x, b0, s30)
    s31 = madd(x, b1, s31)
    x = v128.load32_splat(a4)
    s40 = madd(x, b0, s40)
    s41 = madd(x, b1, s41)
    x = v128.load32_splat(a5)
    s50 = madd(x, b0, s50)
    s51 = madd(x, b1, s51)
    a0 += 4
    a1 += 4
    a2 += 4
    a3 += 4
    a4 += 4
    a5 += 4
    panel += PANEL_STEP
  }
  put(c, s00, s01, isAdded)
  if (rows > 1) put(c + cStride, s10, s11, isAdded)
  if (rows > 2) put(c + cStride * 2, s20, s21, isAdded)
  if (rows > 3) put(c + cStride * 3, s30, s31, isAdded)
  if (rows > 4) put(c + cStride * 4, s40, s41, isAdded)
  if (rows > 5) put(c + cStride * 5, s50, s51, isAdded)
}

/** One row by four panels: eight sums at once, because each waits four cycles for its last step. */
export function rowOfFour(a: usize, panel: usize, panelBytes: i32, depth: i32, c: usize, isAdded: bool): void {
  let p0 = panel
  let p1 = p0 + panelBytes
  let p2 = p1 + panelBytes
  let p3 = p2 + panelBytes
  let s0 = f32x4.splat(0)
  let s1 = s0
  let s2 = s0
  let s3 = s0
  let s4 = s0
  let s5 = s0
  let s6 = s0
  let s7 = s0
  for (let k = 0; k < depth; k++) {
    const x = v128.load32_splat(a)
    s0 = madd(x, v128.load(p0), s0)
    s1 = madd(x, v128.load(p0, 16), s1)
    s2 = madd(x, v128.load(p1), s2)
    s3 = madd(x, v128.load(p1, 16), s3)
    s4 = madd(x, v128.load(p2), s4)
    s5 = madd(x, v128.load(p2, 16), s5)
    s6 = madd(x, v128.load(p3), s6)
    s7 = madd(x, v128.load(p3, 16), s7)
    a += 4
    p0 += PANEL_STEP
    p1 += PANEL_STEP
    p2 += PANEL_STEP
    p3 += PANEL_STEP
  }
  put(c, s0, s1, isAdded)
  put(c + PANEL_STEP, s2, s3, isAdded)
  put(c + PANEL_STEP * 2, s4, s5, isAdded)
  put(c + PANEL_STEP * 3, s6, s7, isAdded)
}

/** One row by one panel. */
export function rowOfOne(a: usize, panel: usize, depth: i32, c: usize, isAdded: bool): void {
  let s0 = f32x4.splat(0)
  let s1 = s0
  for (let k = 0; k < depth; k++) {
    const x = v128.load32_splat(a)
    s0 = madd(x, v128.load(panel), s0)
    s1 = madd(x, v128.load(panel, 16), s1)
    a += 4
    panel += PANEL_STEP
  }
  put(c, s0, s1, isAdded)
}

// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
function put(c: usize, low: v128, high: v128, isAdded: bool): void {
  if (isAdded) {
    low = f32x4.add(v128.load(c), low)
    high = f32x4.add(v128.load(c, 16), high)
  }
  v128.store(c, low)
  v128.store(c, high, 16)
}
