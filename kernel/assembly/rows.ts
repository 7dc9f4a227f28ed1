/** What is done to each row by itself. */
import { exp2, sumOfFour } from './exp'
import { madd } from './madd'
import { PANEL_STEP } from './tile'

/** Copies a token's embedding, one column of the panels, into a row. */
export function embed(token: i32, embedding: usize, dimWidth: i32, target: usize): void {
  let at = embedding + ((token >> 3) as usize) * dimWidth * PANEL_STEP + (token & 7) * 4
  for (let index = 0; index < dimWidth; index++) {
    store<f32>(target + index * 4, load<f32>(at))
    at += PANEL_STEP
  }
}

/** Divides a row by its root mean square and multiplies it by the weights. */
export function normalize(source: usize, weights: usize, dim: i32, dimWidth: i32, epsilon: f32, target: usize): void {
  let low = f32x4.splat(0)
  let high = low
  for (let at = 0; at < dimWidth * 4; at += 32) {
    const x = v128.load(source + at)
    const y = v128.load(source + at, 16)
    low = madd(x, x, low)
    high = madd(y, y, high)
  }
  const scale = f32x4.splat(1 / sqrt<f32>(sumOfFour(f32x4.add(low, high)) / (dim as f32) + epsilon))
  for (let at = 0; at < dimWidth * 4; at += 16) {
    v128.store(target + at, f32x4.mul(f32x4.mul(v128.load(source + at), scale), v128.load(weights + at)))
  }
}

/** SwiGLU of one panel's 8 columns: gate / (1 + e^-gate) * up, where gate and up lie side by side. */
export function gated(gateUp: usize, target: usize): void {
  gatedFour(gateUp, target)
  gatedFour(gateUp + 16, target + 16)
}

// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
function gatedFour(gateUp: usize, target: usize): void {
  const gate = v128.load(gateUp)
  const up = v128.load(gateUp, 32)
  const power = f32x4.mul(gate, f32x4.splat(-1.4426950408889634))
  const bounded = f32x4.min(f32x4.max(power, f32x4.splat(-125)), f32x4.splat(126))
  const divisor = f32x4.add(f32x4.splat(1), exp2(bounded))
  v128.store(target, f32x4.mul(f32x4.div(gate, divisor), up))
}

/** Copies a row, and says whether it has a number that is not finite. */
export function copyChecked(source: usize, target: usize, bytes: i32): bool {
  let sum = f32x4.splat(0)
  for (let at = 0; at < bytes; at += 16) {
    const x = v128.load(source + at)
    v128.store(target + at, x)
    // 0 for every finite number, else not a number.
    sum = f32x4.add(sum, f32x4.mul(x, f32x4.splat(0)))
  }
  return !(sumOfFour(sum) == 0)
}
