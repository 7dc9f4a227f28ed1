import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { listPresets, preset, presetProfiles } from '../planner/presets.ts'
import { compileProfile } from '../planner/profile.ts'
import { parseProfile } from './profile-schema.ts'

const POINTS = [
  { tokens: 1000, seconds: 0.5, kvBytes: 1e6 },
  { tokens: 8000, seconds: 1, kvBytes: 8e6 },
]
const MEASURED = {
  name: 'mine',
  model: 'a model',
  hardware: '8 x H200',
  gpusPerInstance: 8,
  source: 'a test',
  prefill: { points: POINTS },
}
const RATES = {
  kind: 'rate-only',
  name: 'rates',
  model: 'a model',
  hardware: '8 x H200',
  gpusPerInstance: 8,
  source: 'a test',
  points: [
    { tokens: 1000, kvGbps: 1 },
    { tokens: 8000, kvGbps: 2 },
  ],
}

function errorOf(value: unknown): MembraneError {
  try {
    parseProfile(value, 'p.json')
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('expected an error')
}

describe('a profile document', () => {
  it('as short as it may be is filled in: measured, joined by lines, extrapolated', () => {
    expect(parseProfile(MEASURED, 'p.json')).toEqual({
      ...MEASURED,
      kind: 'latency',
      origin: 'measured',
      prefill: { points: POINTS, interpolation: 'linear', below: 'extrapolate', above: 'extrapolate' },
    })
    expect(compileProfile(parseProfile(MEASURED, 'p.json')).prefillSeconds.at(4500)).toBeCloseTo(0.75, 12)
  })

  it('of rates only is read too', () => {
    expect(parseProfile(RATES, 'p.json')).toEqual({ ...RATES, origin: 'measured' })
  })

  it('of every preset is what it was after a trip through JSON', () => {
    for (const profile of presetProfiles()) {
      expect(parseProfile(JSON.parse(JSON.stringify(profile)), 'p.json')).toEqual(JSON.parse(JSON.stringify(profile)))
    }
    expect(listPresets().every(({ name }) => preset(name).remote.profile.name !== '')).toBe(true)
  })

  it('may hold how its hardware decodes, without the parts that are zero', () => {
    const decode = { batchMax: 20, stepSeconds: { fixed: 0.025 }, source: 'a test' }
    expect(parseProfile({ ...MEASURED, decode }, 'p.json')).toMatchObject({
      decode: { ...decode, origin: 'measured', stepSeconds: { fixed: 0.025, perSequence: 0, perContextToken: 0 } },
    })
  })

  const withPoint = (point: unknown): object => ({ ...MEASURED, prefill: { points: [POINTS[0], point] } })

  it.each<readonly [string, unknown, string, string]>([
    ['an unknown key', { ...MEASURED, notes: 'x' }, '', 'unrecognized key: "notes"'],
    ['an unknown key in a point', withPoint({ ...POINTS[1], ms: 5 }), 'prefill.points[1]', 'unrecognized key: "ms"'],
    [
      'text for seconds',
      withPoint({ tokens: 8000, seconds: '1' }),
      'prefill.points[1].seconds',
      'expected number, received string',
    ],
    ['no seconds', withPoint({ tokens: 8000 }), 'prefill.points[1].seconds', 'is missing, expected number'],
    [
      'negative seconds',
      withPoint({ tokens: 8000, seconds: -1 }),
      'prefill.points[1].seconds',
      'expected number to be >0',
    ],
    ['too many tokens', withPoint({ tokens: 2e8, seconds: 1 }), 'prefill.points[1].tokens', '<=100000000'],
    ['no KV of zero', withPoint({ tokens: 8000, seconds: 1, kvBytes: 0 }), 'prefill.points[1].kvBytes', '>0'],
    ['one point', { ...MEASURED, prefill: { points: [POINTS[0]] } }, 'prefill.points', '>=2 items'],
    [
      'an unknown interpolation',
      { ...MEASURED, prefill: { points: POINTS, interpolation: 'spline' } },
      'prefill.interpolation',
      '"monotone-cubic"',
    ],
    [
      'an unknown end rule',
      { ...MEASURED, prefill: { points: POINTS, below: 'clamp' } },
      'prefill.below',
      '"extrapolate"',
    ],
    ['an unknown origin', { ...MEASURED, origin: 'guessed' }, 'origin', '"inferred"'],
    ['no GPUs', { ...MEASURED, gpusPerInstance: 0 }, 'gpusPerInstance', '>0'],
    ['half a GPU', { ...MEASURED, gpusPerInstance: 0.5 }, 'gpusPerInstance', 'int'],
    ['an empty name', { ...MEASURED, name: '' }, 'name', '>=1 character'],
    ['no source', { ...MEASURED, source: undefined }, 'source', 'is missing, expected string'],
    ['a negative KV rule', { ...MEASURED, kv: { fixedBytes: -1, bytesPerToken: 1 } }, 'kv.fixedBytes', '>=0'],
    ['half a KV rule', { ...MEASURED, kv: { fixedBytes: 1 } }, 'kv.bytesPerToken', 'is missing, expected number'],
    [
      'a bad decode batch',
      { ...MEASURED, decode: { batchMax: 0, stepSeconds: { fixed: 1 }, source: 'x' } },
      'decode.batchMax',
      '>0',
    ],
    ['a bad rate', { ...RATES, points: [RATES.points[0], { tokens: 8000, kvGbps: 0 }] }, 'points[1].kvGbps', '>0'],
    [
      'seconds among rates',
      { ...RATES, points: [RATES.points[0], { tokens: 8000, seconds: 1 }] },
      'points[1]',
      'kvGbps',
    ],
  ])('with %s is refused, with its place and what was expected', (_, value, path, message) => {
    const error = errorOf(value)
    expect(error.code).toBe('INVALID_PROFILE')
    expect(error.message).toContain(path === '' ? 'p.json: the document: ' : `p.json: ${path}`)
    expect(error.message).toContain(message)
    expect(error.remedy).toContain('membrane config --schema')
  })

  it.each([null, 3, 'text', [], true])('that is %o is refused whole', (value) => {
    expect(errorOf(value).message).toMatch(/^p\.json: the document: /)
  })

  it('counts the other problems', () => {
    expect(errorOf({ ...MEASURED, name: undefined, model: undefined, hardware: undefined }).message).toMatch(
      /^p\.json: name: .*\(and 2 more\)\.$/,
    )
  })
})

describe('what once went wrong', () => {
  it('a rate-only profile without source is told about source', () => {
    const { source: _, ...rest } = preset('ring-2.5-1t').remote.profile
    expect(() => parseProfile(rest, 'p')).toThrow('p: source: ')
  })
})
