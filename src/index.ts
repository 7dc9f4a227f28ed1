/**
 * Membrane as a library: the planner. Everything here is pure and runs in browsers too, except the parsers of
 * documents, which bring a schema library.
 *
 * ```ts
 * import { optimize, preset } from 'membrane'
 * const { deployments, ratios } = optimize(preset('case-study'))
 * ```
 */

/** Answers. */
export { optimize, type Deployment, type Optimization } from './planner/optimize.ts'
export { analyze, type Analysis } from './planner/analysis.ts'
export { plan, type Layout, type PlanAnswer, type PlanRequest } from './planner/plan.ts'
export type { Outcome, Verdict } from './planner/verdict.ts'
export { figure5a, figure5b, type RolesPoint, type ThresholdPoint } from './planner/figures.ts'

/** Questions: scenarios and the parts that they are made of. */
export { listPresets, preset, presetProfiles } from './planner/presets.ts'
export {
  buildScenario,
  type InputSpec,
  type PoolSpec,
  type Scenario,
  type ScenarioSpec,
  type Slo,
} from './planner/scenario.ts'
export {
  compileProfile,
  kvRateBytesPerSecond,
  type LatencyProfileData,
  type Profile,
  type ProfileData,
  type RateProfileData,
} from './planner/profile.ts'
export { type DecodeProfile, decodeStepSeconds } from './planner/decode.ts'
export { parseProfile } from './api/profile-schema.ts'
export { jsonSchema, SCHEMA_NAMES, type SchemaName } from './api/json-schemas.ts'

/** Length distributions: log-normal in closed form, samples, fixed, mixtures. */
export { logNormalLengths, type LogNormalParameters } from './planner/log-normal.ts'
export { empiricalLengths, fixedLengths } from './planner/empirical.ts'
export { mixtureLengths, type MixtureComponent } from './planner/mixture.ts'
export { conditionalMean, type LengthDistribution, meanTokens, sampleLength } from './planner/lengths.ts'
export { type Random, seededRandom } from './core/random.ts'

/** Equations (1) to (8) of arXiv:2604.15039v2. */
export {
  decodeRps,
  kvThroughputBytesPerSecond,
  lambdaMaxRps,
  localBoundRps,
  localPrefillRps,
  minimumEgressBytesPerSecond,
  remoteBoundRps,
  remotePrefillRps,
  type RemoteStage,
  roleImbalanceRps,
  type StageRates,
  thresholdImbalanceRps,
} from './planner/throughput.ts'

/** Queueing in closed form. */
export {
  allenCunneen,
  erlangB,
  erlangC,
  meanWaitSeconds,
  mg1WaitSeconds,
  type QueueInput,
  type Wait,
  waitTail,
} from './planner/queueing.ts'

/** Traces. */
export { analyzeTrace, type TraceAnalysis } from './planner/trace-analysis.ts'
export { createTraceReader, type TraceReader } from './planner/trace-reader.ts'
export { type Trace, type TraceFile, type TraceFormat, type TraceRequest, TRACE_FORMATS } from './planner/trace.ts'
export { uncachedLengths } from './planner/trace-prefix.ts'
export { formatTrace } from './planner/trace-writer.ts'

/** What every figure rests on, and what can go wrong. */
export { type Assumption, type AssumptionId, ASSUMPTION_IDS, assumption, type Origin } from './planner/assumptions.ts'
export { ERROR_CODES, type ErrorCode, MembraneError } from './core/errors.ts'

