/**
 * Attention of one call's rows over all positions up to their own. Keys and values are put into panels first, once for
 * all rows, so that both products run as tiles.
 */
import { Job } from './layout'
import { DEPTH_BLOCK, multiply, multiplyBlock } from './matmul'
import { softmax } from './softmax'
import { PANEL, PANEL_STEP } from './tile'

/** Rows of one head that share a pass over the keys: more would push the scores out of the second cache. */
export const ATTENTION_ROWS: i32 = 24
/** Keys that are put into panels as one unit of work. */
export const PACK_KEYS: i32 = 64

/** Positions up to the last row's, rounded up to whole panels. */
export function keysWidth(job: Job): i32 {
  return (job.start + job.rows + PANEL - 1) & ~(PANEL - 1)
}

export function packUnits(job: Job): i32 {
  return job.model.kvHeads * ((keysWidth(job) + PACK_KEYS - 1) / PACK_KEYS)
}

/** Puts up to PACK_KEYS keys and values of one head into panels; zeros where there is no position. */
export function packUnit(job: Job, layer: i32, unit: i32): void {
  const model = job.model
  const headDim = model.headDim
  const width = keysWidth(job)
  const kvHead = unit % model.kvHeads
  const first = (unit / model.kvHeads) * PACK_KEYS
  const end = min(first + PACK_KEYS, width)
  const total = job.start + job.rows
  const stride = model.kvHeads * headDim * 4
  const keys = job.kv + (layer as usize) * 2 * job.capacity * stride + kvHead * headDim * 4
  const values = keys + (job.capacity as usize) * stride
  const headBytes = (width as usize) * headDim * 4
  const keyPanels = job.scratch.keyPanels + (kvHead as usize) * headBytes
  const valuePanels = job.scratch.valuePanels + (kvHead as usize) * headBytes
  for (let key = first; key < end; key += 4) {
    const to = keyPanels + ((key >> 3) as usize) * headDim * PANEL_STEP + (key & 4) * 4
    if (key + 4 <= total) packFourKeys(keys + (key as usize) * stride, stride, headDim, to)
    else packLastKeys(keys + (key as usize) * stride, stride, headDim, total - key, to)
  }
  for (let key = first; key < end; key++) {
    const from = values + (key as usize) * stride
    const to = valuePanels + key * PANEL_STEP
    for (let at = 0; at < headDim; at += PANEL) {
      const panel = to + (at >> 3) * width * PANEL_STEP
      if (key < total) {
        v128.store(panel, v128.load(from + at * 4))
        v128.store(panel, v128.load(from + at * 4, 16), 16)
      } else {
        v128.store(panel, f32x4.splat(0))
        v128.store(panel, f32x4.splat(0), 16)
      }
    }
  }
}

/** Four keys, four numbers of each at a time, turned. */
function packFourKeys(from: usize, stride: i32, headDim: i32, to: usize): void {
  for (let at = 0; at < headDim; at += 4) {
    const a = v128.load(from)
    const b = v128.load(from + stride)
    const c = v128.load(from + stride * 2)
    const d = v128.load(from + stride * 3)
    const ab = i32x4.shuffle(a, b, 0, 4, 1, 5)
    const cd = i32x4.shuffle(c, d, 0, 4, 1, 5)
    const ab2 = i32x4.shuffle(a, b, 2, 6, 3, 7)
    const cd2 = i32x4.shuffle(c, d, 2, 6, 3, 7)
    v128.store(to, i64x2.shuffle(ab, cd, 0, 2))
    v128.store(to, i64x2.shuffle(ab, cd, 1, 3), 32)
    v128.store(to, i64x2.shuffle(ab2, cd2, 0, 2), 64)
    v128.store(to, i64x2.shuffle(ab2, cd2, 1, 3), 96)
    from += 16
    to += PANEL_STEP * 4
  }
}

function packLastKeys(from: usize, stride: i32, headDim: i32, count: i32, to: usize): void {
  for (let at = 0; at < headDim; at++) {
    for (let key = 0; key < 4; key++) {
      store<f32>(to + key * 4, key < count ? load<f32>(from + key * stride + at * 4) : 0)
    }
    to += PANEL_STEP
  }
}

/** Units of attention when rows `firstRow` and after are asked for. */
export function attentionUnits(job: Job, firstRow: i32): i32 {
  return job.model.heads * ((job.rows - firstRow + ATTENTION_ROWS - 1) / ATTENTION_ROWS)
}

/** One head, up to ATTENTION_ROWS rows; the last rows first, because they take longest. */
export function attentionUnit(job: Job, firstRow: i32, unit: i32, thread: i32): void {
  const model = job.model
  const headDim = model.headDim
  const head = unit % model.heads
  const blocks = (job.rows - firstRow + ATTENTION_ROWS - 1) / ATTENTION_ROWS
  const first = firstRow + (blocks - 1 - unit / model.heads) * ATTENTION_ROWS
  const rows = min(ATTENTION_ROWS, job.rows - first)
  const width = keysWidth(job)
  const headBytes = (width as usize) * headDim * 4
  const kvHead = head / (model.heads / model.kvHeads)
  const qkvStride = (model.heads + 2 * model.kvHeads) * headDim * 4
  const attendedStride = model.heads * headDim * 4
  // Keys that the last of these rows sees.
  const keys = (job.start + first + rows + PANEL - 1) & ~(PANEL - 1)
  // Rows that are a power of two apart would share few places of the first cache.
  const scoresStride = keys * 4 + 64
  const scores = job.scratch.scores + thread * job.scratch.scoresBytes
  const queries = job.scratch.qkv + first * qkvStride + head * headDim * 4
  const keyPanels = job.scratch.keyPanels + (kvHead as usize) * headBytes
  const target = job.scratch.attended + first * attendedStride + head * headDim * 4
  const valuePanels = job.scratch.valuePanels + (kvHead as usize) * headBytes
  const valueBytes = width * PANEL_STEP
  const panelsAtOnce = 4
  for (let panel = 0; panel < keys / PANEL; panel += panelsAtOnce) {
    const panels = min(panelsAtOnce, keys / PANEL - panel)
    multiply(queries, qkvStride, rows, keyPanels, headDim, panel, panels, scores + panel * PANEL_STEP, scoresStride, false)
  }
  const sums = scores + ATTENTION_ROWS * scoresStride
  for (let row = 0; row < rows; row++) {
    store<f32>(sums + row * 4, softmax(scores + row * scoresStride, job.start + first + row + 1, keys))
  }
  // Keys in blocks from 0 on, whatever the rows: the order of the sum.
  for (let done = 0; done < keys; done += DEPTH_BLOCK) {
    const block = min(DEPTH_BLOCK, keys - done)
    const from = valuePanels + done * PANEL_STEP
    const at = scores + done * 4
    multiplyBlock(at, scoresStride, rows, from, valueBytes, block, headDim / PANEL, target, attendedStride, done > 0)
  }
  for (let row = 0; row < rows; row++) {
    const factor = f32x4.splat(1 / load<f32>(sums + row * 4))
    const to = target + row * attendedStride
    for (let at = 0; at < headDim * 4; at += 16) {
      // Adding 0 makes -0 to 0: which of them a sum of zeros is depends on how many keys were padded.
      v128.store(to + at, f32x4.add(f32x4.mul(v128.load(to + at), factor), f32x4.splat(0)))
    }
  }
}
