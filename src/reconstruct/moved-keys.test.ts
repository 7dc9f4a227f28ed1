import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { Tensor } from '../core/safetensors.ts'
import { fromBfloat, fromHalf, toBfloat, toHalf } from '../core/half-floats.ts'
import { canMoveKeys, moveKeys } from './moved-keys.ts'

const LAYOUT = 'heads,tokens,headDim'

function keysOf(numbers: readonly number[], headDim: number): Tensor {
  const data = new Uint8Array(Float32Array.from(numbers).buffer)
  return { name: 'layers.0.k', dtype: 'F32', shape: [1, numbers.length / headDim, headDim], data }
}

function numbersOf({ data, dtype }: Tensor): readonly number[] {
  if (dtype === 'F32') return [...new Float32Array(data.slice().buffer)]
  return Array.from(new Uint16Array(data.slice().buffer), dtype === 'F16' ? fromHalf : fromBfloat)
}

/** RoPE as its paper writes it: a multiplication of complex numbers. */
function rope(numbers: readonly number[], headDim: number, { position, theta, isNeox }: Rope): readonly number[] {
  const turned = [...numbers]
  for (let head = 0; head < numbers.length; head += headDim)
    for (let pair = 0; pair < headDim / 2; pair++) {
      const at = head + (isNeox ? pair : 2 * pair)
      const other = head + (isNeox ? pair + headDim / 2 : 2 * pair + 1)
      const angle = position * Math.exp(((-2 * pair) / headDim) * Math.log(theta))
      const [x, y] = [numbers[at] ?? 0, numbers[other] ?? 0]
      turned[at] = x * Math.cos(angle) - y * Math.sin(angle)
      turned[other] = x * Math.sin(angle) + y * Math.cos(angle)
    }
  return turned
}

interface Rope {
  readonly position: number
  readonly theta: number
  readonly isNeox: boolean
}

const cases = fc
  .record({
    half: fc.integer({ min: 1, max: 8 }),
    heads: fc.integer({ min: 1, max: 4 }),
    theta: fc.constantFrom(10_000, 500_000, 1_000_000),
    isNeox: fc.boolean(),
    from: fc.nat(4000),
    to: fc.nat(4000),
  })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      numbers: fc.array(fc.double({ min: -4, max: 4, noNaN: true }), {
        minLength: 2 * shape.half * shape.heads,
        maxLength: 2 * shape.half * shape.heads,
      }),
    }),
  )

const encodingOf = ({ isNeox, theta }: { readonly isNeox: boolean; readonly theta: number }): string =>
  `${isNeox ? 'rope-neox' : 'rope'}:${theta}`

function greatest(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length)
  return Math.max(...a.map((number, index) => Math.abs(number - (b[index] ?? Number.NaN))))
}

