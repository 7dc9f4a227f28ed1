import type { JobTable } from './sim-jobs.ts'

/** One request from its arrival to its end, seconds of simulated time. */
export interface RequestTimeline {
  /** Position in the stream of arrivals. */
  readonly number: number
  readonly place: 'remote' | 'local'
  readonly promptTokens: number
  readonly uncachedTokens: number
  readonly outputTokens: number
  readonly arrivalSeconds: number
  readonly prefillStartSeconds: number
  readonly prefillEndSeconds: number
  /** The KV is complete where it is decoded; for a local prefill the end of the prefill. */
  readonly kvReadySeconds: number
  readonly joinSeconds: number
  readonly firstTokenSeconds: number
  readonly endSeconds: number
}

/** The timeline of a job that ends now. */
export function timelineOf(jobs: JobTable, job: number, nowSeconds: number): RequestTimeline {
  const prefillStartSeconds = jobs.prefillStartSeconds[job] ?? 0
  return {
    number: jobs.numbers[job] ?? 0,
    place: jobs.isRemote[job] === 1 ? 'remote' : 'local',
    promptTokens: jobs.promptTokens[job] ?? 0,
    uncachedTokens: jobs.uncachedTokens[job] ?? 0,
    outputTokens: jobs.outputTokens[job] ?? 0,
    arrivalSeconds: jobs.arrivalSeconds[job] ?? 0,
    prefillStartSeconds,
    prefillEndSeconds: prefillStartSeconds + (jobs.prefillSeconds[job] ?? 0),
    kvReadySeconds: jobs.kvReadySeconds[job] ?? 0,
    joinSeconds: jobs.joinSeconds[job] ?? 0,
    firstTokenSeconds: jobs.firstTokenSeconds[job] ?? 0,
    endSeconds: nowSeconds,
  }
}
