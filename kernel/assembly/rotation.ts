/**
 * Sines and cosines of the positions' angles, of 64-bit additions and multiplications alone: functions of the host
 * differ in the last bit from one machine to the next.
 */

/** Pi/2 in three parts of 33 bits: whole multiples below 2^20 of the first two are exact. */
const HALF_PI_1: f64 = 1.57079632673412561417
const HALF_PI_2: f64 = 6.07710050630396597660e-11
const HALF_PI_3: f64 = 2.02226624879595063154e-21

/** Writes the factors of one position: for the numbers of a head, cosines; then sines, negative for the first of a pair. */
export function writeRotation(position: i32, frequencies: usize, headDim: i32, target: usize): void {
  for (let pair = 0; pair < headDim / 2; pair++) {
    const angle = (position as f64) * load<f64>(frequencies + pair * 8)
    const quarter = nearest(angle * 0.63661977236758134308)
    const rest = angle - quarter * HALF_PI_1 - quarter * HALF_PI_2 - quarter * HALF_PI_3
    const sine = sineOf(rest)
    const cosine = cosineOf(rest)
    const turn = (quarter as i32) & 3
    const isSwapped = (turn & 1) == 1
    const s = (isSwapped ? cosine : sine) * (turn >= 2 ? -1.0 : 1.0)
    const c = (isSwapped ? sine : cosine) * (turn == 1 || turn == 2 ? -1.0 : 1.0)
    const at = target + pair * 8
    store<f32>(at, c as f32)
    store<f32>(at + 4, c as f32)
    store<f32>(at + headDim * 4, -s as f32)
    store<f32>(at + headDim * 4 + 4, s as f32)
  }
}

/** Turns the pairs (2i, 2i + 1) of one head, and multiplies them by `scale`. */
export function rotate(source: usize, rotation: usize, headDim: i32, scale: f32, target: usize): void {
  const factor = f32x4.splat(scale)
  for (let at = 0; at < headDim * 4; at += 16) {
    const x = v128.load(source + at)
    const swapped = i32x4.shuffle(x, x, 1, 0, 3, 2)
    const turned = f32x4.add(
      f32x4.mul(x, v128.load(rotation + at)),
      f32x4.mul(swapped, v128.load(rotation + headDim * 4 + at)),
    )
    v128.store(target + at, f32x4.mul(turned, factor))
  }
}

/** fdlibm's polynomials, for angles of at most pi/4. */
function sineOf(x: f64): f64 {
  const z = x * x
  const p =
    z * (8.33333333332248946124e-3 + z * (-1.98412698298579493134e-4 + z * (2.75573137070700676789e-6 + z * (-2.50507602534068634195e-8 + z * 1.58969099521155010221e-10))))
  return x + x * z * (-1.66666666666666324348e-1 + p)
}

function cosineOf(x: f64): f64 {
  const z = x * x
  const p =
    z * (4.16666666666666019037e-2 + z * (-1.38888888888741095749e-3 + z * (2.48015872894767294178e-5 + z * (-2.75573143513906633035e-7 + z * (2.08757232129817482790e-9 + z * -1.13596475577881948265e-11)))))
  return 1 - z * 0.5 + z * p
}
