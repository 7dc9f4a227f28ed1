import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { bytesFromMib, gbpsFromBytesPerSecond } from '../core/units.ts'
import { PAPER_EXTRAPOLATIONS } from './paper.ts'
import { preset } from './presets.ts'
import { compileProfile, kvRateBytesPerSecond, type LatencyProfileData, type ProfileData } from './profile.ts'
import { minimumEgressBytesPerSecond } from './throughput.ts'

const MEASURED: LatencyProfileData = {
  kind: 'latency',
  name: 'mine',
  model: 'a model',
  hardware: '8 x H200',
  gpusPerInstance: 8,
  source: 'a test',
  origin: 'measured',
  kv: { fixedBytes: 1000, bytesPerToken: 10 },
  prefill: {
    points: [
      { tokens: 1000, seconds: 0.5 },
      { tokens: 8000, seconds: 1 },
    ],
    interpolation: 'linear',
    below: 'extrapolate',
    above: 'extrapolate',
  },
}

type Prefill = LatencyProfileData['prefill']

function withPrefill(change: Partial<Prefill>): LatencyProfileData {
  return { ...MEASURED, prefill: { ...MEASURED.prefill, ...change } }
}

function withPoints(...points: Prefill['points']): LatencyProfileData {
  return withPrefill({ points })
}

