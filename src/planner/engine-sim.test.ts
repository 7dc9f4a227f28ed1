import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import type { EngineRequests } from './engine-jobs.ts'
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions } from './engine-options.ts'
import { type EngineRun, simulateEngine } from './engine-sim.ts'
import type { EngineStepSeconds } from './engine-step.ts'

const NOTHING: EngineStepSeconds = {
  fixed: 0,
  perSequence: 0,
  perContextToken: 0,
  withPrefill: 0,
  perPrefillToken: 0,
  perPrefillPair: 0,
}
/** Every iteration takes a second, so that times count iterations. */
const SECOND = { ...NOTHING, fixed: 1 }
const SYNC: EngineOptions = { ...DEFAULT_ENGINE_OPTIONS, stepsInFlight: 1 }

/** Arrival, input, output. */
type Row = readonly [number, number, number]

function requestsOf(rows: readonly Row[]): EngineRequests {
  return {
    arrivalSeconds: Float64Array.from(rows, ([at]) => at),
    inputTokens: Int32Array.from(rows, ([, input]) => input),
    outputTokens: Int32Array.from(rows, ([, , output]) => output),
  }
}

function run(rows: readonly Row[], options: Partial<EngineOptions> = {}, seconds: EngineStepSeconds = SECOND) {
  return timesOf(simulateEngine(requestsOf(rows), { ...SYNC, ...options }, seconds))
}

function timesOf({ firstTokenSeconds, lastTokenSeconds }: EngineRun): (readonly [number, number])[] {
  return Array.from(firstTokenSeconds, (first, job) => [first, lastTokenSeconds[job] ?? 0] as const)
}

describe('one iteration after another', () => {
  it('gives a prompt that fits its first token after one iteration, and one more a further one', () => {
    expect(run([[3, 5, 3]])).toEqual([[4, 6]])
    expect(run([[3, 5, 1]])).toEqual([[4, 4]])
  })

  it('cuts a prompt into pieces of the token budget', () => {
    expect(run([[0, 10, 2]], { batchTokensMax: 4 })).toEqual([[3, 4]])
    expect(run([[0, 8, 2]], { batchTokensMax: 4 })).toEqual([[2, 3]])
  })

  it('serves decoding sequences first and gives prompts the rest of the budget', () => {
    const rows: Row[] = [
      [0, 1, 10],
      [0.5, 6, 1],
    ]
    // Three tokens of the prompt fit beside one that decodes.
    expect(run(rows, { batchTokensMax: 4 })).toEqual([
      [1, 10],
      [3, 3],
    ])
  })

  it('gives the rest of a budget to the next prompt in line', () => {
    const rows: Row[] = [
      [0, 3, 1],
      [0, 3, 1],
      [0, 1, 1],
    ]
    // 3 + 1 tokens, then 2 + 1.
    expect(run(rows, { batchTokensMax: 4 })).toEqual([
      [1, 1],
      [2, 2],
      [2, 2],
    ])
  })

  it('admits in order of arrival while there are slots', () => {
    const rows: Row[] = [
      [0, 1, 3],
      [0.1, 1, 2],
      [0.2, 1, 2],
    ]
    expect(run(rows, { sequencesMax: 1 })).toEqual([
      [1, 3],
      [4, 5],
      [6, 7],
    ])
    expect(run(rows, { sequencesMax: 2 })).toEqual([
      [1, 3],
      [2, 3],
      [4, 5],
    ])
  })

  it('costs what its terms say', () => {
    const seconds = {
      fixed: 0.5,
      perSequence: 0.1,
      perContextToken: 0.01,
      withPrefill: 0.25,
      perPrefillToken: 0.125,
      perPrefillPair: 0.001,
    }
    const [[first, last] = [0, 0]] = run([[0, 4, 3]], { batchTokensMax: 3 }, seconds)
    // Three tokens with 1 + 2 + 3 pairs, then one token with four.
    expect(first).toBeCloseTo(0.5 + 0.25 + 0.375 + 0.006 + (0.5 + 0.25 + 0.125 + 0.004), 12)
    // Each decoded token reads the prompt, those before it and itself.
    expect(last - first).toBeCloseTo(2 * 0.6 + 0.01 * (5 + 6), 12)
  })
})

