/** How fast the machine could be: multiplications and additions that wait for nothing and touch no memory. */
import { madd } from './madd'

/** Makes `steps` steps of 12 sums, as many as a tile has, of 4 numbers each, and returns something that depends on all of them. */
export function peak(steps: i32, factor: f32): f32 {
  // No constants, and no two sums alike: compilers would make the ones anew for every use, and join the others.
  const a = f32x4.splat(factor)
  const b = f32x4.splat(factor * factor)
  let s0 = f32x4.splat(factor * 1)
  let s1 = f32x4.splat(factor * 2)
  let s2 = f32x4.splat(factor * 3)
  let s3 = f32x4.splat(factor * 4)
  let s4 = f32x4.splat(factor * 5)
  let s5 = f32x4.splat(factor * 6)
  let s6 = f32x4.splat(factor * 7)
  let s7 = f32x4.splat(factor * 8)
  let s8 = f32x4.splat(factor * 9)
  let s9 = f32x4.splat(factor * 10)
  let s10 = f32x4.splat(factor * 11)
  let s11 = f32x4.splat(factor * 12)
  for (let step = 0; step < steps; step++) {
    s0 = madd(a, b, s0)
    s1 = madd(a, b, s1)
    s2 = madd(a, b, s2)
    s3 = madd(a, b, s3)
    s4 = madd(a, b, s4)
    s5 = madd(a, b, s5)
    s6 = madd(a, b, s6)
    s7 = madd(a, b, s7)
    s8 = madd(a, b, s8)
    s9 = madd(a, b, s9)
    s10 = madd(a, b, s10)
    s11 = madd(a, b, s11)
  }
  const first = f32x4.add(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)), f32x4.add(s4, s5))
  const second = f32x4.add(f32x4.add(f32x4.add(s6, s7), f32x4.add(s8, s9)), f32x4.add(s10, s11))
  return f32x4.extract_lane(f32x4.add(first, second), 0)
}
