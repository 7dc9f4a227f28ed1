import { describe, expect, it } from 'vitest'
import { analyze } from './analysis.ts'
import { ASSUMPTION_IDS } from './assumptions.ts'
import { optimize } from './optimize.ts'
import { listPresets, preset, presetProfiles } from './presets.ts'
import { compileProfile } from './profile.ts'

const RATE_ONLY = ['kimi-linear', 'ring-2.5-1t']

describe('presets', () => {
  it('are named once each and described', () => {
    const names = listPresets().map(({ name }) => name)
    expect(names.slice(0, 2)).toEqual(['case-study', 'case-study-table5'])
    expect(new Set(names).size).toBe(names.length)
    for (const { name, summary } of listPresets()) {
      expect(summary.length).toBeGreaterThan(10)
      expect(preset(name).name).toBe(name)
    }
  })

  it('of an unknown name are an error that lists the known ones', () => {
    for (const name of ['nope', 'toString', '__proto__', '']) {
      expect(() => preset(name)).toThrow(expect.objectContaining({ code: 'UNKNOWN_PRESET' }))
    }
    expect(() => preset('nope')).toThrow(expect.objectContaining({ remedy: expect.stringContaining('case-study, ') }))
  })

  it.each(listPresets().map(({ name }) => name))('%s is answered whole, or says that it holds only rates', (name) => {
    if (RATE_ONLY.includes(name)) {
      expect(() => optimize(preset(name))).toThrow(expect.objectContaining({ code: 'OUT_OF_DOMAIN' }))
      return
    }
    const { optimization, verdict } = analyze(preset(name))
    expect(JSON.stringify(optimization)).not.toMatch(/NaN|Infinity/)
    expect(verdict.sentence).not.toMatch(/NaN|Infinity|undefined|null/)
    // Every preset that is not the paper's own says what it rests on.
    const known = optimization.assumptions.filter(({ id }) => ASSUMPTION_IDS.some((other) => other === id))
    expect(known.length).toBeGreaterThan(5)
    expect(optimization.assumptions.every(({ statement, reason }) => statement !== '' && reason !== '')).toBe(true)
  })

  it('have profiles of different names, each with its source', () => {
    const profiles = presetProfiles()
    expect(new Set(profiles.map(({ name }) => name)).size).toBe(profiles.length)
    expect(profiles.every(({ source }) => /arXiv:2604\.15039v2|splitwise-sim/.test(source))).toBe(true)
  })
})

describe('the dense models of Table 3 (paper.md 7.6)', () => {
  it.each([
    ['minimax-m2.5', 1024, 0.24, 0.42],
    ['minimax-m2.5', 8192, 1.94, 0.51],
    ['minimax-m2.5', 32_768, 7.75, 1.11],
    ['minimax-m2.5', 131_072, 31, 5.57],
    ['qwen3-235b', 1024, 0.18, 0.38],
    ['qwen3-235b', 8192, 1.47, 0.56],
    ['qwen3-235b', 32_768, 5.88, 1.51],
    ['qwen3-235b', 131_072, 23.5, 9.39],
  ])('%s at %d tokens has %d GiB of KV after %d s', (name, tokens, gib, seconds) => {
    const profile = compileProfile(preset(name).remote.profile)
    expect(Math.abs(profile.kvBytes.at(tokens) / 2 ** 30 - gib)).toBeLessThan(0.0051)
    expect(Math.abs(profile.prefillSeconds.at(tokens) - seconds)).toBeLessThan(0.0051)
  })
})

describe('the assumptions of a preset', () => {
  /** Numbers that the paper does not print, each with the assumption that has to be named beside it. */
  it.each([
    [
      'case-study',
      [
        'h200-knots',
        'table5-lengths',
        'table5-latencies',
        'kv-affine',
        'h20-profile',
        'decode-constants',
        'upper-cut',
        'threshold-unit',
        'homogeneous-size',
      ],
    ],
    [
      'case-study-table5',
      ['table5-lengths-1000', 'kv-affine', 'h20-profile', 'decode-constants', 'upper-cut', 'threshold-unit'],
    ],
    ['minimax-m2.5', ['table3-prefill', 'table3-decode', 'table3-deployment', 'homogeneous-size']],
    ['llama2-70b', ['llama2-70b-decode', 'llama2-70b-deployment', 'homogeneous-size']],
  ])('%s are all listed', (name, ids) => {
    const listed = optimize(preset(name)).assumptions.map(({ id }) => id)
    for (const id of ids) expect(listed).toContain(id)
  })

  it('follow the question: hits, bounds', () => {
    const spec = preset('case-study')
    const idsOf = (change: object): string[] => optimize({ ...spec, ...change }).assumptions.map(({ id }) => id)
    expect(idsOf({})).toContain('prefix-hits-none')
    const hits = idsOf({ workload: { ...spec.workload, prefixHitRatio: 0.3 } })
    expect(hits).toContain('prefix-hits-scale')
    expect(hits).not.toContain('prefix-hits-none')
    expect(idsOf({ slo: { ttftSecondsP90: 6 } })).toEqual(expect.arrayContaining(['queue-waits', 'burst-splitting']))
    expect(idsOf({ slo: { tpotSeconds: 0.03 } })).toContain('tpot-bound')
    expect(idsOf({})).not.toContain('queue-waits')
  })
})
