import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { openCommand, PROGRAM, ROOT } from './command.ts'

const { folder, write, membrane, json } = openCommand('cli')

describe('optimize --json', () => {
  test('prints exactly the published shape', () => {
    const answer = json('optimize', '--preset', 'case-study')
    expect(Object.keys(answer)).toEqual(['deployments', 'ratios', 'assumptions'])
    expect(answer.deployments.map((d: { name: string }) => d.name)).toEqual([
      'membrane-pd',
      'homogeneous-pd',
      'naive-heterogeneous-pd',
    ])
    for (const deployment of answer.deployments) {
      expect(Object.keys(deployment)).toEqual([
        'name',
        'thresholdTokens',
        'instances',
        'throughputRps',
        'lambdaMaxRps',
        'sloFeasibleRps',
        'ttftSeconds',
        'egressGbps',
        'offloadedRatio',
        'bindingConstraint',
      ])
    }
    const [membranePd, homogeneous, naive] = answer.deployments
    expect(membranePd).toMatchObject({
      thresholdTokens: 19_405,
      instances: { remotePrefill: 4, localPrefill: 3, decode: 5 },
      sloFeasibleRps: null,
    })
    expect(membranePd.egressGbps).toBeCloseTo(12.35, 2)
    expect(homogeneous).toMatchObject({
      thresholdTokens: null,
      instances: { remotePrefill: null, localPrefill: 9, decode: 3 },
    })
    expect(naive).toMatchObject({
      thresholdTokens: null,
      instances: { remotePrefill: 4, localPrefill: null, decode: 8 },
    })
    expect(Object.keys(answer.ratios)).toEqual(['overHomogeneous', 'overNaive'])
    expect(Object.keys(answer.assumptions[0])).toEqual(['id', 'origin', 'statement', 'reason'])
  })

  test('prints the same bytes every time', () => {
    expect(membrane('optimize', '--json').out).toBe(membrane('optimize', '--json').out)
  })

  test('warns of lengths outside the measured range on standard error, naming profile and source', () => {
    const { err } = membrane('optimize', '--json')
    expect(err).toMatch(/warning: profile "hybrid-1t-h200" was measured from 1024 to 130000 tokens: .* Source: arXiv/)
  })

  test('an SLO adds a rate, a TTFT bound out of reach exits 2 and names the stage and the excess', () => {
    const rate = json('optimize', '--slo-ttft-p90', '6').deployments[0].sloFeasibleRps
    expect(rate).toBeGreaterThan(2.5)
    expect(rate).toBeLessThan(3.2)
    const failed = membrane('optimize', '--slo-ttft-p90', '3', '--json')
    expect(failed.code).toBe(2)
    expect(JSON.parse(failed.out).error).toMatchObject({
      code: 'INFEASIBLE',
      details: { stage: 'remote-prefill', boundSeconds: 3 },
    })
    expect(failed.err).toMatch(/remote-prefill is too slow.*0\.510 s over/)
    expect(failed.err).not.toMatch(/\n\s+at /)
  })
})

describe('configuration', () => {
  test.for(['--json', ''])('what --print-config %s prints gives the same answer when it is read again', (format) => {
    const flags = [
      '--link-gbps',
      '20',
      '--slo-ttft-p90',
      '7',
      '--remote-price',
      '3',
      '--local-price',
      '2',
      '--prefix-hits',
      '0.2',
    ]
    const printed = membrane('optimize', ...flags, '--print-config', ...(format === '' ? [] : [format]))
    expect(printed.code).toBe(0)
    const path = write('printed.yaml', printed.out)
    expect(json('optimize', '--config', path).deployments).toEqual(json('optimize', ...flags).deployments)
  })

  test('a flag overrides the file, and files named in it are relative to it', () => {
    const scenario = join(ROOT, 'examples/scenario.yaml')
    const wide = json('optimize', '--config', scenario).deployments[0]
    const narrow = json('optimize', '--config', scenario, '--link-gbps', '20').deployments[0]
    expect(narrow.egressGbps).toBeLessThanOrEqual(20)
    expect(narrow.sloFeasibleRps).toBeLessThan(wide.sloFeasibleRps)
  })

  test('replacing a part drops what the preset assumed of it', () => {
    const ids = (answer: { assumptions: { id: string }[] }) => answer.assumptions.map(({ id }) => id)
    expect(ids(json('optimize'))).toContain('h20-profile')
    expect(ids(json('optimize', '--local-profile', join(ROOT, 'examples/h20.json')))).not.toContain('h20-profile')
  })

  test('the published schemas are printed', () => {
    expect(json('config', '--schema', 'profile')).toEqual(
      JSON.parse(readFileSync(join(ROOT, 'schemas/profile.schema.json'), 'utf8')),
    )
  })
})

