import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'membrane-simulate-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** The built command, as a user runs it. */
function membrane(...words: readonly string[]): Run {
  const result = spawnSync(process.execPath, [join(ROOT, 'dist/cli/main.js'), ...words], {
    encoding: 'utf8',
    cwd: folder,
  })
  return { code: result.status, out: result.stdout, err: result.stderr }
}

/** JSON has no NaN: what is no number would stand there as null, so every null is looked at. */
function json(...words: readonly string[]): ReturnType<typeof JSON.parse> {
  const { code, out, err } = membrane(...words, '--json')
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
  const mayBeNull = new Set(['meanHalfWidth95', 'p90HalfWidth95', 'halfWidth95', 'boundPassedSeconds', 'cache'])
  return JSON.parse(out, (name, value: unknown) => {
    if (value === null) expect(mayBeNull).toContain(name)
    return value
  })
}

function refused(...words: readonly string[]): { readonly code: string; readonly message: string } {
  const { code, out, err } = membrane(...words, '--json')
  expect(code).toBe(1)
  expect(err).not.toMatch(/\n\s+at /)
  return JSON.parse(out).error
}

function write(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const caseStudy = ['simulate', '--preset', 'case-study'] as const

/** Without what the clock says. */
function steady(text: string): string {
  return text.replaceAll(/"(wallSeconds|requestsPerWallSecond)": [^,\n]*/g, '')
}

describe('simulate --json', () => {
  test('prints exactly the published shape', () => {
    const answer = json(...caseStudy, '--rate', '2.4', '--requests', '20000', '--seed', '1')
    expect(Object.keys(answer)).toEqual([
      'ttftSeconds',
      'firstTokenSeconds',
      'tpotSeconds',
      'e2eSeconds',
      'completedRps',
      'offloadedRatio',
      'egressGbps',
      'thresholdTokens',
      'stages',
      'verdict',
      'capacityRps',
      'inSystem',
      'cache',
      'repeatedPrefills',
      'copiedGigabytes',
      'requests',
      'replications',
      'seed',
      'wallSeconds',
      'requestsPerWallSecond',
    ])
    for (const name of ['ttftSeconds', 'firstTokenSeconds', 'tpotSeconds', 'e2eSeconds'])
      expect(Object.keys(answer[name])).toEqual(['mean', 'p50', 'p90', 'p99', 'meanHalfWidth95', 'p90HalfWidth95'])
    expect(Object.keys(answer.thresholdTokens)).toEqual(['min', 'mean', 'max'])
    expect(answer.stages.map(({ name }: { name: string }) => name)).toEqual([
      'remotePrefill',
      'link',
      'localPrefill',
      'decode',
    ])
    for (const stage of answer.stages) {
      expect(Object.keys(stage)).toEqual(['name', 'servers', 'utilisation', 'waitSeconds'])
      expect(Object.keys(stage.waitSeconds)).toEqual(['mean', 'p90'])
    }
    expect(answer).toMatchObject({ verdict: 'stable', seed: 1, requests: 20_000, cache: null })
    expect(answer.thresholdTokens).toMatchObject({ min: 19_405, max: 19_405 })
    expect(answer.ttftSeconds.meanHalfWidth95).toBeGreaterThan(0)
    expect(answer.requestsPerWallSecond).toBeGreaterThan(1000)
  })

  test('prints the same bytes for one thread and for several, but for the time it took', () => {
    const words = [...caseStudy, '--rate', '2.4', '--requests', '4000', '--replications', '4', '--json']
    const [one, three] = ['1', '3'].map((workers) => membrane(...words, '--workers', workers))
    expect(one?.code).toBe(0)
    expect(steady(one?.out ?? '')).toBe(steady(three?.out ?? ''))
    expect(JSON.parse(one?.out ?? '')).toMatchObject({ requests: 4000, replications: 4 })
    expect(steady(membrane(...words, '--seed', '2').out)).not.toBe(steady(one?.out ?? ''))
  })

  test('runs at and above capacity, says overloaded, and when there were too many', () => {
    const at = json(...caseStudy, '--rate', '3.2', '--requests', '2000')
    expect(at.verdict).toBe('overloaded')
    const above = json(...caseStudy, '--rate', '4.5', '--requests', '20000')
    expect(above.verdict).toBe('overloaded')
    expect(above.inSystem.boundPassedSeconds).toBeGreaterThan(0)
    expect(Math.abs(above.completedRps / above.capacityRps.saturatedRps - 1)).toBeLessThan(0.03)
    const { out } = membrane(...caseStudy, '--rate', '4.5', '--requests', '20000')
    expect(out).toMatch(/is overloaded at 4\.50? req\/s.*requests were in the system from [\d,.]+ s on/)
  })

  test('warns of requests longer than the profile was measured for', () => {
    const { code, err } = membrane(...caseStudy, '--rate', '1', '--requests', '100', '--json')
    expect(code).toBe(0)
    expect(err).toMatch(/warning: profile .* are longer than 130000/)
  })
})

describe('simulate with input that makes no sense', () => {
  test.for<[string, readonly string[], RegExp]>([
    ['no rate', [], /needs a rate/],
    ['rate 0', ['--rate', '0'], /rate must be above 0 .*found 0/],
    ['a negative rate', ['--rate=-1'], /rate must be above 0 .*found -1/],
    ['no number for a rate', ['--rate', 'NaN'], /Expected a number/],
    ['a rate without end', ['--rate', 'Infinity'], /Expected a number/],
    [
      'a seed that is no integer',
      ['--rate', '1', '--seed', '1.5'],
      /--seed must be a whole number of at least 0, found "1\.5"/,
    ],
    ['a negative seed', ['--rate', '1', '--seed=-1'], /--seed must be a whole number of at least 0, found "-1"/],
    ['no requests', ['--rate', '1', '--requests', '0'], /--requests must be from 1 to \d+, found 0/],
    [
      'more replications than requests',
      ['--rate', '1', '--requests', '3', '--replications', '4'],
      /--replications must be from 1 to 3, found 4/,
    ],
    [
      'an unknown scheduler',
      ['--rate', '1', '--scheduler', 'best'],
      /--scheduler must be one of on, fixed, off, found "best"/,
    ],
    [
      'an unknown routing',
      ['--rate', '1', '--routing', 'best'],
      /--routing must be one of threshold, latency, economic/,
    ],
    ['unknown arrivals', ['--rate', '1', '--arrivals', 'best'], /--arrivals must be one of poisson, gamma, weibull/],
    [
      'an unknown transfer',
      ['--rate', '1', '--transfer', 'best'],
      /--transfer must be one of after-prefill, layerwise/,
    ],
    ['a negative round trip', ['--rate', '1', '--rtt-ms=-1'], /--rtt-ms of at least 0.*found -1/],
    ['no room for KV', ['--rate', '1', '--staging-gigabytes', '0'], /--staging-gigabytes must be above 0, found 0/],
    [
      'nobody to decode',
      ['--rate', '1', '--local-prefill', '8'],
      /--local-prefill must leave an instance to decode: 0 to 7, found 8/,
    ],
    ['no threads', ['--rate', '1', '--workers', '0'], /--workers must be from 1 to \d+, found 0/],
    ['an unknown scenario', ['--scenario', 'doom'], /There is no simulation file doom/],
    ['a rate beside a scenario', ['--scenario', 'link-drop', '--rate', '1'], /--rate does not go with --scenario/],
  ])('refuses %s and says what it expected', ([, words, message]) => {
    expect(refused(...caseStudy, ...words).message).toMatch(message)
  })
})

describe('simulate --scenario', () => {
  const file = (events: string, more = ''): string =>
    write(
      `events-${events.length}-${more.length}.yaml`,
      `name: test\nrateRps: 1\ndurationSeconds: 300\nreplications: 1\n${more}events:\n${events}`,
    )

  test('compares the schedulers on a scenario that comes along', () => {
    const answer = json('simulate', '--scenario', 'link-drop', '--replications', '1')
    expect(Object.keys(answer)).toEqual([
      'scenario',
      'runs',
      'p90TtftGainOverFixed',
      'wallSeconds',
      'requestsPerWallSecond',
    ])
    expect(answer.runs.map(({ scheduler }: { scheduler: string }) => scheduler)).toEqual(['on', 'fixed', 'off'])
    expect(Object.keys(answer.p90TtftGainOverFixed)).toEqual(['on', 'off'])
    expect(answer.p90TtftGainOverFixed.on.mean).toBeGreaterThan(0)
    const [on, fixed] = answer.runs
    expect(on.thresholdTokens.max).toBeGreaterThan(fixed.thresholdTokens.max)
    expect(on.requests).toBe(17_280)
  })

  test.for<[string, string, RegExp]>([
    [
      'more instances than exist',
      '  - { kind: lose, atSeconds: 1, pool: remotePrefill, instances: 9 }',
      /events\[0\]: lose 9 of remotePrefill, which has 4 instances/,
    ],
    [
      'an unknown pool',
      '  - { kind: lose, atSeconds: 1, pool: gpus, instances: 1 }',
      /events\[0\]\.pool: .*"remotePrefill"\|"localPrefill"\|"decode"/,
    ],
    ['a link without bandwidth', '  - { kind: link, atSeconds: 1, gbps: 0 }', /events\[0\]\.gbps/],
    ['a time before the start', '  - { kind: link, atSeconds: -1, gbps: 1 }', /events\[0\]\.atSeconds/],
    ['an unknown kind', '  - { kind: quake, atSeconds: 1 }', /events\[0\]\.kind/],
  ])('refuses events with %s', ([, events, message]) => {
    expect(refused('simulate', '--scenario', file(events)).message).toMatch(message)
  })

  test('refuses a rate of neither kind, and an unknown eviction policy', () => {
    const neither = write('neither.yaml', 'name: x\ndurationSeconds: 10\n')
    expect(refused('simulate', '--scenario', neither).message).toMatch(/expected rateRps or load, one of them/)
    const policy = file('  - { kind: link, atSeconds: 1, gbps: 9 }', 'caches: { localBlocks: 5, policy: magic }\n')
    expect(refused('simulate', '--scenario', policy).message).toMatch(/caches\.policy: .*"lru"/)
  })

  test('ends with an error where everything that decodes is lost for good', () => {
    const path = file('  - { kind: lose, atSeconds: 50, pool: decode, instances: 5 }')
    for (const scheduler of ['on', 'fixed', 'off']) {
      const { code, message } =
        scheduler === 'on' ? stuckOrServed(path) : refused('simulate', '--scenario', path, '--scheduler', scheduler)
      if (code !== 'SERVED') expect(message).toMatch(/requests wait for instances that are lost/)
    }
  })

  /** The scheduler may turn prefill instances into decode instances, and then all are served. */
  function stuckOrServed(path: string): { readonly code: string; readonly message: string } {
    const { code, out } = membrane('simulate', '--scenario', path, '--scheduler', 'on', '--json')
    return code === 0 ? { code: 'SERVED', message: '' } : JSON.parse(out).error
  }
})

describe('replay', () => {
  const rows = Array.from({ length: 400 }, (_, k) => {
    const ids = Array.from({ length: 1 + (k % 12) }, (__, block) => (k % 7) * 100 + block)
    return JSON.stringify({
      timestamp: 3000 * Math.floor(k / 3),
      input_length: 512 * ids.length - 7,
      output_length: k % 50,
      hash_ids: ids,
    })
  })
  const trace = write('trace.jsonl', rows.join('\n'))

  test('sends a trace through the deployment, its prefixes through a cache', () => {
    const plain = json('replay', trace)
    expect(plain).toMatchObject({ requests: 400, cache: null, verdict: 'stable' })
    const cached = json('replay', trace, '--cache-blocks', '2000')
    expect(cached.cache.hitRatioTokens).toBeGreaterThan(0.5)
    expect(cached.ttftSeconds.mean).toBeLessThan(plain.ttftSeconds.mean)
    expect(json('replay', trace, '--rate', '9', '--requests', '3').requests).toBe(3)
    expect(
      json(
        'replay',
        trace,
        '--scheduler',
        'on',
        '--cache-blocks',
        '2000',
        '--cache-scope',
        'cluster',
        '--copy-prefixes',
      ).requests,
    ).toBe(400)
  })

  test.for<[string, string, readonly string[], RegExp]>([
    [
      'time that goes backwards',
      '{"timestamp":9,"input_length":5,"output_length":1}\n{"timestamp":1,"input_length":5,"output_length":1}\n',
      [],
      /:2:\d+: .*expected a time not before/,
    ],
    [
      'a request without tokens',
      '{"timestamp":1,"input_length":0,"output_length":1}\n',
      [],
      /:1:\d+: found input_length 0, expected a whole number of tokens from 1/,
    ],
    [
      'a cache for a trace without block ids',
      '{"timestamp":1,"input_length":5,"output_length":1}\n{"timestamp":9,"input_length":5,"output_length":1}\n',
      ['--cache-blocks', '9'],
      /needs requests with block ids/,
    ],
    ['no times and no rate', 'input_tokens,output_tokens\n5,1\n', [], /no times, expected a rate/],
    [
      'an unknown policy',
      'input_tokens,output_tokens\n5,1\n',
      ['--rate', '1', '--policy', 'magic'],
      /no eviction policy "magic", expected lru/,
    ],
    [
      'an unknown scope',
      'input_tokens,output_tokens\n5,1\n',
      ['--rate', '1', '--cache-blocks', '1', '--cache-scope', 'world'],
      /--cache-scope must be one of shared, cluster/,
    ],
    ['rate 0', 'input_tokens,output_tokens\n5,1\n', ['--rate', '0'], /rate must be above 0/],
    [
      'no requests',
      'input_tokens,output_tokens\n5,1\n',
      ['--rate', '1', '--requests', '0'],
      /--requests must be from 1/,
    ],
  ])('refuses %s', ([name, content, words, message]) => {
    const path = write(`${name.replaceAll(' ', '-')}.${content.startsWith('{') ? 'jsonl' : 'csv'}`, content)
    expect(refused('replay', path, ...words).message).toMatch(message)
  })
})

describe('sweep', () => {
  test('answers every point, and writes the same table as CSV', () => {
    const rows = json(
      'sweep',
      '--over',
      'rate=1,2',
      '--over',
      'threshold=10000:30000:20000',
      '--requests',
      '500',
      '--csv',
      'sweep.csv',
    )
    expect(rows.map(({ rate, threshold }: { rate: number; threshold: number }) => [rate, threshold])).toEqual([
      [1, 10_000],
      [1, 30_000],
      [2, 10_000],
      [2, 30_000],
    ])
    for (const row of rows) expect(row.ttftSeconds.mean).toBeGreaterThan(0)
    expect(rows[2].ttftSeconds.mean).toBeGreaterThan(rows[0].ttftSeconds.mean)
    const [head, ...lines] = readFileSync(join(folder, 'sweep.csv'), 'utf8').trim().split('\n')
    expect(head).toMatch(/^rate,threshold,TTFT mean s,/)
    expect(lines.length).toBe(4)
  })

  test('takes shares of what the deployment sustains, links and round trips', () => {
    const [low, high] = json('sweep', '--over', 'load=0.3,1.5', '--requests', '1500')
    expect([low.verdict, high.verdict]).toEqual(['stable', 'overloaded'])
    const [near, far] = json('sweep', '--over', 'rtt-ms=0,200', '--rate', '1', '--requests', '300')
    expect(far.ttftSeconds.mean - near.ttftSeconds.mean).toBeCloseTo(0.2 * near.offloadedRatio, 2)
    const [narrow, wide] = json('sweep', '--over', 'link-gbps=2,100', '--rate', '1', '--requests', '300')
    expect(narrow.ttftSeconds.mean).toBeGreaterThan(wide.ttftSeconds.mean)
  })

  test.for<[readonly string[], RegExp]>([
    [[], /--over/],
    [['rate='], /expected a name and values/],
    [['speed=1'], /expected a name and values/],
    [['rate=1,,2'], /expected a name and values/],
    [['rate=1=2'], /expected a name and values/],
    [['rate=1:2:0'], /expected a name and values/],
    [['rate=1:2:1:1'], /expected a name and values/],
    [['rate=0'], /rate must be above 0/],
    [['rtt-ms=-5'], /rtt-ms: values must be at least 0, found -5/],
    [['threshold=-5'], /threshold: values must be at least 0, found -5/],
    [['link-gbps=1e300'], /link-gbps: values must be above 0, from .* to .*, found 1e\+300/],
    [['burstiness=0'], /burstiness: values must be above 0/],
    [['local-prefill=1.5'], /--local-prefill must leave an instance to decode/],
    [['rate=1:1e9:0.001'], /points, expected at most/],
    [['rate=1', 'rate=2'], /given twice/],
    [['rate=1', 'load=0.5'], /given twice/],
  ])('refuses --over %j', ([over, message]) => {
    const words = over.flatMap((text) => ['--over', text])
    expect(
      refused('sweep', ...words, '--requests', '50', ...(over[0]?.startsWith('rate') === true ? [] : ['--rate', '1']))
        .message,
    ).toMatch(message)
  })
})
