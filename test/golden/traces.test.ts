/**
 * The numbers of shared/data/README.md, from the real traces. They were computed by other code, so they check the
 * readers and the analysis end to end. The traces are too large for the repository: without them the tests are skipped.
 * README.md interpolates percentiles and we take the nearest rank; where the two differ, both are checked.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readTraceFile } from '../../src/cli/read-trace.ts'
import { quantileOfSorted } from '../../src/core/quantile.ts'
import { analyzeTrace } from '../../src/planner/trace-analysis.ts'
import { uncachedLengths } from '../../src/planner/trace-prefix.ts'
import type { Trace } from '../../src/planner/trace.ts'

const FOLDER = join(import.meta.dirname, '../../../shared/data/traces')
const hasTraces = existsSync(FOLDER)
const WHY = hasTraces ? '' : ` (SKIPPED: no data folder ${FOLDER})`

async function readRequests(file: string): Promise<Trace> {
  const read = await readTraceFile(join(FOLDER, file))
  return read.kind === 'requests' ? read.trace : expect.unreachable('expected requests')
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function deviation(values: readonly number[]): number {
  const center = mean(values)
  return Math.sqrt(mean(values.map((value) => (value - center) ** 2)))
}

/** README's percentiles: linear between the neighbours of position q (n - 1). */
function interpolated(sorted: ArrayLike<number>, quantile: number): number {
  const position = quantile * (sorted.length - 1)
  const lower = Math.floor(position)
  const [low, high] = [sorted[lower] ?? Number.NaN, sorted[lower + 1] ?? Number.NaN]
  return low + (high - low) * (position - lower)
}

/** Counts in 60 s windows from the first request, the partial one at the end included. */
function requestsPerMinute(atSeconds: Float64Array): readonly number[] {
  const counts = Array.from({ length: Math.floor((atSeconds.at(-1) ?? 0) / 60) + 1 }, () => 0)
  for (const at of atSeconds) counts[Math.floor(at / 60)] = (counts[Math.floor(at / 60)] ?? 0) + 1
  return counts
}

describe.skipIf(!hasTraces)(`the Mooncake conversation trace${WHY}`, () => {
  let trace: Trace
  beforeAll(async () => {
    trace = await readRequests('mooncake_conversation_trace.jsonl.gz')
  })

  it('has the published lengths, rate, burstiness and hit ratio', () => {
    const analysis = analyzeTrace({ kind: 'requests', trace })
    expect(analysis.requests).toBe(12_031)
    expect(analysis.durationSeconds).toBe(3536.999)
    expect(analysis.requestsPerSecond).toBeCloseTo(3.401, 3)
    // README: p99 85,400 and 1,119, interpolated.
    expect(interpolated(trace.inputTokens.toSorted(), 0.99).toFixed(0)).toBe('85400')
    expect(interpolated(trace.outputTokens?.toSorted() ?? [], 0.99).toFixed(0)).toBe('1119')
    expect(analysis.inputTokens).toMatchObject({ p50: 6909, p90: 27_367, p99: 85_401, max: 126_195 })
    expect(analysis.inputTokens?.mean).toBeCloseTo(12_035.06, 2)
    expect(analysis.outputTokens).toMatchObject({ p50: 350, p90: 597, p99: 1120, max: 2000 })
    expect(Math.round(analysis.outputTokens?.mean ?? 0)).toBe(343)
    expect(analysis.dispersion60s?.toFixed(2)).toBe('2.89')
    expect(analysis.prefixHitRatioMax?.tokens.toFixed(4)).toBe('0.3736')
    expect(analysis.prefixHitRatioMax?.blocks.toFixed(4)).toBe('0.3664')
    expect(analysis.logNormalFit?.mu.toFixed(3)).toBe('8.737')
    expect(analysis.logNormalFit?.sigma.toFixed(3)).toBe('1.199')
  })

  it('has the published totals and minutes', () => {
    expect(trace.inputTokens.reduce((sum, tokens) => sum + tokens, 0)).toBe(144_793_823)
    expect(trace.outputTokens?.reduce((sum, tokens) => sum + tokens, 0)).toBe(4_122_048)
    expect(trace.blocks?.ids.length).toBe(288_500)
    expect(new Set(trace.blocks?.ids).size).toBe(182_790)
    expect(new Set(trace.atSeconds).size).toBe(1180)
    const perMinute = requestsPerMinute(trace.atSeconds ?? new Float64Array())
    expect(mean(perMinute).toFixed(1)).toBe('203.9')
    expect([Math.min(...perMinute), Math.max(...perMinute)]).toEqual([144, 247])
  })

  it('has the published uncached lengths', () => {
    const uncached = uncachedLengths(trace).sort()
    // README: 7,539. Its own hit ratio gives 12,035.06 (1 - 0.373624) = 7,538.48.
    expect(mean([...uncached])).toBeCloseTo(7538.4766, 4)
    // README: p99 71,888, interpolated between the two values around rank 11,910.7.
    expect([0.5, 0.9, 0.99].map((quantile) => quantileOfSorted(uncached, quantile))).toEqual([2470, 19_012, 71_941])
    expect(interpolated(uncached, 0.99).toFixed(0)).toBe('71888')
    expect((uncached.filter((tokens) => tokens > 19_400).length / uncached.length).toFixed(4)).toBe('0.0975')
    const logs = [...uncached].filter((tokens) => tokens > 0).map(Math.log)
    expect([mean(logs).toFixed(3), deviation(logs).toFixed(3)]).toEqual(['7.828', '1.547'])
  })
})