describe('bad input is one sentence that says what was expected, exit 1', () => {
  const profile = (points: unknown, extra: object = {}) =>
    JSON.stringify({
      name: 'p',
      model: 'm',
      hardware: 'h',
      gpusPerInstance: 8,
      source: 's',
      prefill: { points },
      kv: { fixedBytes: 0, bytesPerToken: 1000 },
      ...extra,
    })
  const good = [
    { tokens: 1000, seconds: 1 },
    { tokens: 2000, seconds: 2 },
  ]
  test.for<[name: string, content: string | Buffer, message: RegExp]>([
    ['empty.json', profile([]), /empty\.json: prefill\.points: .*>=2 items/],
    ['unsorted.json', profile([...good].reverse()), /must ascend in tokens/],
    [
      'negative.json',
      profile([{ tokens: 1000, seconds: -1 }, ...good.slice(1)]),
      /prefill\.points\[0\]\.seconds: .*>0/,
    ],
    [
      'nan.yaml',
      profile(good).replace('"seconds":1}', '"seconds":.nan}'),
      /prefill\.points\[0\]\.seconds: expected number, received NaN/,
    ],
    ['unknown.json', profile(good, { kvv: 1 }), /unrecognized key: "kvv"/],
    ['broken.json', '{ "name": ', /broken\.json:\d+:\d+: .*expected a hardware profile in YAML or JSON/],
    [
      'below.json',
      profile([
        { tokens: 1000, seconds: 0.1 },
        { tokens: 2000, seconds: 2 },
      ]),
      /not above 0 at 1 tokens.*Set "below": "hold"/,
    ],
  ])('%s', ([name, content, message]) => {
    const { code, out, err } = membrane('optimize', '--remote-profile', write(name, content))
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(message)
    expect(err).not.toMatch(/\n\s+at /)
  })

  test.for<[words: string[], message: RegExp]>([
    [['optimize', '--preset', 'nope'], /no preset "nope".*case-study, case-study-table5, .*llama2-70b/],
    [['optimize', '--preset', 'kimi-linear'], /holds only KV rates.*membrane egress/],
    [['optimize', '--link-gbps', '0'], /link\.gbps must be a number above 0/],
    [['optimize', '--remote-instances', '0'], /remote\.instances must be a whole number from 1/],
    [['optimize', '--local-instances', '1'], /local\.instances must be a whole number from 2/],
    [['optimize', '--min-tokens', '9', '--max-tokens', '3'], /0 < minTokens < maxTokens/],
    [['optimize', '--link-gbps', 'NaN'], /Expected a number/],
    [['optimize', '--fixed-tokens', '9', '--mu', '3'], /Lengths come from one place/],
    [['optimize', '--prefix-hits', '1.5'], /ratio from 0 to below 1/],
    [['optimize', '--config', 'absent.yaml'], /absent\.yaml does not exist; expected a Membrane scenario/],
    [['plan', '--rate', '0'], /above 0 requests per second/],
    [
      ['egress', '--preset', 'ring-2.5-1t', '--tokens', '200000'],
      /has rates for 1024 to 131072 tokens, asked for 200000/,
    ],
    [['trace', 'analyze', 'absent.jsonl'], /absent\.jsonl: found no such file/],
    [['nonsense'], /unknown command 'nonsense'/],
    [['ls', '--token=hunter2'], /^membrane: unknown option '--token': (?!.*hunter2).*MEMBRANE_TOKEN/],
  ])('%s', ([words, message]) => {
    const { code, out, err } = membrane(...words)
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(message)
  })

  test('--debug adds the stack', () => {
    expect(membrane('optimize', '--preset', 'nope', '--debug').err).toMatch(/\n\s+at /)
  })
})

