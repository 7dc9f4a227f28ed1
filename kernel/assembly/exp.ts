/** e to the power of four numbers, to about 1e-7 of the result. Numbers outside -87.3 to 88 count as these. */
import { madd } from './madd'

// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
export function exp(x: v128): v128 {
  const bounded = f32x4.min(f32x4.max(x, f32x4.splat(-87.3)), f32x4.splat(88))
  // e^x = 2^n e^r, with n whole and r at most half of ln 2. ln 2 is taken off in two parts, so that nothing is lost.
  const n = f32x4.nearest(f32x4.mul(bounded, f32x4.splat(1.44269504)))
  const r = madd(n, f32x4.splat(2.12194440e-4), madd(n, f32x4.splat(-0.693359375), bounded))
  // Cephes' polynomial (expf).
  let p = madd(f32x4.splat(1.9875691500e-4), r, f32x4.splat(1.3981999507e-3))
  p = madd(p, r, f32x4.splat(8.3334519073e-3))
  p = madd(p, r, f32x4.splat(4.1665795894e-2))
  p = madd(p, r, f32x4.splat(1.6666665459e-1))
  p = madd(p, r, f32x4.splat(5.0000001201e-1))
  p = madd(p, f32x4.mul(r, r), f32x4.add(r, f32x4.splat(1)))
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23)
  return f32x4.mul(p, power)
}

/** The four numbers added in one fixed order. */
// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
export function sumOfFour(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 2) + (f32x4.extract_lane(x, 1) + f32x4.extract_lane(x, 3))
}
