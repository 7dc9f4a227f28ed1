import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openCommand } from './command.ts'

const { folder, write, membrane, jsonText } = openCommand('simulate')

/** JSON has no NaN: what is no number would stand there as null, so every null is looked at. */
function json(...words: readonly string[]): ReturnType<typeof JSON.parse> {
  const mayBeNull = new Set([
    'meanHalfWidth95',
    'p50HalfWidth95',
    'p90HalfWidth95',
    'p99HalfWidth95',
    'halfWidth95',
    'boundPassedSeconds',
    'cache',
  ])
  return JSON.parse(jsonText(...words), (name, value: unknown) => {
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
      'ttftPartsSeconds',
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
      expect(Object.keys(answer[name])).toEqual([
        'mean',
        'p50',
        'p90',
        'p99',
        'meanHalfWidth95',
        'p50HalfWidth95',
        'p90HalfWidth95',
        'p99HalfWidth95',
      ])
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
    expect(out).toMatch(/case-study: overloaded at 4\.50? req\/s.*requests were in the system from [\d,.]+ s on/)
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
    [
      'burstiness of Poisson arrivals',
      ['--rate', '1', '--arrivals', 'poisson', '--burstiness', '5'],
      /--burstiness does not go with --arrivals poisson/,
    ],
    ['layers that are not sent one by one', ['--rate', '1', '--layers', '9'], /--layers needs --transfer layerwise/],
    ['timelines for nobody', ['--rate', '1', '--timelines', '9'], /--timelines needs --chrome-trace/],
    [
      'a routing of a blind router',
      ['--rate', '1', '--scheduler', 'off', '--routing', 'latency'],
      /--routing does not go with --scheduler off/,
    ],
    [
      'a threshold of a blind router',
      ['--rate', '1', '--scheduler', 'off', '--threshold', '9'],
      /--threshold does not go with --scheduler off/,
    ],
    [
      'a threshold that routing has not',
      ['--rate', '1', '--routing', 'latency', '--threshold', '9'],
      /--threshold does not go with --routing latency/,
    ],
    [
      'a threshold beyond all prompts',
      ['--rate', '1', '--threshold', '99999999999'],
      /--threshold: values must be at least 0 and at most 100000000 tokens/,
    ],
    [
      'economic routing without prices',
      ['--rate', '1', '--routing', 'economic'],
      /missing --remote-price .* and --local-price/,
    ],
    [
      'economic routing without one price',
      ['--rate', '1', '--routing', 'economic', '--remote-price', '4'],
      /missing --local-price [^-]*$/,
    ],
    ['layers beside a scenario', ['--scenario', 'steady', '--layers', '60'], /--layers does not go with --scenario/],
    [
      'a round trip beside a scenario',
      ['--scenario', 'steady', '--rtt-ms', '0'],
      /--rtt-ms does not go with --scenario/,
    ],
    [
      'a preset beside a scenario that has one',
      ['--scenario', 'steady'],
      /--preset does not go with --scenario: .* says it, as preset/,
    ],
    [
      'a page in no folder',
      ['--rate', '1', '--html', '/nonexist/x.html'],
      /\/nonexist\/x\.html cannot be written \(ENOENT\)/,
    ],
    ['a page in place of a folder', ['--rate', '1', '--html', tmpdir()], /cannot be written \(a directory\)/],
    ['a trace in place of a folder', ['--rate', '1', '--chrome-trace', tmpdir()], /cannot be written \(a directory\)/],
    ['a rate beside a scenario', ['--scenario', 'link-drop', '--rate', '1'], /--rate does not go with --scenario/],
  ])('refuses %s and says what it expected', ([, words, message]) => {
    expect(refused(...caseStudy, ...words).message).toMatch(message)
  })
})