describe('moved keys', () => {
  test('are what RoPE makes at the other position', () => {
    fc.assert(
      fc.property(cases, ({ shape, numbers }) => {
        const { half, from, to } = shape
        const before = rope(numbers, 2 * half, { ...shape, position: from })
        const form = { dtype: 'F32', layout: LAYOUT, positionEncoding: encodingOf(shape) }
        const moved = numbersOf(moveKeys(keysOf(before, 2 * half), form, to - from))
        expect(greatest(moved, rope(numbers, 2 * half, { ...shape, position: to }))).toBeLessThan(1e-5 / 8)
      }),
      { numRuns: runs(300) },
    )
  })

  test('are the keys again when they are moved back', () => {
    fc.assert(
      fc.property(cases, ({ shape, numbers }) => {
        const form = { dtype: 'F32', layout: LAYOUT, positionEncoding: encodingOf(shape) }
        const keys = keysOf(numbers, 2 * shape.half)
        const delta = shape.to - shape.from
        const back = moveKeys(moveKeys(keys, form, delta), form, -delta)
        // Numbers are at most 4: two roundings of a number of that size.
        expect(greatest(numbersOf(back), numbersOf(keys))).toBeLessThan(1e-6)
      }),
      { numRuns: runs(300) },
    )
  })

  test.each([
    ['F16', toHalf, 2 ** -9],
    ['BF16', toBfloat, 2 ** -6],
  ] as const)('of %s are as near as its numbers are', (dtype, write, most) => {
    const numbers = Array.from({ length: 64 }, (_, index) => Math.sin(index * 1.7) * 2)
    const rounded = Uint16Array.from(numbers, write)
    const keys: Tensor = { name: 'layers.0.k', dtype, shape: [2, 4, 8], data: new Uint8Array(rounded.buffer) }
    const moved = moveKeys(keys, { dtype, layout: LAYOUT, positionEncoding: 'rope:10000' }, 37)
    const expected = rope(numbersOf(keys), 8, { position: 37, theta: 10_000, isNeox: false })
    expect(greatest(numbersOf(moved), expected)).toBeLessThan(most)
    expect(numbersOf(moved)).not.toEqual(numbersOf(keys))
  })

  test('are copies, also of bytes that lie anywhere', () => {
    const bytes = new Uint8Array(33)
    bytes.set(new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer), 1)
    const keys: Tensor = { name: 'layers.0.k', dtype: 'F32', shape: [1, 2, 4], data: bytes.subarray(1) }
    const before = bytes.slice()
    const moved = moveKeys(keys, { dtype: 'F32', layout: LAYOUT, positionEncoding: 'rope:10000' }, 0)
    expect(numbersOf(moved)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    moveKeys(keys, { dtype: 'F32', layout: LAYOUT, positionEncoding: 'rope:10000' }, 9)
    expect(bytes).toEqual(before)
  })

  test.each([
    ['F32', LAYOUT, 'rope:10000', true],
    ['F16', 'tokens,heads,headDim', 'rope-neox:1000000', true],
    ['BF16', LAYOUT, 'rope:1e+6', true],
    ['F8_E4M3', LAYOUT, 'rope:10000', false],
    ['F32', 'heads,headDim,tokens', 'rope:10000', false],
    ['F32', LAYOUT, 'simulated', false],
    ['F32', LAYOUT, 'none', false],
    ['F32', LAYOUT, 'rope:0', false],
    ['F32', LAYOUT, 'rope:10000:yarn', false],
  ])('of %s, %s, %s can be had: %j', (dtype, layout, positionEncoding, isMovable) => {
    const form = { dtype, layout, positionEncoding }
    expect(canMoveKeys(form)).toBe(isMovable)
    const keys: Tensor = {
      name: 'layers.0.k',
      dtype: dtype as Tensor['dtype'],
      shape: [1, 1, 4],
      data: new Uint8Array(16),
    }
    if (isMovable) expect(moveKeys(keys, form, 3).data.length).toBe(16)
    else expect(() => moveKeys(keys, form, 3)).toThrow(expect.objectContaining({ code: 'INVALID_FRAGMENT' }))
  })
})

describe('numbers of 16 bits', () => {
  test('are written as they were read, all of them', () => {
    const all = Array.from({ length: 65_536 }, (_, bits) => bits)
    const wrong = (read: (bits: number) => number, write: (number: number) => number): readonly number[] =>
      all.filter((bits) => !Number.isNaN(read(bits)) && write(read(bits)) !== bits)
    expect(wrong(fromHalf, toHalf)).toEqual([])
    expect(wrong(fromBfloat, toBfloat)).toEqual([])
    expect(fromHalf(0x3c00)).toBe(1)
    expect(fromHalf(0x7bff)).toBe(65_504)
    expect(fromBfloat(0x3fc0)).toBe(1.5)
    expect(fromHalf(toHalf(Number.NaN))).toBeNaN()
    expect(fromBfloat(toBfloat(Number.NaN))).toBeNaN()
  })

  test('are rounded to the nearest, of two to the even one', () => {
    const number = fc.double({ min: -70_000, max: 70_000, noNaN: true })
    fc.assert(
      fc.property(number, (given) => {
        const exact = Math.fround(given)
        const bits = toHalf(exact)
        const error = Math.abs(fromHalf(bits) - exact)
        if (Math.abs(exact) < 65_504) {
          expect(error).toBeLessThanOrEqual(Math.abs(fromHalf(bits + 1) - exact))
          if ((bits & 0x7fff) > 0) expect(error).toBeLessThanOrEqual(Math.abs(fromHalf(bits - 1) - exact))
        }
      }),
      { numRuns: runs(500) },
    )
    // Halfway between two neighbours.
    expect(toHalf(1 + 2 ** -11)).toBe(0x3c00)
    expect(toHalf(1 + 3 * 2 ** -11)).toBe(0x3c02)
    expect(toHalf(2 ** -25)).toBe(0)
    expect(toHalf(3 * 2 ** -25)).toBe(2)
    expect(toHalf(2 - 2 ** -12)).toBe(0x4000)
    expect(toHalf(65_519)).toBe(0x7bff)
    expect(toHalf(65_520)).toBe(0x7c00)
    expect(toBfloat(1 + 2 ** -8)).toBe(0x3f80)
    expect(toBfloat(1 + 3 * 2 ** -8)).toBe(0x3f82)
  })
})
