/**
 * The decoder of the Llama family, for the rows of one call. Every thread runs `forward` with the same job; each phase
 * is cut into units that write to different places. What it promises: the numbers of a position are the same whatever
 * rows are computed with it, and by however many threads.
 */
import { attentionUnit, attentionUnits, packUnit, packUnits } from './attention'
import { Job, Layer } from './layout'
import { madd } from './madd'
import { multiply } from './matmul'
import { rotate, writeRotation } from './rotation'
import { copyChecked, embed, gated, normalize } from './rows'
import { endPhase, join, takeUnit } from './threads'
import { PANEL, PANEL_STEP } from './tile'

export { peak } from './peak'

/** Panels of one unit of a product of many rows: they stay in the first cache while the rows pass. */
const UNIT_PANELS: i32 = 2
/** Of one row: it sums four panels at a time. */
const ROW_UNIT_PANELS: i32 = 8

/** Whether a * b + c was rounded once: for the host, which must not believe the machine's instruction unseen. */
export function multiplyAdd(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0)
}

export function forward(job: Job, thread: i32): void {
  join(job.sync, job.threads)
  const model = job.model
  begin(job)
  for (let index = 0; index < model.layers; index++) {
    const layer = changetype<Layer>(model.layerTable + (index as usize) * offsetof<Layer>())
    const isLast = index == model.layers - 1
    project(job, layer)
    storeKv(job, index)
    if (thread == 0) tellLayers(job, index + 1)
    // Of the last layer only the KV is kept, and what the last row says about the next token.
    if (isLast && !job.wantsLogits) return
    for (let unit = takeUnit(); unit < packUnits(job); unit = takeUnit()) packUnit(job, index, unit)
    endPhase()
    const firstRow = isLast ? job.rows - 1 : 0
    const units = attentionUnits(job, firstRow)
    for (let unit = takeUnit(); unit < units; unit = takeUnit()) attentionUnit(job, firstRow, unit, thread)
    endPhase()
    const scratch = job.scratch
    const width = model.heads * model.headDim
    addProduct(job, scratch.attended, width, layer.attentionOutput, firstRow)
    feedForward(job, layer, firstRow)
  }
  score(job)
}

/** The host may read the KV of these layers while the others are computed. */
function tellLayers(job: Job, layers: i32): void {
  const at = changetype<usize>(job) + offsetof<Job>('layersDone')
  atomic.store<i32>(at, layers)
  atomic.notify(at, -1)
}

/** Embeddings, and the rotations of the rows' positions. */
function begin(job: Job): void {
  const model = job.model
  const scratch = job.scratch
  for (let row = takeUnit(); row < job.rows; row = takeUnit()) {
    const token = load<i32>(job.tokens + row * 4)
    embed(token, model.embedding, model.dimWidth, scratch.residual + row * model.dimWidth * 4)
    const rotation = scratch.rotations + row * model.headDim * 8
    writeRotation(job.start + row, model.ropeFrequencies, model.headDim, rotation)
  }
  endPhase()
}

function normalizeRows(job: Job, weights: usize, firstRow: i32): void {
  const model = job.model
  const stride = model.dimWidth * 4
  if (firstRow == job.rows - 1) {
    // One row: all threads write the same, which is sooner done than waiting for one of them.
    const at = firstRow * stride
    const target = job.scratch.normed + at
    normalize(job.scratch.residual + at, weights, model.dim, model.dimWidth, model.epsilon, target)
    return
  }
  for (let row = firstRow + takeUnit(); row < job.rows; row = firstRow + takeUnit()) {
    const from = job.scratch.residual + row * stride
    normalize(from, weights, model.dim, model.dimWidth, model.epsilon, job.scratch.normed + row * stride)
  }
  endPhase()
}

/** Queries, keys and values of all rows, not yet rotated. */
function project(job: Job, layer: Layer): void {
  const model = job.model
  normalizeRows(job, layer.attentionNorm, 0)
  const width = (model.heads + 2 * model.kvHeads) * model.headDim
  product(job, job.scratch.normed, model.dimWidth, layer.qkv, job.scratch.qkv, width, 0, false)
}

