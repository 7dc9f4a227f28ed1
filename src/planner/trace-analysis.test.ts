import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { analyzeTrace, type TraceAnalysis } from './trace-analysis.ts'
import { createTraceReader } from './trace-reader.ts'

function analyze(text: string): TraceAnalysis {
  const reader = createTraceReader('t')
  reader.push(text)
  return analyzeTrace(reader.end())
}

function analyzeTimes(times: readonly number[]): TraceAnalysis {
  return analyze(['atSeconds,inputTokens', ...times.map((at) => `${at},1`)].join('\n'))
}

describe('the analysis of requests', () => {
  it('has exactly these keys, and null for what the file does not say', () => {
    expect(analyze('1\n1\n')).toEqual({
      requests: 2,
      durationSeconds: null,
      inputTokens: { mean: 1, p50: 1, p90: 1, p99: 1, max: 1 },
      outputTokens: null,
      requestsPerSecond: null,
      dispersion60s: null,
      prefixHitRatioMax: null,
      logNormalFit: { mu: 0, sigma: 0 },
    })
    expect(Object.keys(analyze('1\n'))).not.toContain('clients')
  })

  it('takes mean and nearest-rank quantiles of both lengths', () => {
    const rows = Array.from({ length: 10 }, (_, index) => `${10 - index},${(10 - index) * 100}`)
    const { inputTokens, outputTokens } = analyze(rows.join('\n'))
    expect(inputTokens).toEqual({ mean: 5.5, p50: 5, p90: 9, p99: 10, max: 10 })
    expect(outputTokens).toEqual({ mean: 550, p50: 500, p90: 900, p99: 1000, max: 1000 })
  })

  it('fits ln(input) by its mean and population standard deviation', () => {
    const { logNormalFit } = analyze('1\n100\n')
    expect(logNormalFit?.mu).toBeCloseTo(Math.log(10), 12)
    expect(logNormalFit?.sigma).toBeCloseTo(Math.log(10), 12)
  })

  it('divides the requests by the time from the first to the last', () => {
    expect(analyzeTimes([5, 6, 9])).toMatchObject({ durationSeconds: 4, requestsPerSecond: 0.75 })
    expect(analyzeTimes([5, 5])).toMatchObject({ durationSeconds: 0, requestsPerSecond: null })
  })

  it('reports the hit ratio of a trace with block ids', () => {
    const row = '{"timestamp":0,"input_length":600,"output_length":1,"hash_ids":[0,1]}\n'
    expect(analyze(row + row).prefixHitRatioMax).toEqual({ tokens: 0.5, blocks: 0.5 })
  })
})

describe('the dispersion of 60 s counts', () => {
  it('is population variance over mean of the full windows, from the first request', () => {
    // Counts 3, 0, 1 in [0, 60), [60, 120), [120, 180): mean 4/3, variance 14/9. The two at the end are in no full window.
    expect(analyzeTimes([100, 101, 159.9, 220, 280, 281]).dispersion60s).toBeCloseTo(14 / 9 / (4 / 3), 12)
  })

  it('is 0 for counts that are all alike', () => {
    expect(analyzeTimes([0, 30, 60, 90, 120, 150, 180]).dispersion60s).toBe(0)
  })

  it('needs two full windows', () => {
    expect(analyzeTimes([0, 119.9]).dispersion60s).toBeNull()
    expect(analyzeTimes([0, 120]).dispersion60s).toBe(0.5)
  })

  it('takes a very long silence in its stride', () => {
    expect(analyzeTimes([0, 1e300]).dispersion60s).toBeCloseTo(1, 12)
  })

  it('agrees with counting every window', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 150 }), { minLength: 4, maxLength: 60 })
    fc.assert(
      fc.property(gaps, (list) => {
        let at = 0
        const times = [0, ...list.map((gap) => (at += gap))]
        const counts = Array.from({ length: Math.floor(at / 60) }, () => 0)
        for (const time of times) {
          const window = Math.floor(time / 60)
          if (window < counts.length) counts[window] = (counts[window] ?? 0) + 1
        }
        const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
        const variance = counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length
        const { dispersion60s } = analyzeTimes(times)
        if (counts.length < 2) expect(dispersion60s).toBeNull()
        else expect(dispersion60s).toBeCloseTo(variance / mean, 9)
      }),
    )
  })
})

describe('the analysis of client rates', () => {
  it('adds up the clients of each window, and gives null for what rates do not say', () => {
    const rows = ['3,600,1,2,Gamma,1,1', '3,1800,4,1,Gamma,1,1', '9,600,2,1,Weibull,1,1', '9,2400,9,1,Weibull,1,1']
    expect(analyze(['client_id,window_start_s,rate_rps,cv,pattern,arg1,arg2', ...rows].join('\n'))).toEqual({
      requests: null,
      durationSeconds: 1800,
      inputTokens: null,
      outputTokens: null,
      requestsPerSecond: 16 / 3,
      dispersion60s: null,
      prefixHitRatioMax: null,
      logNormalFit: null,
      clients: {
        count: 2,
        windows: 3,
        rateRps: { mean: 16 / 3, p50: 4, min: 3, max: 9 },
        weightedCv: 17 / 16,
      },
    })
  })
})
