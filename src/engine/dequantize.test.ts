import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { quantize } from '../../test/gguf-writer.ts'
import { fromHalf } from '../core/half-floats.ts'
import { dequantize } from './dequantize.ts'
import type { GgufTensor } from './gguf.ts'

const tensorOf = (type: GgufTensor['type'], elements: number, data: Uint8Array): GgufTensor => ({
  name: 'weights',
  shape: [elements],
  type,
  data: new Uint8Array(data),
})

describe('a number of 16 bits', () => {
  test.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0x3555, 0.333251953125],
    [0xc000, -2],
    [0x7bff, 65_504],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
    [0x7c01, Number.NaN],
  ])('is what IEEE 754 says: %i', (bits, value) => {
    expect(fromHalf(bits)).toBe(value)
  })

  test('grows with its bits, by as much as its exponent says', () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const step = bits + 1 === 0x7c00 ? Number.POSITIVE_INFINITY : 2 ** (Math.max(bits >> 10, 1) - 25)
      expect(fromHalf(bits + 1) - fromHalf(bits)).toBe(step)
      expect(fromHalf(bits | 0x8000)).toBe(-fromHalf(bits))
    }
  })
})

describe('dequantize', () => {
  test('copies F32 bit by bit, a NaN with its payload too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (data) => {
        const into = new Float32Array(16)
        dequantize(tensorOf('F32', 16, data), into)
        expect(new Uint8Array(into.buffer)).toEqual(data)
      }),
    )
  })

  test('gives every F16 as it is', () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, index) => index)
    const into = new Float32Array(65_536)
    dequantize(tensorOf('F16', 65_536, new Uint8Array(bits.buffer)), into)
    expect(into).toEqual(Float32Array.from(bits, fromHalf))
    const back = new Uint16Array(quantize('F16', into).buffer)
    const differing = bits.filter((value, index) => (value & 0x7fff) <= 0x7c00 && back[index] !== value)
    expect(differing).toEqual(new Uint16Array(0))
  })

  test('multiplies the scale of each block of Q8_0 with its own 32 integers', () => {
    const data = new Uint8Array(68)
    const view = new DataView(data.buffer)
    view.setUint16(0, 0x3555, true)
    view.setUint16(34, 0x0001, true)
    for (let index = 0; index < 32; index++) {
      view.setInt8(2 + index, index - 128)
      view.setInt8(36 + index, 127 - index)
    }
    const into = new Float32Array(64)
    dequantize(tensorOf('Q8_0', 64, data), into)
    const expected = Float32Array.from({ length: 64 }, (_, index) =>
      index < 32 ? (index - 128) * 0.333251953125 : (127 - (index - 32)) * 2 ** -24,
    )
    expect(into).toEqual(expected)
  })

  test('is off by half a step of the scale at most after quantizing', () => {
    const values = fc.float32Array({ minLength: 32, maxLength: 32, min: -1000, max: 1000, noNaN: true })
    fc.assert(
      fc.property(values, (numbers) => {
        const into = new Float32Array(32)
        dequantize(tensorOf('Q8_0', 32, quantize('Q8_0', numbers)), into)
        const greatest = numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
        into.forEach((value, index) => {
          // Half a step, and what rounding the scale to 16 bits adds.
          expect(Math.abs(value - (numbers[index] ?? 0))).toBeLessThanOrEqual(
            greatest / 254 + greatest / 1024 + 2 ** -17,
          )
        })
      }),
    )
  })

  test('refuses room of another size', () => {
    expect(() => dequantize(tensorOf('F32', 16, new Uint8Array(64)), new Float32Array(15))).toThrow('Bug')
  })
})
