/**
 * a * b + c with one rounding, of four numbers each: the one operation that all sums are made of. Where the build has
 * relaxed SIMD it is the machine's own instruction, which the host checks to round once; else the same bits are made of
 * 64-bit arithmetic, about sixty times slower.
 */
// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c)
  const low = maddTwo(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(b), f64x2.promote_low_f32x4(c))
  const high = maddTwo(highTwo(a), highTwo(b), highTwo(c))
  return i64x2.shuffle(low, high, 0, 2)
}

// @ts-ignore: decorators on functions are AssemblyScript's.
@inline
function highTwo(a: v128): v128 {
  return f64x2.promote_low_f32x4(i64x2.shuffle(a, a, 1, 1))
}

/**
 * The product of two 32-bit floats is exact in 64 bits. The sum is rounded to odd: what was cut off is kept in the last
 * bit, so that rounding once more, to 32 bits, is the same as rounding the exact sum (Boldo and Melquiond, 2008).
 */
function maddTwo(a: v128, b: v128, c: v128): v128 {
  const product = f64x2.mul(a, b)
  const sum = f64x2.add(product, c)
  // What the addition cut off, exactly (Knuth's two-sum). Not a number beside an infinity, where nothing is to be mended.
  const back = f64x2.sub(sum, product)
  const error = f64x2.add(f64x2.sub(product, f64x2.sub(sum, back)), f64x2.sub(c, back))
  const zero = f64x2.splat(0)
  const isInexact = v128.or(f64x2.gt(error, zero), f64x2.lt(error, zero))
  const one = i64x2.splat(1)
  const isEven = i64x2.sub(v128.and(sum, one), one)
  // Towards what was cut off: away from zero when it has the sum's sign.
  const step = v128.or(i64x2.shr_s(v128.xor(sum, error), 63), one)
  const odd = i64x2.add(sum, v128.and(step, v128.and(isInexact, isEven)))
  return f32x4.demote_f64x2_zero(odd)
}