describe('simulate', () => {
  test('takes --burstiness alone for gamma arrivals, and says so', () => {
    const words = [...caseStudy, '--rate', '2', '--requests', '500']
    const { err } = membrane(...words, '--burstiness', '5')
    expect(err).toMatch(/note: requests arrive in gamma gaps of burstiness 5/)
    const bursty = json(...words, '--burstiness', '5')
    expect(bursty.ttftSeconds).toEqual(json(...words, '--burstiness', '5', '--arrivals', 'gamma').ttftSeconds)
    expect(bursty.ttftSeconds).not.toEqual(json(...words).ttftSeconds)
  })

  test('says which files it wrote', () => {
    const words = [...caseStudy, '--rate', '1', '--requests', '50', '--chrome-trace', 'spans.json', '--timelines', '3']
    const { code, err } = membrane(...words)
    expect(code).toBe(0)
    expect(err).toMatch(/note: wrote spans\.json/)
    expect(JSON.parse(readFileSync(join(folder, 'spans.json'), 'utf8'))).toBeTruthy()
  })

  test('finds out before it simulates that a page cannot be written', () => {
    const { code, message } = refused(...caseStudy, '--rate', '0', '--html', '/nonexist/x.html')
    expect({ code, message }).toMatchObject({ code: 'FILE_UNREADABLE' })
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

  test.for<[string, string, RegExp]>([
    [
      'burstiness of Poisson arrivals',
      'arrivals: { kind: poisson, burstiness: 5 }',
      /arrivals\.burstiness: Poisson arrivals have 1, found 5/,
    ],
    ['a preset and a configuration', 'preset: case-study\nconfig: x.yaml', /expected preset or config, found both/],
    ['a scheduler twice', 'schedulers: [on, on]', /schedulers: expected each once, found on twice/],
    ['nobody to decode', 'localPrefill: 8', /\.yaml: localPrefill must leave an instance to decode: 0 to 7, found 8/],
  ])('refuses a file with %s', ([name, line, message]) => {
    const path = write(`${name.replaceAll(' ', '-')}.yaml`, `name: x\nrateRps: 1\ndurationSeconds: 10\n${line}\n`)
    expect(refused('simulate', '--scenario', path).message).toMatch(message)
  })

  test('points to the schema of simulation files', () => {
    const path = write('wrong.yaml', 'name: x\nrateRps: 1\nduration: 10\n')
    expect(membrane('simulate', '--scenario', path).err).toContain('config --schema simulation')
  })

  test('warns of events after the end', () => {
    const path = file('  - { kind: link, atSeconds: 9000, gbps: 9 }')
    const { code, err } = membrane('simulate', '--scenario', path, '--scheduler', 'fixed', '--json')
    expect(code).toBe(0)
    expect(err).toMatch(
      /warning: one event comes at or after the end of arrivals at 300 s, the first \(link\) at 9000 s/,
    )
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

  test('is titled by the name of the file, wherever it lies', () => {
    expect(membrane('replay', trace).out).toMatch(/^Replay of trace\.jsonl: stable at /)
  })

  test.for<[readonly string[], RegExp]>([
    [['--arrivals', 'gamma'], /--arrivals does not go with replay/],
    [['--mu', '9'], /--mu does not go with a trace of requests: trace\.jsonl has lengths of its own/],
    [['--prefix-hits', '0.3'], /--prefix-hits does not go with/],
    [['--output-tokens', '9'], /--output-tokens does not go with/],
    [['--burstiness', '9'], /--burstiness does not go with/],
    [['--replications', '2'], /--replications does not go with/],
    [['--requests', '401'], /--requests must be at most the 400 of trace\.jsonl, found 401/],
    [['--state-blocks', '0'], /--state-blocks needs --cache-blocks/],
    [['--policy', 'lru'], /--policy needs --cache-blocks/],
    [['--cache-blocks', '9', '--copy-prefixes', '--scheduler', 'on'], /--copy-prefixes needs --cache-scope cluster/],
  ])('refuses %j, which would be ignored', ([words, message]) => {
    expect(refused('replay', trace, ...words).message).toMatch(message)
  })

  test('takes lengths for client rates, which have none', () => {
    const rates = write(
      'rates.csv',
      'client_id,window_start_s,rate_rps,cv,pattern,arg1,arg2\n1,0,1.5,1.2,Gamma,0.7,0.9\n1,600,0.5,1.1,Gamma,0.8,2.5\n',
    )
    expect(json('replay', rates, '--requests', '200', '--fixed-tokens', '5000').requests).toBe(200)
    expect(refused('replay', rates, '--arrivals', 'weibull').message).toMatch(/--arrivals does not go with replay/)
  })

  test.for<[string, string, readonly string[], RegExp]>([
    [
      'requests at one time without a rate',
      '{"timestamp":7,"input_length":5,"output_length":1}\n{"timestamp":7,"input_length":5,"output_length":1}\n',
      [],
      /has all 2 requests at one time, expected a rate/,
    ],
    [
      'a single request without a rate',
      '{"timestamp":7,"input_length":5,"output_length":1}\n',
      [],
      /gives a single request, which has no pace/,
    ],
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
      ['--rate', '1', '--cache-blocks', '9', '--policy', 'magic'],
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
    expect(head).toMatch(/^rate,threshold,TTFT mean s,P50 s,P90 s,P90 half width s,.*,t,N_p,verdict$/)
    expect(lines.length).toBe(4)
    expect(lines[0]).toMatch(/^1,10000,.*,10000,3,stable$/)
    // Nine digits, as JSON has.
    expect(Number(lines[0]?.split(',')[2])).toBe(rows[0].ttftSeconds.mean)
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
    [['threshold=-5'], /threshold: values must be at least 0 and at most \d+ tokens, found -5/],
    [['link-gbps=1e300'], /link-gbps: values must be above 0, from .* to .*, found 1e\+300/],
    [['burstiness=0'], /burstiness: values must be above 0/],
    [['local-prefill=1.5'], /--local-prefill must leave an instance to decode/],
    [['rate=1:1e6:1'], /The sweep has 1000000 points, expected at most/],
    [['rate=1:1e6:1', 'threshold=1:1e4:1'], /The sweep has 10000000000 points/],
    [['rate=1', 'rate=2'], /given twice/],
    [['rate=1', 'load=0.5'], /given twice/],
  ])('refuses --over %j', ([over, message]) => {
    const words = over.flatMap((text) => ['--over', text])
    expect(
      refused('sweep', ...words, '--requests', '50', ...(over[0]?.startsWith('rate') === true ? [] : ['--rate', '1']))
        .message,
    ).toMatch(message)
  })

  test.for<[readonly string[], RegExp]>([
    [['--over', 'rate=1,2', '--rate', '1'], /--rate does not go with --over rate/],
    [['--over', 'load=0.5', '--rate', '1'], /--rate does not go with --over load/],
    [['--over', 'rtt-ms=1', '--rate', '1', '--rtt-ms', '0'], /--rtt-ms does not go with --over rtt-ms/],
    [
      ['--over', 'burstiness=2', '--rate', '1', '--arrivals', 'poisson'],
      /--arrivals poisson does not go with --over burstiness/,
    ],
    [
      ['--over', 'threshold=9', '--rate', '1', '--scheduler', 'off'],
      /--scheduler off does not go with --over threshold/,
    ],
    [['--over', 'rate=1', '--html', 'x.html'], /unknown option '--html'/],
    [['--over', 'rate=1', '--chrome-trace', 'x.json'], /unknown option '--chrome-trace'/],
    [['--over', 'rate=1', '--csv', tmpdir()], /cannot be written \(a directory\)/],
  ])('refuses %j', ([words, message]) => {
    expect(refused('sweep', '--requests', '50', ...words).message).toMatch(message)
  })

  test('keeps Weibull arrivals when it sweeps their burstiness', () => {
    const words = ['sweep', '--over', 'burstiness=4', '--rate', '2', '--requests', '500']
    const [weibull] = json(...words, '--arrivals', 'weibull')
    const [gamma] = json(...words)
    expect(weibull.ttftSeconds.mean).not.toBe(gamma.ttftSeconds.mean)
  })
})