/** Rotates queries in place, and puts keys and values where they stay. */
function storeKv(job: Job, layer: i32): void {
  const model = job.model
  const headBytes = model.headDim * 4
  const kvBytes = model.kvHeads * headBytes
  const rowBytes = model.heads * headBytes + 2 * kvBytes
  const keys = job.kv + (layer as usize) * 2 * job.capacity * kvBytes
  const values = keys + (job.capacity as usize) * kvBytes
  for (let row = takeUnit(); row < job.rows; row = takeUnit()) {
    const from = job.scratch.qkv + row * rowBytes
    const rotation = job.scratch.rotations + row * headBytes * 2
    for (let head = 0; head < model.heads + model.kvHeads; head++) {
      const scale = head < model.heads ? model.queryScale : 1
      rotate(from + head * headBytes, rotation, model.headDim, scale, from + head * headBytes)
    }
    const at = ((job.start + row) as usize) * kvBytes
    const key = from + model.heads * headBytes
    const isKeyBad = copyChecked(key, keys + at, kvBytes)
    const isValueBad = copyChecked(key + kvBytes, values + at, kvBytes)
    if (isKeyBad || isValueBad) job.isNotFinite = 1
  }
  endPhase()
}

function feedForward(job: Job, layer: Layer, firstRow: i32): void {
  const model = job.model
  const scratch = job.scratch
  const rows = job.rows - firstRow
  normalizeRows(job, layer.ffnNorm, firstRow)
  const from = scratch.normed + firstRow * model.dimWidth * 4
  const panels = model.ffnWidth / PANEL
  // Gate and up of a panel lie side by side, so that SwiGLU finds both in the cache.
  const pairs = rows == 1 ? 4 : 1
  const stride = model.ffnWidth * 8
  for (let pair = takeUnit() * pairs; pair < panels; pair = takeUnit() * pairs) {
    const count = min(pairs, panels - pair)
    const to = scratch.gateUp + firstRow * stride + pair * PANEL_STEP * 2
    multiply(from, model.dimWidth * 4, rows, layer.gateUp, model.dimWidth, pair * 2, count * 2, to, stride, false)
    for (let row = 0; row < rows; row++) {
      const hidden = scratch.hidden + (firstRow + row) * model.ffnWidth * 4
      for (let panel = 0; panel < count; panel++) {
        gated(to + row * stride + panel * PANEL_STEP * 2, hidden + (pair + panel) * PANEL_STEP)
      }
    }
  }
  endPhase()
  addProduct(job, scratch.hidden, model.ffnWidth, layer.down, firstRow)
}

/** Adds a product to the residual stream. */
function addProduct(job: Job, from: usize, depth: i32, weights: usize, firstRow: i32): void {
  product(job, from, depth, weights, job.scratch.residual, job.model.dimWidth, firstRow, true)
}

/** Rows from `firstRow` on times all panels of `weights`. Rows are `depth` and `width` numbers long. */
function product(
  job: Job,
  from: usize,
  depth: i32,
  weights: usize,
  to: usize,
  width: i32,
  firstRow: i32,
  isAdded: bool,
): void {
  const rows = job.rows - firstRow
  const panels = width / PANEL
  const atOnce = rows == 1 ? ROW_UNIT_PANELS : UNIT_PANELS
  const a = from + firstRow * depth * 4
  const c = to + firstRow * width * 4
  for (let panel = takeUnit() * atOnce; panel < panels; panel = takeUnit() * atOnce) {
    const count = min(atOnce, panels - panel)
    multiply(a, depth * 4, rows, weights, depth, panel, count, c + panel * PANEL_STEP, width * 4, isAdded)
  }
  endPhase()
}

/** What the last row says about the next token. */
function score(job: Job): void {
  const model = job.model
  const last = job.rows - 1
  normalizeRows(job, model.outputNorm, last)
  const from = job.scratch.normed + last * model.dimWidth * 4
  const panels = model.vocabularyWidth / PANEL
  for (let panel = takeUnit() * ROW_UNIT_PANELS; panel < panels; panel = takeUnit() * ROW_UNIT_PANELS) {
    const count = min(ROW_UNIT_PANELS, panels - panel)
    const to = job.logits + panel * PANEL_STEP
    multiply(from, 0, 1, model.output, model.dimWidth, panel, count, to, 0, false)
  }
  endPhase()
}
