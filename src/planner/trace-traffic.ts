import { MembraneError } from '../core/errors.ts'
import { seededRandom } from '../core/random.ts'
import { arrivalGaps } from './arrivals.ts'
import { ARRIVAL_SEED, type Traffic, TrafficHead } from './sim-traffic.ts'
import type { Trace } from './trace.ts'

export interface ReplayOptions {
  /** Mean arrivals, requests per second; the trace's own pace when null. A trace without times needs one. */
  readonly rateRps: number | null
  /** For requests whose length of answer the trace does not say. */
  readonly outputTokens: number
  readonly seed: number
  /** The first so many requests; all when null. */
  readonly requests: number | null
  /** Leaves out a last block that the prompt does not fill: recurrent states are taken at full blocks only. */
  readonly isFullBlocksOnly: boolean
}

/** Requests as a trace has them, in its order. */
export function traceTraffic(trace: Trace, options: ReplayOptions): Traffic {
  const requests = Math.min(options.requests ?? trace.requestCount, trace.requestCount)
  const atSeconds = arrivalTimes(trace, requests, options)
  const outputDefault = Math.max(1, Math.round(options.outputTokens))
  const head = new TrafficHead()
  const { inputTokens, outputTokens, blocks } = trace
  let index = 0
  return {
    requests,
    head,
    blockIds: blocks?.ids ?? null,
    blockTokens: blocks?.blockTokens ?? 0,
    next: () => {
      if (index === requests) return false
      head.atSeconds = atSeconds[index] ?? 0
      head.promptTokens = Math.max(1, inputTokens[index] ?? 1)
      head.outputTokens = outputTokens === null ? outputDefault : Math.max(1, outputTokens[index] ?? 1)
      if (blocks !== null) {
        head.blockStart = blocks.offsets[index] ?? 0
        const end = blocks.offsets[index + 1] ?? 0
        const fullEnd = head.blockStart + Math.floor(head.promptTokens / blocks.blockTokens)
        head.blockEnd = options.isFullBlocksOnly ? Math.min(end, fullEnd) : end
      }
      index += 1
      return true
    },
  }
}

/** The first arrival is at 0. */
function arrivalTimes(trace: Trace, requests: number, { rateRps, seed }: ReplayOptions): Float64Array {
  const random = seededRandom(seed + ARRIVAL_SEED)
  // Requests that all come at once say nothing of a pace either.
  if (trace.atSeconds === null || (trace.atSeconds[requests - 1] ?? 0) === 0) {
    if (rateRps === null) throw withoutTimes(trace)
    const gap = arrivalGaps({ kind: 'poisson', rateRps, burstiness: 1 }, random)
    let at = 0
    return Float64Array.from({ length: requests }, (_, k) => (k === 0 ? 0 : (at += gap())))
  }
  const spread = spreadInsideSteps(trace.atSeconds.subarray(0, requests), random)
  if (rateRps === null) return spread
  const factor = requests / rateRps / (spread.at(-1) ?? 0)
  return spread.map((seconds) => seconds * factor)
}

/**
 * Times that were rounded down to steps, spread uniformly until the next step: without it, the requests of a step would
 * all come at once. The last step is taken to be as long as the one before it.
 */
export function spreadInsideSteps(atSeconds: Float64Array, random: () => number): Float64Array {
  const spread = atSeconds.slice()
  let stepSeconds = 0
  for (let start = 0; start < spread.length; ) {
    const at = spread[start] ?? 0
    let end = start + 1
    while (end < spread.length && spread[end] === at) end += 1
    if (end < spread.length) stepSeconds = (spread[end] ?? at) - at
    if (end - start > 1) {
      for (let k = start; k < end; k++) spread[k] = at + random() * stepSeconds
      spread.subarray(start, end).sort()
    }
    start = end
  }
  return spread
}

function withoutTimes({ name }: Trace): MembraneError {
  return new MembraneError('INVALID_REQUEST', `${name} holds lengths but no times, expected a rate to replay it at.`, {
    remedy: 'Give --rate, requests per second.',
    details: { file: name },
  })
}
