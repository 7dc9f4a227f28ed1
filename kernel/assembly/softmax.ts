/**
 * Turns the scores of one query into weights that are not yet divided by their sum. Scores are logarithms to the base 2:
 * queries were multiplied by the factor that makes them so.
 */
import { exp2, sumOfFour } from './exp'

/**
 * The first `count` scores count; those after them, up to `width` (a multiple of 8), become 0. Returns the sum, which is
 * made in an order that depends on places alone: zeros after the last score do not change it.
 */
export function softmax(scores: usize, count: i32, width: i32): f32 {
  const whole = count & ~3
  let highest = f32x4.splat(-Infinity)
  for (let at = 0; at < whole * 4; at += 16) highest = f32x4.max(highest, v128.load(scores + at))
  let top = max(
    max(f32x4.extract_lane(highest, 0), f32x4.extract_lane(highest, 1)),
    max(f32x4.extract_lane(highest, 2), f32x4.extract_lane(highest, 3)),
  )
  for (let key = whole; key < count; key++) top = max(top, load<f32>(scores + key * 4))
  // Scores behind the last one may be anything: they are made small first.
  for (let key = count; key < width; key++) store<f32>(scores + key * 4, top)

  const shift = f32x4.splat(top)
  let even = f32x4.splat(0)
  let odd = even
  const full = count & ~7
  for (let at = 0; at < full * 4; at += 32) {
    const x = weightOf(v128.load(scores + at), shift)
    const y = weightOf(v128.load(scores + at, 16), shift)
    v128.store(scores + at, x)
    v128.store(scores + at, y, 16)
    even = f32x4.add(even, x)
    odd = f32x4.add(odd, y)
  }
  if (full < count) {
    const at = scores + full * 4
    const x = v128.and(weightOf(v128.load(at), shift), firstOf(count - full))
    const y = v128.and(weightOf(v128.load(at, 16), shift), firstOf(count - full - 4))
    v128.store(at, x)
    v128.store(at, y, 16)
    even = f32x4.add(even, x)
    odd = f32x4.add(odd, y)
  }
  for (let key = (count + 7) & ~7; key < width; key += 4) v128.store(scores + key * 4, f32x4.splat(0))
  return sumOfFour(f32x4.add(even, odd))
}

/** 2^-125 of the highest, where it is less: too little to be seen in a sum. */
// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
function weightOf(score: v128, shift: v128): v128 {
  return exp2(f32x4.max(f32x4.sub(score, shift), f32x4.splat(-125)))
}

/** A mask of the first `count` of four. */
// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
function firstOf(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count))
}
