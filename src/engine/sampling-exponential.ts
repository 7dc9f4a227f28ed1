/**
 * e^x from additions, multiplications and bits alone, which IEEE 754 fixes to the last one: `Math.exp` differs between
 * JavaScript engines, and a token that is drawn must not.
 */

/** ln 2 in two parts: the first has zeros at its end, so that whole multiples of it up to 1,100 are exact. */
const LN2_HIGH = 0.693_147_180_369_123_8
const LN2_LOW = 1.908_214_929_270_587_7e-10
/** Below, the result is less than any normal number, and 0 is given. */
const LEAST = -708
/** 1/13!, 1/12!, …, 1/0!: the next term is below 2^-57 where |r| is at most ln 2 / 2. */
const TERMS = Float64Array.from({ length: 14 }, (_, index) => 1 / factorial(13 - index))

function factorial(n: number): number {
  let product = 1
  for (let factor = 2; factor <= n; factor++) product *= factor
  return product
}

const words = new Uint32Array(2)
const power = new Float64Array(words.buffer)
/** Which of the two holds the exponent. */
const HIGH = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0

/** For x of at most 0; within 2 units in the last place. */
export function exponentialOf(x: number): number {
  if (x < LEAST) return 0
  const twos = Math.round(x * Math.LOG2E)
  const rest = x - twos * LN2_HIGH - twos * LN2_LOW
  let value = 0
  for (let index = 0; index < TERMS.length; index++) value = value * rest + (TERMS[index] ?? 0)
  words[HIGH] = (twos + 1023) << 20
  return value * (power[0] ?? 0)
}