describe('asynchronous scheduling', () => {
  const late: Row[] = [
    [0, 1, 10],
    [0.5, 1, 1],
  ]

  it('makes who arrives during an iteration wait for one more', () => {
    expect(run(late, { stepsInFlight: 1 })[1]).toEqual([2, 2])
    expect(run(late, { stepsInFlight: 2 })[1]).toEqual([3, 3])
  })

  it('changes nothing for a request alone', () => {
    expect(run([[0, 5, 3]], { stepsInFlight: 2, batchTokensMax: 2 })).toEqual([[3, 5]])
  })

  it('leaves a slot empty for one iteration when others go on', () => {
    const rows: Row[] = [
      [0, 1, 10],
      [0, 1, 3],
      [0, 1, 1],
    ]
    expect(run(rows, { stepsInFlight: 1, sequencesMax: 2 })[2]).toEqual([4, 4])
    expect(run(rows, { stepsInFlight: 2, sequencesMax: 2 })[2]).toEqual([5, 5])
  })

  it('sees all who come at once to an idle engine', () => {
    const rows: Row[] = [
      [1, 1, 1],
      [1, 1, 1],
    ]
    expect(run(rows, { stepsInFlight: 2 })).toEqual([
      [2, 2],
      [2, 2],
    ])
  })
})

describe('KV memory', () => {
  const rows: Row[] = [
    [0, 16, 10],
    [0, 10, 3],
  ]

  it('takes the blocks of the youngest sequence when they run out, and computes it again later', () => {
    // Two blocks: the first decode step of the first needs both, until it ends after its tenth token.
    expect(run(rows, { kvTokensMax: 32 })).toEqual([
      [1, 10],
      [1, 12],
    ])
    expect(run(rows, { kvTokensMax: 48 })).toEqual([
      [1, 10],
      [1, 3],
    ])
  })

  it('holds back a prompt that does not fit beside those that run', () => {
    expect(run([rows[0] ?? [0, 1, 1], [0.5, 17, 1]], { kvTokensMax: 48 })).toEqual([
      [1, 10],
      [11, 11],
    ])
  })

  it('admits nobody in an iteration that took blocks from somebody', () => {
    // In the second iteration the first takes the last block and the second loses the one it had; so again in the fourth.
    const both: Row[] = [
      [0, 16, 4],
      [0, 20, 1],
    ]
    expect(run(both, { kvTokensMax: 48, batchTokensMax: 17 })).toEqual([
      [1, 4],
      [6, 6],
    ])
  })

  it('takes no blocks from a sequence whose last token is on its way', () => {
    const three: Row[] = [
      [0, 16, 10],
      [0, 26, 1],
      [0, 5, 1],
    ]
    expect(run(three, { kvTokensMax: 48, sequencesMax: 2, stepsInFlight: 2 })).toEqual([
      [1, 10],
      [1, 1],
      [2, 2],
    ])
  })

  it('refuses a request that never fits', () => {
    expect(() => run([[0, 30, 3]], { kvTokensMax: 47 })).toThrow(
      'Request 1 has 33 tokens, more than a KV cache of 47 holds in whole blocks of 16.',
    )
    expect(run([[0, 30, 3]], { kvTokensMax: 48 })).toEqual([[1, 3]])
  })
})

describe('replicas', () => {
  const pair: Row[] = [
    [0, 100, 2],
    [0, 1, 2],
  ]
  const seconds = { ...NOTHING, perPrefillToken: 0.01, perSequence: 0.5 }

  it('take turns by who has least to do', () => {
    expect(run(pair, { replicas: 2 }, seconds)).toEqual([
      [1, 1.5],
      [0.01, 0.51],
    ])
    expect(run([...pair, [0, 1, 1]], { replicas: 3 }, seconds)[2]).toEqual([0.01, 0.01])
  })

  it('wait for the slowest in lockstep', () => {
    expect(run(pair, { replicas: 2, isLockstep: true }, seconds)).toEqual([
      [1, 1.5],
      [1, 1.5],
    ])
  })
})

describe('bad input', () => {
  it.each([
    [[[0, 0, 1]], 'Requests must be in order of arrival with at least 1 input and 1 output token; request 1 arrives'],
    [[[0, 1, 0]], 'request 1 arrives at 0 s after -Infinity s with 1 and 0.'],
    [
      [
        [2, 1, 1],
        [1, 1, 1],
      ],
      'request 2 arrives at 1 s after 2 s',
    ],
    [[[Number.NaN, 1, 1]], 'request 1 arrives at NaN s'],
  ] as const)('is refused: %j', (rows, message) => expect(() => run(rows)).toThrow(message))

  it('is refused in options and coefficients', () => {
    expect(() => run([[0, 1, 1]], { replicas: 0 })).toThrow(
      "An engine's replicas must be a whole number from 1 to 1024, found 0.",
    )
    expect(() => run([[0, 1, 1]], { sequencesMax: 1.5 })).toThrow('sequencesMax')
    expect(() => run([[0, 1, 1]], {}, { ...SECOND, perSequence: Number.NaN })).toThrow(
      "An engine's perSequence must be a number of seconds, 0 or more, found NaN.",
    )
  })
})

