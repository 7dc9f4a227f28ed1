/** Sixteen-point Gauss-Legendre nodes and weights on [-1, 1]: exact for polynomials up to degree 31. */
export const GAUSS_NODES: readonly number[] = mirrored(
  [
    0.0950125098376374402, 0.281603550779258913, 0.458016777657227386, 0.617876244402643748, 0.755404408355003034,
    0.865631202387831744, 0.944575023073232576, 0.989400934991649933,
  ],
  -1,
)
export const GAUSS_WEIGHTS: readonly number[] = mirrored(
  [
    0.189450610455068496, 0.182603415044923589, 0.169156519395002538, 0.149595988816576732, 0.124628971255533872,
    0.0951585116824927848, 0.0622535239386478929, 0.0271524594117540949,
  ],
  1,
)

function mirrored(half: readonly number[], sign: 1 | -1): number[] {
  return [...half.map((value) => sign * value).reverse(), ...half]
}

/** Integral of a smooth function over [from, to]. */
export function integrate(f: (x: number) => number, from: number, to: number): number {
  const centre = (from + to) / 2
  const half = (to - from) / 2
  let sum = 0
  for (const [k, node] of GAUSS_NODES.entries()) sum += (GAUSS_WEIGHTS[k] ?? 0) * f(centre + half * node)
  return sum * half
}
