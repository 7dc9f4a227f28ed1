/** Powers of two of four numbers, to about 1e-7 of the result: `x` is at least -125 and at most 126. */
import { madd } from './madd'

/** 1.5 * 2^23: a number to which it is added is rounded to a whole one, which then stands in the last bits. */
const ROUNDER: f32 = 12582912

// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
export function exp2(x: v128): v128 {
  // 2^x = 2^n 2^f, with n whole and f at most a half, exactly.
  const rounded = f32x4.add(x, f32x4.splat(ROUNDER))
  const f = f32x4.sub(x, f32x4.sub(rounded, f32x4.splat(ROUNDER)))
  // The polynomial of degree 6 whose largest relative error is least: 1.9e-9.
  let p = madd(f32x4.splat(0.0001534581242594868), f, f32x4.splat(0.0013399930903688073))
  p = madd(p, f, f32x4.splat(0.009618489071726799))
  p = madd(p, f, f32x4.splat(0.05550328642129898))
  p = madd(p, f, f32x4.splat(0.24022646248340607))
  p = madd(p, f, f32x4.splat(0.6931471824645996))
  p = madd(p, f, f32x4.splat(1))
  // Adds n to the exponent.
  return i32x4.add(p, i32x4.shl(rounded, 23))
}

/** The four numbers added in one fixed order. */
// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
export function sumOfFour(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 2) + (f32x4.extract_lane(x, 1) + f32x4.extract_lane(x, 3))
}
