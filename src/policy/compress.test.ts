import { describe, expect, test } from 'vitest'
import { CompressionChoice, compressionGain, type CompressionRates } from './compress.ts'

const GBPS = 1e9 / 8
/** As measured: exponents through zstd at level 1. */
const RATES: CompressionRates = {
  linkBytesPerSecond: GBPS,
  compressBytesPerSecond: 0.7e9,
  decompressBytesPerSecond: 1.5e9,
  ratio: 1.431,
  isPipelined: false,
}

describe('compression', () => {
  test.each([
    ['one chunk, compressed for it', { isPipelined: false }, (1 - 1 / 1.431) / (1 / 0.7e9 + 1 / 1.5e9)],
    ['one chunk, kept compressed', { isPipelined: false, compressBytesPerSecond: Infinity }, (1 - 1 / 1.431) * 1.5e9],
    ['chunks, compressed for it', { isPipelined: true }, 0.7e9],
    ['chunks, kept compressed', { isPipelined: true, compressBytesPerSecond: Infinity }, 1.5e9],
  ])('pays on links up to a speed that is known: %s', (_, given, linkBytesPerSecond) => {
    const gain = (link: number): number => compressionGain({ ...RATES, ...given, linkBytesPerSecond: link })
    expect(gain(0.99 * linkBytesPerSecond)).toBeGreaterThan(1)
    expect(gain(1.01 * linkBytesPerSecond)).toBeLessThan(1)
    expect(gain(1)).toBeCloseTo(1.431)
  })

  test('is begun when it clearly pays and stopped when it hardly does, not in between', () => {
    const choice = new CompressionChoice()
    const at = (gbps: number): boolean => choice.choose('BF16', { ...RATES, linkBytesPerSecond: gbps * GBPS })
    expect([1, 0.9, 0.4, 0.9, 1, 1.4, 0.9].map(at)).toEqual([false, false, true, true, true, false, false])
  })

  test('is never for int8, nor for what does not shrink, which change nothing for the link', () => {
    const choice = new CompressionChoice()
    const slow = { ...RATES, linkBytesPerSecond: 0.01 * GBPS }
    expect(choice.choose('F16', slow)).toBe(true)
    for (const dtype of ['I8', 'F8_E4M3', 'F32']) expect(choice.choose(dtype, { ...slow, ratio: 3 })).toBe(false)
    for (const ratio of [1.05, 0.9, Number.NaN]) expect(choice.choose('F16', { ...slow, ratio })).toBe(false)
    expect(choice.isOn).toBe(true)
  })
})