describe('traces', () => {
  const lines = [
    '{"timestamp": 0, "input_length": 600, "output_length": 10, "hash_ids": [0, 1]}',
    '{"timestamp": 90000, "input_length": 700, "output_length": 30, "hash_ids": [0, 2]}',
    '{"timestamp": 180000, "input_length": 600, "output_length": 20, "hash_ids": [0, 1]}',
  ]

  test('analyze prints exactly the published shape, gzipped or not', () => {
    const plain = json('trace', 'analyze', write('t.jsonl', lines.join('\n')))
    expect(Object.keys(plain)).toEqual([
      'requests',
      'durationSeconds',
      'inputTokens',
      'outputTokens',
      'requestsPerSecond',
      'dispersion60s',
      'prefixHitRatioMax',
      'logNormalFit',
    ])
    expect(plain).toMatchObject({
      requests: 3,
      durationSeconds: 180,
      inputTokens: { mean: 633.333333, p50: 600, max: 700 },
    })
    // The second request finds block 0 (512 tokens), the third both of its blocks (600 tokens).
    expect(plain.prefixHitRatioMax.tokens).toBeCloseTo((512 + 600) / 1900, 8)
    expect(plain.prefixHitRatioMax.blocks).toBeCloseTo(3 / 6, 8)
    expect(json('trace', 'analyze', write('t.gz', gzipSync(lines.join('\n'))))).toEqual(plain)
  })

  test('a damaged file or line says where and what was expected', () => {
    const cut = gzipSync(lines.join('\n')).subarray(0, 60)
    expect(membrane('trace', 'analyze', write('cut.gz', cut)).err).toMatch(/cut\.gz: .*expected a whole gzip file/)
    const bad = [lines[0], lines[1]?.replace('700', '-7')].join('\n')
    expect(membrane('trace', 'analyze', write('bad.jsonl', bad)).err).toMatch(/bad\.jsonl:2:\d+: .*-7.*expected/)
  })

  test('a generated trace is the same for the same seed and can be asked about', () => {
    const generate = ['trace', 'generate', '--requests', '500', '--rate', '5', '--seed']
    const first = membrane(...generate, '3').out
    expect(membrane(...generate, '3').out).toBe(first)
    expect(membrane(...generate, '4').out).not.toBe(first)
    const path = write('generated.jsonl', first)
    expect(json('trace', 'analyze', path)).toMatchObject({ requests: 500, outputTokens: { mean: 1024 } })
    expect(json('optimize', '--trace', path).deployments[0].lambdaMaxRps).toBeGreaterThan(2)
  })

  test('prefix hits of a trace shorten the prompts', () => {
    const path = write('hits.jsonl', lines.join('\n'))
    const none = json('optimize', '--trace', path).deployments[1].lambdaMaxRps
    const ceiling = json('optimize', '--trace', path, '--prefix-hits', 'ceiling')
    expect(ceiling.deployments[1].lambdaMaxRps).toBeGreaterThanOrEqual(none)
    expect(ceiling.assumptions.map(({ id }: { id: string }) => id)).toContain('prefix-hits-ceiling')
  })
})