function errorOf(attempt: () => unknown): MembraneError {
  try {
    attempt()
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('expected an error')
}

describe('a profile that cannot be used', () => {
  const good = MEASURED.prefill.points
  it.each<readonly [string, LatencyProfileData, string]>([
    ['no points', withPoints(), 'expected at least two points, found 0'],
    ['one point', withPoints({ tokens: 1000, seconds: 0.5 }), 'expected at least two points, found 1'],
    [
      'unsorted points',
      withPoints({ tokens: 8000, seconds: 1 }, { tokens: 1000, seconds: 0.5 }),
      'points must ascend in tokens, but point 2 (1000) follows 8000',
    ],
    [
      'the same length twice',
      withPoints(...good, { tokens: 8000, seconds: 2 }),
      'points must ascend in tokens, but point 3 (8000) follows 8000',
    ],
    ['negative tokens', withPoints({ tokens: -1, seconds: 0.5 }, ...good), 'point 1 needs tokens above 0, found -1'],
    ['zero tokens', withPoints({ tokens: 0, seconds: 0.5 }, ...good), 'point 1 needs tokens above 0, found 0'],
    ['NaN tokens', withPoints(...good, { tokens: Number.NaN, seconds: 1 }), 'point 3 needs tokens above 0, found NaN'],
    [
      'endless tokens',
      withPoints(...good, { tokens: Number.POSITIVE_INFINITY, seconds: 1 }),
      'point 3 needs tokens above 0, found Infinity',
    ],
    [
      'negative seconds',
      withPoints({ tokens: 500, seconds: -1 }, ...good),
      'the point at 500 tokens needs seconds above 0, found -1',
    ],
    [
      'zero seconds',
      withPoints({ tokens: 500, seconds: 0 }, ...good),
      'the point at 500 tokens needs seconds above 0, found 0',
    ],
    [
      'NaN seconds',
      withPoints({ tokens: 500, seconds: Number.NaN }, ...good),
      'the point at 500 tokens needs seconds above 0, found NaN',
    ],
    [
      'more points than there may be',
      withPoints(...Array.from({ length: 4097 }, (_, k) => ({ tokens: k + 1, seconds: 1 }))),
      'expected at most 4096 points, found 4097',
    ],
    [
      'no KV bytes at all',
      { ...MEASURED, kv: undefined },
      'the point at 1000 tokens has no kvBytes, and the profile has no kv rule',
    ],
    [
      'KV bytes at one point only',
      {
        ...withPoints({ tokens: 1000, seconds: 0.5, kvBytes: 1e6 }, { tokens: 8000, seconds: 1 }),
        kv: undefined,
      },
      'the point at 8000 tokens has no kvBytes, and the profile has no kv rule',
    ],
    [
      'zero KV bytes at a point',
      {
        ...withPoints({ tokens: 1000, seconds: 0.5, kvBytes: 0 }, { tokens: 8000, seconds: 1, kvBytes: 1 }),
        kv: undefined,
      },
      'the point at 1000 tokens needs kvBytes above 0, found 0',
    ],
    [
      'a negative KV rule',
      { ...MEASURED, kv: { fixedBytes: -1, bytesPerToken: 10 } },
      'kv needs finite fixedBytes and bytesPerToken of at least 0 and not both 0, found -1 and 10',
    ],
    ['an empty KV rule', { ...MEASURED, kv: { fixedBytes: 0, bytesPerToken: 0 } }, 'not both 0, found 0 and 0'],
    ['a NaN KV rule', { ...MEASURED, kv: { fixedBytes: 1, bytesPerToken: Number.NaN } }, 'found 1 and NaN'],
  ])('with %s says what was expected', (_, data, message) => {
    const error = errorOf(() => compileProfile(data))
    expect(error.code).toBe('INVALID_PROFILE')
    expect(error.message).toContain('Profile "mine": ')
    expect(error.message).toContain(message)
    expect(error.details['profile']).toBe('mine')
  })

  it('because its line goes below zero under the first point says so, and what to set', () => {
    const error = errorOf(() =>
      compileProfile(withPoints({ tokens: 1000, seconds: 0.1 }, { tokens: 2000, seconds: 0.5 })),
    )
    expect(error.code).toBe('INVALID_PROFILE')
    expect(error.message).toContain(
      'its linear curve is not above 0 at 1 tokens, below the measured range 1000 to 2000',
    )
    expect(error.remedy).toContain('"below": "hold"')
  })

  it('because its line falls to zero above the last point says so, and what to set', () => {
    const error = errorOf(() =>
      compileProfile(withPoints({ tokens: 1000, seconds: 1 }, { tokens: 2000, seconds: 0.5 })),
    )
    expect(error.code).toBe('INVALID_PROFILE')
    expect(error.message).toContain('not above 0 at 8000 tokens, above the measured range')
    expect(error.remedy).toContain('"above": "hold"')
  })

  it('because a parabola dips below zero between its points says so', () => {
    const data = withPrefill({
      points: [
        { tokens: 1, seconds: 3 },
        { tokens: 5000, seconds: 0.01 },
        { tokens: 5001, seconds: 0.01 },
        { tokens: 5002, seconds: 0.01 },
        { tokens: 10_000, seconds: 0.9 },
      ],
      interpolation: 'least-squares-quadratic',
      below: 'hold',
      above: 'hold',
    })
    const error = errorOf(() => compileProfile(data))
    expect(error.message).toContain('inside the measured range')
    expect(error.remedy).toContain('another interpolation')
  })

  it('because KV bytes continued downward turn negative says so', () => {
    const data: LatencyProfileData = {
      ...withPoints({ tokens: 1000, seconds: 0.5, kvBytes: 100 }, { tokens: 2000, seconds: 0.6, kvBytes: 900 }),
      kv: undefined,
    }
    expect(errorOf(() => compileProfile(data)).code).toBe('INVALID_PROFILE')
  })

  it('because it holds only rates says where rates are enough', () => {
    const error = errorOf(() => compileProfile(preset('ring-2.5-1t').remote.profile))
    expect(error.code).toBe('OUT_OF_DOMAIN')
    expect(error.message).toContain('Profile "ring-2.5-1t-h200" holds only KV rates')
    expect(error.remedy).toContain('membrane egress')
  })
})

describe('a profile that can be used', () => {
  it('has both curves and the range that was measured', () => {
    const { prefillSeconds, kvBytes, measuredTokens } = compileProfile(MEASURED)
    expect(prefillSeconds.at(4500)).toBeCloseTo(0.75, 12)
    expect([kvBytes.at(0), kvBytes.at(1), kvBytes.at(500)]).toEqual([1000, 1010, 6000])
    expect(measuredTokens).toEqual({ min: 1000, max: 8000 })
  })

  it('joins measured KV bytes by straight lines, whatever joins the seconds', () => {
    const data: LatencyProfileData = {
      ...withPrefill({
        points: [
          { tokens: 1000, seconds: 0.5, kvBytes: 2e6 },
          { tokens: 3000, seconds: 0.6, kvBytes: 4e6 },
          { tokens: 8000, seconds: 1, kvBytes: 14e6 },
        ],
        interpolation: 'log-log-cubic',
        below: 'hold',
        above: 'hold',
      }),
      kv: undefined,
    }
    const { kvBytes } = compileProfile(data)
    expect([1, 1000, 2000, 3000, 5500, 8000, 9000].map((tokens) => kvBytes.at(tokens))).toEqual([
      1_001_000, 2e6, 3e6, 4e6, 9e6, 14e6, 16e6,
    ])
  })

  it('may hold its values outside where a line would leave the positive', () => {
    const falling = withPrefill({
      points: [
        { tokens: 1000, seconds: 1 },
        { tokens: 2000, seconds: 0.5 },
      ],
      above: 'hold',
    })
    expect(compileProfile(falling).prefillSeconds.at(1_000_000)).toBe(0.5)
  })
})

describe('KV throughput, Eq. (1)', () => {
  const gbps = (data: ProfileData, tokens: number): number => gbpsFromBytesPerSecond(kvRateBytesPerSecond(data, tokens))

  it.each([
    [1024, 190.8, '3.61'],
    [8192, 308.9, '3.59'],
    [32_000, 701.3, '3.19'],
    [130_000, 2316.3, '2.62'],
  ])('of the calibrated profile at %d tokens is Table 5: %d MiB and %s Gbps', (tokens, mib, printed) => {
    const data = preset('case-study').remote.profile
    const { kvBytes } = compileProfile(data)
    expect(Math.abs(kvBytes.at(tokens) - bytesFromMib(mib))).toBeLessThan(bytesFromMib(0.051))
    expect(gbps(data, tokens).toFixed(2)).toBe(printed)
  })

  const TABLE3: readonly (readonly [string, readonly number[]])[] = [
    ['kimi-linear', [1.19, 2.29, 3.87, 4.88]],
    ['mimo-v2-flash', [0.82, 2.85, 4.66, 4.71]],
    ['qwen3.5-397b', [4.13, 6.28, 8.25, 7.47]],
    ['ring-2.5-1t', [7.27, 4.47, 2.59, 1.46]],
    ['minimax-m2.5', [4.94, 32.87, 59.93, 47.82]],
    ['qwen3-235b', [4.12, 22.42, 33.35, 21.5]],
  ]

  it.each(TABLE3)('of %s is Table 3 at its four lengths', (name, rates) => {
    const data = preset(name).remote.profile
    for (const [k, tokens] of [1024, 8192, 32_768, 131_072].entries()) {
      expect(gbps(data, tokens)).toBeCloseTo(rates[k] ?? 0, 9)
    }
  })

  it.each(PAPER_EXTRAPOLATIONS)('of $gpus GPUs of $preset at $tokens tokens is $claim, Eq. (2)', (claim) => {
    const kvBytesPerSecond = kvRateBytesPerSecond(preset(claim.preset).remote.profile, claim.tokens)
    const needed = gbpsFromBytesPerSecond(
      minimumEgressBytesPerSecond({ gpus: claim.gpus, gpusPerInstance: 8, kvBytesPerSecond }),
    )
    if (claim.kind === 'below') expect(needed).toBeLessThan(claim.statedGbps)
    // The text rounds 166 to "about 170".
    else expect(Math.abs(needed / claim.statedGbps - 1)).toBeLessThan(0.026)
  })

  it('between rates is a straight line, and outside them an error that names the range', () => {
    const ring = preset('ring-2.5-1t').remote.profile
    expect(gbps(ring, (1024 + 8192) / 2)).toBeCloseTo((7.27 + 4.47) / 2, 9)
    for (const tokens of [1023, 131_073]) {
      const error = errorOf(() => kvRateBytesPerSecond(ring, tokens))
      expect(error.code).toBe('OUT_OF_DOMAIN')
      expect(error.message).toContain(`has rates for 1024 to 131072 tokens, asked for ${tokens}`)
    }
  })

  it.each([0, 0.5, -3, Number.NaN, Number.POSITIVE_INFINITY])('of %d tokens is refused', (tokens) => {
    expect(errorOf(() => kvRateBytesPerSecond(MEASURED, tokens)).code).toBe('INVALID_REQUEST')
  })

  it('of rates that are not usable is refused', () => {
    const ring = preset('ring-2.5-1t').remote.profile
    if (ring.kind !== 'rate-only') throw new Error('rates expected')
    const bad = { ...ring, points: ring.points.toReversed() }
    expect(errorOf(() => kvRateBytesPerSecond(bad, 2000)).message).toContain('points must ascend in tokens')
  })
})

describe('what once went wrong', () => {
  it('infinite KV bytes are refused', () => {
    expect(() =>
      compileProfile({
        ...preset('case-study').remote.profile,
        kv: { fixedBytes: Infinity, bytesPerToken: 1 },
      } as never),
    ).toThrow('kv needs')
  })
})