/** Simulation: true discrete events with the scheduler in the loop; a batch is one seed, results put batches together. */
export { type ReplicationData, simulateBatch, type StageData } from './planner/sim-run.ts'
export {
  curvesOf,
  type LatencySummary,
  type LoadVerdict,
  type SimulationCurves,
  type SimulationResult,
  type StageSummary,
  summarize,
} from './planner/simulation-result.ts'
export {
  type CacheOptions,
  DEFAULT_SIMULATION,
  type PoolName,
  type RoutingKind,
  type SchedulerKind,
  type SimulationOptions,
  type TimedEvent,
  type TraceWorkload,
  type TransferOptions,
} from './planner/sim-options.ts'
export type { CacheData } from './planner/sim-caches.ts'
export type { SimulationSeries } from './planner/sim-series.ts'
export type { RequestTimeline } from './planner/sim-timeline.ts'
export type { HistogramData } from './planner/log-histogram.ts'
export type { RequestCapacity } from './planner/request-capacity.ts'
export { requestCapacity } from './planner/request-capacity.ts'
export { type Gain, p90Gain, replicationsOf } from './planner/study.ts'
export { type AgentWorkload } from './planner/agent-traffic.ts'
export { type ArrivalKind } from './planner/arrivals.ts'
export { curveOfClients, rateCurve, type RateCurve } from './planner/rate-curve.ts'
export { chromeTrace, type ChromeTrace } from './planner/chrome-trace.ts'
export { replayPrefixCache } from './planner/replay-cache.ts'
export { type ObservedLoad, replan, type Replan } from './planner/reallocate.ts'

/** Calibration: an engine's step time and prefill from observed requests, and the engine that predicts others. */
export {
  calibrate,
  type CalibrateOptions,
  type Calibration,
  DEFAULT_CALIBRATE_OPTIONS,
} from './planner/calibrate.ts'
export { parseObservedRequests } from './planner/observed-reader.ts'
export type { ObservedRequests } from './planner/observed-requests.ts'
export { simulateEngine } from './planner/engine-sim.ts'

/** Stores of fragments. */
export type {
  ByteSpan,
  Clock,
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  Quarantine,
  QuarantinedBytes,
  StoredEntry,
  StoredFragment,
  StoredStream,
  StoreStats,
} from './core/ports.ts'
export { MemoryStore } from './store/memory.ts'
export { RedisStore, type RedisStoreOptions } from './store/redis.ts'
export type { RedisTls } from './store/redis-client.ts'
export { type Damage, VerifiedStore, type VerifiedStoreOptions } from './store/verified.ts'
export { FileQuarantine, type FileQuarantineOptions, type QuarantineStats } from './store/quarantine.ts'
export {
  type CallMeters,
  LATENCY_BUCKETS_MS,
  type LookUpMeters,
  MeteredStore,
  type StoreMeters,
} from './store/metered.ts'

/** Hashing: block hashes of a prompt by a chain, and the hashes that chains and content hashes are made of. */
export {
  type BlockHashes,
  blockHashAt,
  commonBlocks,
  digestAt,
  eventHashes,
  joinBlockHashes,
  packBlockHashes,
  sliceBlockHashes,
  unpackBlockHashes,
} from './core/block-hashes.ts'
export {
  CHAIN_EXTRAS,
  CHAIN_IDS,
  type ChainContext,
  type ChainExtra,
  type ChainId,
  type ChainOptions,
  type ChainPosition,
  type HashChain,
  type MediaSpan,
  tokenIds,
} from './core/hash-chain.ts'
export { modelFingerprint } from './core/model-fingerprint.ts'
export { createHashChain, dynamoLocalHashes, parseChainId } from './core/hash-chains.ts'
export type { ChainHashes, ContentHasher, ContentHashers, HashFunction } from './core/ports.ts'
export { loadChainHashes } from './hashing/chain-hashes.ts'
export { type LoadedContentHashers, loadContentHashers, loadPureContentHashers } from './hashing/content-hashers.ts'

/** The disk store. */
export { type DiskStats, type DiskStore, openDiskStore } from './store/disk.ts'
export { DEFAULT_DISK_OPTIONS, type DiskStoreOptions, type Durability } from './store/disk-options.ts'
export type { RecoveryReport } from './store/disk-recovery.ts'
export type { Timers } from './store/disk-sync.ts'
export type { ScrubOptions, ScrubReport } from './store/disk-scrub.ts'
