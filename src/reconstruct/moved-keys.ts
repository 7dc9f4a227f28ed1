/**
 * Keys at other positions. An engine turns each pair of numbers of a key by an angle that grows with its position (RoPE)
 * before it keeps it; moving a key by some tokens turns each pair by the angle between the two positions. Values have no
 * position. The turn is exact but for rounding; that what stood before the tokens has changed, no turn makes up for.
 */
import { MembraneError } from '../core/errors.ts'
import type { StructuralSignature } from '../core/fragment.ts'
import type { Tensor } from '../core/safetensors.ts'
import { fromBfloat, fromHalf, toBfloat, toHalf } from '../core/half-floats.ts'

/** What has to be known of keys to move them. */
export type KeyForm = Pick<StructuralSignature, 'dtype' | 'layout' | 'positionEncoding'>

/** `pairs`: numbers 2i and 2i + 1 turn together; `halves`: i and i + d/2. */
interface Rotation {
  readonly style: 'pairs' | 'halves'
  readonly theta: number
}

/** Whether keys of this form can be moved: `rope:<theta>` or `rope-neox:<theta>`, of F32, F16 or BF16, a head's numbers last. */
export function canMoveKeys(form: KeyForm): boolean {
  return rotationOf(form.positionEncoding) !== null && isNumbersLast(form.layout) && isMovableDtype(form.dtype)
}

/**
 * A copy of keys as they are `deltaTokens` later, or earlier where that is negative. The sine and cosine are those of
 * 64-bit floats; F32 is rounded once, 16 bits by way of it. Throws INVALID_FRAGMENT for keys that cannot be moved.
 */
export function moveKeys(keys: Tensor, form: KeyForm, deltaTokens: number): Tensor {
  const rotation = rotationOf(form.positionEncoding)
  const headDim = keys.shape.at(-1) ?? 0
  if (rotation === null || !isNumbersLast(form.layout) || keys.dtype !== form.dtype || headDim % 2 !== 0)
    throw new MembraneError(
      'INVALID_FRAGMENT',
      `Keys that can be moved have positions rope:<theta> or rope-neox:<theta> and an even number of numbers as last axis; found ${form.positionEncoding}, ${form.layout}, ${keys.dtype} and ${headDim}.`,
    )
  const data = keys.data.slice()
  const turn = turnOf(rotation, headDim, deltaTokens)
  if (keys.dtype === 'F32') turnFloats(new Float32Array(data.buffer), turn)
  else if (keys.dtype === 'F16') turnWords(new Uint16Array(data.buffer), turn, fromHalf, toHalf)
  else if (keys.dtype === 'BF16') turnWords(new Uint16Array(data.buffer), turn, fromBfloat, toBfloat)
  else throw new MembraneError('INVALID_FRAGMENT', `Keys of F32, F16 or BF16 can be moved; found ${keys.dtype}.`)
  return { ...keys, data }
}

/** How the pairs of one head turn. */
interface Turn {
  readonly headDim: number
  /** Of pair i: where its first number lies, and how far behind it the second. */
  readonly step: number
  readonly distance: number
  readonly cosines: Float64Array
  readonly sines: Float64Array
}

function turnOf({ style, theta }: Rotation, headDim: number, deltaTokens: number): Turn {
  const half = headDim / 2
  const angles = Float64Array.from({ length: half }, (_, pair) => deltaTokens * theta ** ((-2 * pair) / headDim))
  return {
    headDim,
    step: style === 'pairs' ? 2 : 1,
    distance: style === 'pairs' ? 1 : half,
    cosines: angles.map(Math.cos),
    sines: angles.map(Math.sin),
  }
}

/** HOT: 10 ns a number. */
function turnFloats(numbers: Float32Array, { headDim, step, distance, cosines, sines }: Turn): void {
  const half = headDim / 2
  for (let head = 0; head < numbers.length; head += headDim) {
    for (let pair = 0; pair < half; pair++) {
      const at = head + step * pair
      const x = numbers[at] ?? 0
      const y = numbers[at + distance] ?? 0
      const cosine = cosines[pair] ?? 1
      const sine = sines[pair] ?? 0
      numbers[at] = x * cosine - y * sine
      numbers[at + distance] = x * sine + y * cosine
    }
  }
}

/** HOT: the same, of numbers that have to be taken apart: 30 ns a number. */
function turnWords(
  words: Uint16Array,
  turn: Turn,
  read: (bits: number) => number,
  write: (number: number) => number,
): void {
  const numbers = new Float64Array(turn.headDim)
  for (let head = 0; head < words.length; head += turn.headDim) {
    for (let index = 0; index < turn.headDim; index++) numbers[index] = read(words[head + index] ?? 0)
    for (let pair = 0; pair < turn.headDim / 2; pair++) {
      const at = turn.step * pair
      const x = numbers[at] ?? 0
      const y = numbers[at + turn.distance] ?? 0
      const cosine = turn.cosines[pair] ?? 1
      const sine = turn.sines[pair] ?? 0
      words[head + at] = write(x * cosine - y * sine)
      words[head + at + turn.distance] = write(x * sine + y * cosine)
    }
  }
}

function rotationOf(positionEncoding: string): Rotation | null {
  const match = /^(rope|rope-neox):(\d+(?:\.\d+)?(?:e\+?\d+)?)$/.exec(positionEncoding)
  const theta = Number(match?.[2])
  if (match === null || !(theta > 0)) return null
  return { style: match[1] === 'rope' ? 'pairs' : 'halves', theta }
}

function isNumbersLast(layout: string): boolean {
  const last = layout.split(',').at(-1)
  return last === 'headDim' || last === 'dim'
}

function isMovableDtype(dtype: string): boolean {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16'
}
