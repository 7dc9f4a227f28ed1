import { describe, expect, it } from 'vitest'
import { parseProfile } from '../api/profile-schema.ts'
import { calibratedProfile, decodeProfileOf, idlePrefillSeconds, prefillPoints } from './calibrate-profile.ts'
import { DEFAULT_ENGINE_OPTIONS } from './engine-options.ts'
import { simulateEngine } from './engine-sim.ts'
import { compileProfile } from './profile.ts'

const STEP = {
  fixed: 0.01,
  perSequence: 1e-4,
  perContextToken: 1e-7,
  withPrefill: 0.02,
  perPrefillToken: 4e-5,
  perPrefillPair: 5e-9,
}

describe('idle prefill', () => {
  it('is what the simulated engine needs for one prompt, cut where its budget ends', () => {
    for (const tokens of [1, 100, 2048, 2049, 10_000]) {
      const one = {
        arrivalSeconds: Float64Array.of(0),
        inputTokens: Int32Array.of(tokens),
        outputTokens: Int32Array.of(1),
      }
      const { firstTokenSeconds } = simulateEngine(one, DEFAULT_ENGINE_OPTIONS, STEP)
      expect(idlePrefillSeconds(STEP, 2048, tokens)).toBeCloseTo(firstTokenSeconds[0] ?? 0, 12)
    }
  })

  it('is told at powers of two between the shortest and the longest prompt', () => {
    const lengths = (...inputs: number[]) =>
      prefillPoints(STEP, 2048, Int32Array.from(inputs)).map(({ tokens }) => tokens)
    expect(lengths(100, 700, 300)).toEqual([100, 128, 256, 512, 700])
    expect(lengths(128, 512)).toEqual([128, 256, 512])
    expect(lengths(90, 90)).toEqual([90, 180])
    expect(lengths(1)).toEqual([1, 2])
  })
})

describe('a calibrated profile', () => {
  it('is one that the planner takes', () => {
    const engine = { ...DEFAULT_ENGINE_OPTIONS, kvTokensMax: 400_000 }
    const calibration = {
      prefill: prefillPoints(STEP, 2048, Int32Array.of(10, 5000)),
      decode: decodeProfileOf(STEP, engine, 'fitted to somewhat'),
    }
    const words = { name: 'n', model: 'm', hardware: 'h', gpusPerInstance: 2 }
    const data = parseProfile(
      JSON.parse(JSON.stringify(calibratedProfile({ ...words, kvBytesPerToken: 131_072 }, calibration))),
      'here',
    )
    expect(data).toMatchObject({
      ...words,
      origin: 'inferred',
      source: 'fitted to somewhat',
      decode: {
        batchMax: 128,
        kvTokensMax: 400_000,
        stepSeconds: { fixed: 0.01, perSequence: 1e-4, perContextToken: 1e-7 },
      },
    })
    const profile = compileProfile(data)
    expect(profile.prefillSeconds.at(1024)).toBeCloseTo(idlePrefillSeconds(STEP, 2048, 1024), 12)
    expect(profile.kvBytes.at(1000)).toBe(131_072_000)
  })
})