describe('the other commands', () => {
  test('plan finds the least hardware', () => {
    const answer = json('plan', '--rate', '3.2')
    expect(answer.best.gpus).toMatchObject({ total: 88, arithmetic: '5x8 + 6x8' })
    expect(answer.best.deployment.lambdaMaxRps).toBeGreaterThanOrEqual(3.2)
  })

  test('compare names both', () => {
    expect(membrane('compare', 'case-study', 'case-study-table5').out).toMatch(
      /case-study-table5 serves 1\.00 times the rate of case-study/,
    )
  })

  test('egress reproduces an extrapolation of the paper', () => {
    expect(json('egress', '--preset', 'minimax-m2.5', '--gpus', '512', '--tokens', '32768').egressGbps).toBeCloseTo(
      3835.52,
      2,
    )
  })

  test('demo paper ends by itself, within 0.5 % of Table 6, and every command it names reproduces its number', () => {
    const demo = json('demo', 'paper', '--out', join(folder, 'demo.html'))
    for (const { paper, calibrated, quantity } of demo.table6) {
      expect(Math.abs(calibrated / paper - 1), quantity).toBeLessThan(0.005)
    }
    // What the paper's table leaves out.
    const { ttftSecondsP90, quotedTtftSecondsP90, halfWidth95, command: simulate } = demo.underLoad
    expect(ttftSecondsP90).toBeGreaterThan(2 * quotedTtftSecondsP90)
    const steady = json(...simulate.split(' ').slice(1), '--scheduler', 'fixed')
    expect(Math.abs(ttftSecondsP90 - steady.ttftSeconds.p90)).toBeLessThan(
      halfWidth95 + steady.ttftSeconds.p90HalfWidth95,
    )
    for (const { command, gbps } of demo.extrapolations)
      expect(json(...command.split(' ').slice(1)).egressGbps).toBe(gbps)
    expect(readFileSync(join(folder, 'demo.html'), 'utf8')).toMatch(/^<!doctype html>/i)
  })

  test('demo without a name runs them all', () => {
    const { code, out } = membrane('demo')
    expect(code).toBe(0)
    expect(out).toMatch(/Largest deviation: 0\.\d\d % calibrated/)
    expect(out).toMatch(/At 86 % of Lambda_max, 2\.79 req\/s, the simulated P90 TTFT .* times the quoted 3\.51 s\./)
  })

  test('--version and --help exit 0, and every command has --json in its help', () => {
    expect(membrane('--version').out).toBe(`${JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version}\n`)
    const names = [...membrane('--help').out.matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name = '']) => name)
    expect(names.length).toBeGreaterThanOrEqual(10)
    for (const name of names) expect(membrane(name, '--help').out, name).toMatch(/--json/)
  })

  test('a reader that closes early is no failure', () => {
    const script = `"${process.execPath}" "${PROGRAM}" presets --json | head -1; exit \${PIPESTATUS[0]}`
    const { status, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })

  test('bash completes commands, flags and presets', () => {
    const complete = (line: string) => {
      const words = line.split(' ')
      const script = `${membrane('completion', 'bash').out}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})\nCOMP_CWORD=${words.length - 1}\n_membrane\necho "\${COMPREPLY[*]}"`
      return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim().split(' ')
    }
    expect(complete('membrane op')).toEqual(['optimize'])
    expect(complete('membrane optimize --link')).toEqual(['--link-gbps'])
    expect(complete('membrane optimize --preset llama')).toEqual(['llama2-70b'])
    expect(complete('membrane trace ')).toContain('analyze')
  })
})

describe('generate', () => {
  test('runs the model that comes along, and the second time reuses what the first has kept', () => {
    const prompt = 'Package: libmemcache-dev\nSection: libdevel\nSummary: development files for libmemcache\n\n'
    const words = ['generate', '--data-dir', 'data', '--prompt', prompt, '--max-tokens', '8', '--threads', '1']
    const [first, second] = [json(...words), json(...words)]
    expect(first).toMatchObject({ reusedTokens: 0, tokens: 8 })
    expect(second.reusedTokens).toBeGreaterThan(0)
    expect(second).toMatchObject({ text: first.text, kvHash: first.kvHash })
  })
})

describe('validate', () => {
  test('exits 0 with every row near theory', () => {
    const rows = json('validate', '--quick', '--seed', '11')
    expect(rows.length).toBeGreaterThan(150)
    for (const row of rows) {
      const { system, load, quantity, theory, simulated, standardError, z } = row
      const name = `${system} at ${load}: ${quantity}`
      expect(Math.abs(z), name).toBeLessThan(4)
      expect((simulated - theory) / standardError, name).toBeCloseTo(z, 3)
      expect(standardError / theory, name).toBeLessThan(0.15)
      expect(row.batches, name).toBeGreaterThanOrEqual(30)
      expect(row.seeds).toEqual([1, 2, 3, 11])
    }
    expect(membrane('validate', '--workers', '0').err).toMatch(/--workers must be from 1 to 256, found 0/)
    expect(membrane('validate', '--seed', '2').err).toMatch(/--seed must not be 2, which is one of the fixed seeds/)
  })
})