describe('laws', () => {
  const rows = fc
    .array(
      fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12 })),
      {
        minLength: 1,
        maxLength: 25,
      },
    )
    .map((list): Row[] => list.sort(([one], [other]) => one - other))
  const options = fc.record({
    sequencesMax: fc.integer({ min: 1, max: 5 }),
    batchTokensMax: fc.integer({ min: 1, max: 30 }),
    replicas: fc.integer({ min: 1, max: 3 }),
    isLockstep: fc.boolean(),
    stepsInFlight: fc.integer({ min: 1, max: 2 }),
    kvTokensMax: fc.constantFrom(null, 64, 100),
  })

  it('every request is served after it came, one token an iteration at most, in no more slots than there are', () => {
    fc.assert(
      fc.property(rows, options, (list, engine) => {
        const times = run(list, engine)
        for (const [job, [at, , output]] of list.entries()) {
          const [first, last] = times[job] ?? [0, 0]
          expect(first).toBeGreaterThanOrEqual(at + 1)
          expect(last - first).toBeGreaterThanOrEqual(output - 1 - 1e-9)
        }
        for (const [at] of times) {
          // KV memory may suspend a sequence, whose slot another then has.
          if (engine.kvTokensMax !== null) continue
          const decoding = times.filter(([first, last]) => first <= at && at < last).length
          expect(decoding).toBeLessThanOrEqual(engine.sequencesMax * engine.replicas)
        }
      }),
    )
  })

  it('all work is done once: with seconds only for tokens, those who come together end with the sum of all tokens', () => {
    fc.assert(
      fc.property(rows, options, (list, engine) => {
        const together = list.map(([, input, output]): Row => [0, input, output])
        const alone = { ...engine, replicas: 1, kvTokensMax: null }
        const times = run(together, alone, { ...NOTHING, perPrefillToken: 1, perSequence: 1 })
        const work = together.reduce((sum, [, input, output]) => sum + input + output - 1, 0)
        expect(Math.max(...times.map(([, last]) => last))).toBe(work)
      }),
    )
  })

  it('no iteration exceeds the token budget: iterations are at least all tokens over it', () => {
    fc.assert(
      fc.property(rows, options, (list, engine) => {
        const alone = { ...SYNC, ...engine, replicas: 1, kvTokensMax: null }
        const work = list.reduce((sum, [, input, output]) => sum + input + output - 1, 0)
        const { iterations } = simulateEngine(requestsOf(list), alone, SECOND)
        expect(iterations).toBeGreaterThanOrEqual(Math.ceil(work / engine.batchTokensMax))
      }),
    )
  })

  it('one replica with memory enough gives first tokens in order of arrival', () => {
    fc.assert(
      fc.property(rows, options, (list, engine) => {
        const firsts = run(list, { ...engine, replicas: 1, kvTokensMax: null }).map(([first]) => first)
        expect(firsts).toEqual(firsts.toSorted((one, other) => one - other))
      }),
    )
  })

  it('a run that awaits only the first requests tells the same of them', () => {
    fc.assert(
      fc.property(rows, options, fc.nat(), (list, engine, pick) => {
        const count = 1 + (pick % list.length)
        const requests = requestsOf(list)
        const part = simulateEngine(requests, { ...SYNC, ...engine }, SECOND, count)
        expect(timesOf(part)).toEqual(run(list, engine).slice(0, count))
      }),
    )
  })
})

it.for<[keyof EngineOptions, number, number]>([
  ['replicas', 1e9, LIMITS.engineReplicasMax],
  ['replicas', 0, LIMITS.engineReplicasMax],
  ['sequencesMax', 1e9, LIMITS.engineSequencesMax],
  ['batchTokensMax', 1e9, LIMITS.engineBatchTokensMax],
  ['stepsInFlight', 17, LIMITS.engineStepsInFlightMax],
  ['kvTokensMax', 1e13, LIMITS.engineKvTokensMax],
])('an engine whose %s is %d is refused, with the range that it may have', ([name, value, max]) => {
  const open = (): unknown => simulateEngine(requestsOf([[0, 1, 1]]), { ...SYNC, [name]: value }, SECOND)
  const message = expect.stringMatching(`${name} must be .*from 1 to ${max}, found ${value}`)
  expect(open).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', message }))
})
