/**
 * Every bound on outside data, in one place: the value, why, and what happens on reaching it.
 */
export const LIMITS = {
  /** Characters in one trace line; longer is rejected with INVALID_TRACE. A 1M-token prompt has 2,000 block ids, about 14 kB. */
  traceLineCharactersMax: 4 * 1024 * 1024,
  /** Requests in one trace; more is rejected with LIMIT_REACHED. Columns take about 40 bytes a request. */
  traceRequestsMax: 20_000_000,
  /** Block ids in one trace; more is rejected with LIMIT_REACHED. Four bytes each: 1 GB. */
  traceBlockIdsMax: 250_000_000,
  /** Blocks, or block units, of one simulated prefix cache; more is rejected with INVALID_CONFIG. Up to 52 bytes each when full. */
  cacheBlocksMax: 2 ** 26,
  /** Requests of one observed run; more is rejected with LIMIT_REACHED. Calibration simulates a third of them hundreds of times. */
  observedRequestsMax: 20_000,
  /** Bytes of observed requests, unpacked; more is rejected before parsing. About 3 kB for each of them. */
  observedFileBytesMax: 64 * 1024 * 1024,
  /** Points in a profile; more is rejected with INVALID_PROFILE. Interpolation builds one piece per pair. */
  profilePointsMax: 4096,
  /** Components of a mixture workload; more is rejected with INVALID_CONFIG. Every evaluation walks all of them. */
  mixtureComponentsMax: 64,
  /** Independent runs of one simulation; more is rejected. Each costs its requests anew. */
  replicationsMax: 256,
  /** Steps of a rate curve, and events of a simulation file; more is rejected. A week of minutes is 10,080. */
  rateCurveStepsMax: 100_000,
  simulationEventsMax: 10_000,
  /** Points of a sweep; more is rejected. Each is a simulation. */
  sweepPointsMax: 10_000,
  /** Threads of one command; more is rejected. */
  workersMax: 256,
  /** Single requests whose timeline is kept; more is rejected. About 300 bytes each in the file. */
  timelinesMax: 100_000,
  /** Requests of one simulation; more is rejected. A counter of that size is still exact, and takes minutes. */
  simulatedRequestsMax: 1_000_000_000,
  /** Requests per second; outside is rejected. One in thirty years to one a nanosecond: beyond, times lose their digits. */
  rateRpsMin: 1e-9,
  rateRpsMax: 1e9,
  /** Instances in one pool; more is rejected with INVALID_CONFIG. The optimizer visits every split. */
  poolInstancesMax: 4096,
  /** Link bandwidth, 10^9 bit/s; outside is rejected. A bit a second to an exabit: beyond, quotients leave the range of numbers. */
  linkGbpsMin: 1e-9,
  linkGbpsMax: 1e9,
  /** Tokens of one request; more is rejected. Ten times the longest context served today. */
  requestTokensMax: 100_000_000,
  /** Bytes of a configuration or profile file; more is rejected before parsing. */
  configFileBytesMax: 16 * 1024 * 1024,
} as const
