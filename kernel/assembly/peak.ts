/** How fast the machine could be: multiplications and additions that wait for nothing and touch no memory. */
import { madd } from './madd'

/** Makes `steps` steps of 12 sums, as many as a tile has, of 4 numbers each, and returns something that depends on all of them. */
export function peak(steps: i32): f32 {
  const a = f32x4.splat(0.999)
  const b = f32x4.splat(0.001)
  let s0 = b
  let s1 = b
  let s2 = b
  let s3 = b
  let s4 = b
  let s5 = b
  let s6 = b
  let s7 = b
  let s8 = b
  let s9 = b
  let s10 = b
  let s11 = b
  for (let step = 0; step < steps; step++) {
    s0 = madd(s0, a, b)
    s1 = madd(s1, a, b)
    s2 = madd(s2, a, b)
    s3 = madd(s3, a, b)
    s4 = madd(s4, a, b)
    s5 = madd(s5, a, b)
    s6 = madd(s6, a, b)
    s7 = madd(s7, a, b)
    s8 = madd(s8, a, b)
    s9 = madd(s9, a, b)
    s10 = madd(s10, a, b)
    s11 = madd(s11, a, b)
  }
  const first = f32x4.add(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)), f32x4.add(s4, s5))
  const second = f32x4.add(f32x4.add(f32x4.add(s6, s7), f32x4.add(s8, s9)), f32x4.add(s10, s11))
  return f32x4.extract_lane(f32x4.add(first, second), 0)
}