describe.skipIf(!hasTraces)(`the Azure 2023 conversation trace${WHY}`, () => {
  let trace: Trace
  beforeAll(async () => {
    trace = await readRequests('azure_llm_2023_conv.csv.gz')
  })

  it('has the published lengths and rate', () => {
    const analysis = analyzeTrace({ kind: 'requests', trace })
    expect(analysis.requests).toBe(19_366)
    expect(analysis.durationSeconds).toBeCloseTo(3501.721937, 9)
    expect(analysis.requestsPerSecond).toBeCloseTo(5.53, 3)
    // README: p90 2,734, interpolated and rounded half to even.
    expect(interpolated(trace.inputTokens.toSorted(), 0.9)).toBe(2734.5)
    expect(analysis.inputTokens).toMatchObject({ p50: 1020, p90: 2735, p99: 4142, max: 14_050 })
    expect(Math.round(analysis.inputTokens?.mean ?? 0)).toBe(1155)
    expect(analysis.outputTokens).toMatchObject({ p50: 129, p90: 424, p99: 601, max: 1000 })
    expect(Math.round(analysis.outputTokens?.mean ?? 0)).toBe(211)
    expect(analysis.prefixHitRatioMax).toBeNull()
  })

  it('is bursty: README’s 20.6 counts the last 21.7 s as a whole minute, full minutes alone give 16.1', () => {
    const perMinute = requestsPerMinute(trace.atSeconds ?? new Float64Array())
    expect([Math.round(mean(perMinute)), Math.max(...perMinute)]).toEqual([328, 507])
    expect((deviation(perMinute) ** 2 / mean(perMinute)).toFixed(1)).toBe('20.6')
    expect(analyzeTrace({ kind: 'requests', trace }).dispersion60s?.toFixed(1)).toBe('16.1')
  })

  it('has the published variation of inter-arrival times', () => {
    const gaps = [...(trace.atSeconds ?? [])].map((at, index, all) => at - (all[index - 1] ?? 0)).slice(1)
    expect((deviation(gaps) / mean(gaps)).toFixed(3)).toBe('1.094')
  })
})

describe.skipIf(!hasTraces)(`the vidur arXiv summarisation lengths${WHY}`, () => {
  it('have the published quantiles, and no times', async () => {
    const trace = await readRequests('vidur_arxiv_summarization_lengths.csv.gz')
    const analysis = analyzeTrace({ kind: 'requests', trace })
    expect(analysis).toMatchObject({
      requests: 28_257,
      durationSeconds: null,
      requestsPerSecond: null,
      dispersion60s: null,
    })
    expect(analysis.inputTokens).toMatchObject({ p50: 2730, p90: 3702, max: 4054 })
    expect(Math.round(analysis.inputTokens?.mean ?? 0)).toBe(2588)
    expect(analysis.outputTokens).toMatchObject({ p50: 167, p90: 372, max: 4056 })
    expect(Math.round(analysis.outputTokens?.mean ?? 0)).toBe(291)
  })
})

describe.skipIf(!hasTraces)(`the ServeGen client rates${WHY}`, () => {
  it.each([
    ['m_large', 99_839, 162, 2016, '335.8', ['195.8', '187.1', '48.4', '583.0'], '3.45'],
    ['m_mid', 106_385, 108, 1932, '335.8', ['1867.9', '1955.6', '0.9', '3444.8'], '12.03'],
    ['m_small', 40_095, 43, 1979, '335.8', ['1196.4', '1165.2', '391.3', '3879.5'], '3.58'],
    ['mm_image', 2094, 35, 144, '23.8', ['9.47', '9.22', '4.85', '13.29'], '2.21'],
    ['deepseek_r1', 3111, 73, 144, '23.8', ['16.01', '13.26', '4.31', '42.52'], '2.28'],
  ] as const)('of %s have the published row', async (model, rows, count, windows, hours, rateRps, weightedCv) => {
    const file = await readTraceFile(join(FOLDER, `servegen_${model}_client_rates.csv.gz`))
    const { clients, durationSeconds, requests } = analyzeTrace(file)
    expect(file.kind === 'client-rates' && file.rates.rowCount).toBe(rows)
    expect(requests).toBeNull()
    expect(clients).toMatchObject({ count, windows })
    expect(((durationSeconds ?? 0) / 3600).toFixed(1)).toBe(hours)
    const { mean, p50, min, max } = clients?.rateRps ?? expect.unreachable('expected clients')
    const digits = rateRps[0].length - rateRps[0].indexOf('.') - 1
    // The slack is for ties such as 1,955.55, which README rounds up and binary may hold as a hair less.
    expect([mean, p50, min, max].map((rate) => (rate + 1e-9).toFixed(digits))).toEqual(rateRps)
    expect(clients?.weightedCv.toFixed(2)).toBe(weightedCv)
  })

  it('do not include the length distributions, whose format is unknown', async () => {
    await expect(readTraceFile(join(FOLDER, 'servegen_deepseek_r1_length_pdfs.jsonl.gz'))).rejects.toMatchObject({
      code: 'INVALID_TRACE',
      details: { line: 1, column: 1 },
    })
  })
})
