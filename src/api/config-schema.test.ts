import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { parseConfig } from './config-schema.ts'

const LOG_NORMAL = { kind: 'log-normal', mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 }

function errorOf(value: unknown): MembraneError {
  try {
    parseConfig(value, 'c.yaml')
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('expected an error')
}

describe('a configuration', () => {
  it('may be empty, or not there at all', () => {
    expect(parseConfig({}, 'c.yaml')).toEqual({})
    expect(parseConfig(null, 'c.yaml')).toEqual({})
    expect(parseConfig(undefined, 'c.yaml')).toEqual({})
  })

  it('with everything in it is taken as it stands', () => {
    const config = {
      preset: 'case-study',
      name: 'ours',
      remote: { profile: 'hybrid-1t-h200', instances: 4, pricePerGpuHour: 2 },
      local: {
        profile: './h20.yaml',
        instances: 8,
        pricePerGpuHour: 1,
        decode: {
          batchMax: 20,
          stepSeconds: { fixed: 0.025, perSequence: 0, perContextToken: 0 },
          source: 'x',
          origin: 'assumed',
        },
      },
      homogeneousInstances: 12,
      link: { gbps: 100, pricePerGigabyte: 0 },
      workload: {
        input: {
          kind: 'mixture',
          components: [
            { weight: 3, input: LOG_NORMAL },
            {
              weight: 1,
              input: { kind: 'mixture', components: [{ weight: 1, input: { kind: 'fixed', tokens: 512 } }] },
            },
            { weight: 1, input: { kind: 'trace', file: 't.jsonl', prefixHits: 'ceiling' } },
          ],
        },
        outputTokens: 1024,
        prefixHitRatio: 0.5,
        burstiness: 4,
      },
      slo: { ttftSecondsP90: 6, tpotSeconds: 0.04 },
    }
    expect(parseConfig(config, 'c.yaml')).toEqual(config)
  })

  it('may hold a profile whole', () => {
    const profile = {
      name: 'mine',
      model: 'm',
      hardware: 'h',
      gpusPerInstance: 8,
      source: 's',
      prefill: {
        points: [
          { tokens: 1, seconds: 1 },
          { tokens: 2, seconds: 2 },
        ],
      },
      kv: { fixedBytes: 0, bytesPerToken: 1 },
    }
    expect(parseConfig({ remote: { profile } }, 'c.yaml').remote?.profile).toMatchObject({
      kind: 'latency',
      name: 'mine',
    })
  })

  it.each<readonly [string, unknown, string, string]>([
    ['an unknown key', { linkGbps: 100 }, '', 'unrecognized key: "linkGbps"'],
    ['an unknown key further in', { link: { Gbps: 100 } }, 'link', 'unrecognized key: "Gbps"'],
    ['text for a number', { link: { gbps: '100' } }, 'link.gbps', 'expected number, received string'],
    ['a link of zero', { link: { gbps: 0 } }, 'link.gbps', 'expected number to be >0'],
    ['a negative price', { link: { pricePerGigabyte: -1 } }, 'link.pricePerGigabyte', '>=0'],
    ['half an instance', { remote: { instances: 1.5 } }, 'remote.instances', 'int'],
    ['too many instances', { local: { instances: 5000 } }, 'local.instances', '<=4096'],
    ['a baseline of one', { homogeneousInstances: 1 }, 'homogeneousInstances', '>=2'],
    ['all prompts cached', { workload: { prefixHitRatio: 1 } }, 'workload.prefixHitRatio', '<1'],
    ['no burstiness', { workload: { burstiness: 0 } }, 'workload.burstiness', '>0'],
    ['an unknown kind of input', { workload: { input: { kind: 'normal' } } }, 'workload.input.kind', 'input'],
    [
      'a log-normal without sigma',
      { workload: { input: { ...LOG_NORMAL, sigma: undefined } } },
      'workload.input.sigma',
      'is missing',
    ],
    [
      'tokens as text',
      { workload: { input: { kind: 'fixed', tokens: '8k' } } },
      'workload.input.tokens',
      'received string',
    ],
    [
      'an empty mixture',
      { workload: { input: { kind: 'mixture', components: [] } } },
      'workload.input.components',
      '>=1 items',
    ],
    [
      'a bad part of a mixture',
      { workload: { input: { kind: 'mixture', components: [{ weight: 1, input: { ...LOG_NORMAL, sigma: 0 } }] } } },
      'workload.input.components[0].input.sigma',
      '>0',
    ],
    [
      'an unknown prefix mode',
      { workload: { input: { kind: 'trace', file: 'x', prefixHits: 'all' } } },
      'workload.input.prefixHits',
      '"ceiling"',
    ],
    ['a bound of zero', { slo: { ttftSecondsP90: 0 } }, 'slo.ttftSecondsP90', '>0'],
    ['a number for a preset', { preset: 3 }, 'preset', 'expected string, received number'],
    ['a profile that misses its points', { remote: { profile: { name: 'x' } } }, 'remote.profile', ''],
  ])('with %s is refused, with its place and what was expected', (_, value, path, message) => {
    const error = errorOf(value)
    expect(error.code).toBe('INVALID_CONFIG')
    expect(error.message).toContain(path === '' ? 'c.yaml: the document: ' : `c.yaml: ${path}`)
    expect(error.message).toContain(message)
    expect(error.details['where']).toBe('c.yaml')
  })

  it.each([3, 'text', [], false])('that is %o is refused whole', (value) => {
    expect(errorOf(value).message).toMatch(/^c\.yaml: the document: expected object, received /)
  })
})
