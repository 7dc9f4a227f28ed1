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
export { calibrate, type CalibrateOptions, type Calibration, DEFAULT_CALIBRATE_OPTIONS } from './planner/calibrate.ts'
export { parseObservedRequests } from './planner/observed-reader.ts'
export type { ObservedRequests } from './planner/observed-requests.ts'
export { simulateEngine } from './planner/engine-sim.ts'

/** Names that the outside gives, checked once: tenants, models, block hashes, content hashes. */
export {
  type BlockHash,
  type ContentHash,
  DEFAULT_TENANT,
  type ModelFingerprint,
  parseBlockHash,
  parseContentHash,
  parseModelFingerprint,
  parseTenantId,
  type TenantId,
} from './core/ids.ts'
export { modelFingerprint } from './core/model-fingerprint.ts'

/** Hashing: block hashes of a prompt by a chain, and the hashes that chains are made of. */
export { createHashChain, dynamoLocalHashes, parseChainId } from './core/hash-chains.ts'
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
export {
  blockHashAt,
  type BlockHashes,
  commonBlocks,
  digestAt,
  eventHashes,
  joinBlockHashes,
  packBlockHashes,
  sliceBlockHashes,
  unpackBlockHashes,
} from './core/block-hashes.ts'
export type { ChainHashes, HashFunction } from './core/ports.ts'

/** Fragments as values: what they are, their keys, heads and groups, and which leading blocks a group covers. */
export {
  type ByteKind,
  type ContextKind,
  type Fragment,
  FRAGMENT_KINDS,
  type FragmentDescription,
  type FragmentGroup,
  type FragmentKind,
  type Span,
  type StructuralSignature,
  type TokenSpan,
} from './core/fragment.ts'
export { checkFragment } from './core/fragment-check.ts'
export { decodeDescription, encodeDescription } from './core/fragment-codec.ts'
export {
  type ByteName,
  type ContextName,
  contextName,
  fragmentKey,
  type FragmentName,
  parseFragmentKey,
} from './core/fragment-key.ts'
export {
  groupState,
  type GroupState,
  type PoolParts,
  type PoolRule,
  type PromptBlocks,
  usablePrefix,
  type UsablePrefix,
} from './core/fragment-group.ts'

/** Payloads of fragments, which are safetensors: KV, states and tokens, and bytes of other kinds. */
export {
  buildKv,
  buildPrefix,
  buildState,
  type FragmentContent,
  type KvLayer,
  parseKv,
  parsePrefix,
  parseState,
  type PrefixTokens,
  type StateLayer,
  type TensorData,
} from './core/fragment-kv.ts'
export {
  type Artifact,
  buildArtifact,
  buildOpaque,
  buildToolTrace,
  byteDescription,
  NO_MODEL,
  parseArtifact,
  parseToolTrace,
  type ToolTrace,
} from './core/fragment-bytes.ts'
export {
  readSafetensors,
  readSafetensorsLayout,
  type Safetensors,
  safetensorsHeaderEnd,
  type SafetensorsLayout,
  type Tensor,
  type TensorInfo,
  type TensorPlace,
} from './core/safetensors.ts'
export {
  layOutSafetensors,
  type Metadata,
  type PayloadPieces,
  safetensorsPieces,
  type WritableLayout,
  writeSafetensors,
} from './core/safetensors-writer.ts'
export { type Dtype, DTYPE_BYTES } from './core/safetensors-dtypes.ts'

/** Prefill results into fragments of whole blocks; fragments cut and put together again. */
export {
  DEFAULT_FRAGMENTIZE,
  type Fragmentizable,
  fragmentize,
  type Fragmentized,
  type FragmentizedTensors,
  type FragmentizeOptions,
  fragmentizeTensors,
  type FragmentSpans,
  fragmentSpans,
} from './reconstruct/fragmentize.ts'
export { type FragmentCuts, splitFragment } from './reconstruct/split-fragment.ts'
export { mergeFragments } from './reconstruct/merge-fragments.ts'
export type { FragmentAxis } from './reconstruct/slice-payload.ts'

/** Stores of fragments: the port that memory, disk, Redis and everything around them are. */
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

/** Eviction: what leaves a full cache first, and what caches would have held of a trace. */
export {
  DEFAULT_EVICTION_POLICY,
  EVICTION_POLICIES,
  type EvictionPolicyName,
  parseEvictionPolicy,
} from './policy/evict-policies.ts'
export { type EvictionPolicy, type EvictionPriority, NORMAL_PRIORITY } from './policy/evict.ts'
export { type CacheComparison, compareCaches, type ComparedCache } from './planner/replay-compare.ts'
export type { CacheReplay, CacheReplayOptions } from './planner/replay-cache.ts'
export { type ClosedHints, sessionsOf, type TraceSessions } from './planner/replay-sessions.ts'

/** Indices of a node behind one door: which fragments and nodes have which blocks, what lies where, what goes together. */
export { FragmentIndices } from './indices/fragment-indices.ts'
export type { FragmentIndicesOptions, SemanticPorts } from './indices/fragment-indices-options.ts'
export type {
  AdjacentFragments,
  IndexedFragment,
  IndexEdge,
  SimilarFragment,
  SimilarQuery,
} from './indices/indexed-fragment.ts'
export type { LayersOf } from './indices/exact-fragments.ts'
export type { Announcement, LongestPrefix, NodeRun, Prompt } from './indices/exact-holders.ts'
export type { AdjacentOptions, Sequence } from './indices/positional.ts'
export {
  DEFAULT_PREFIX_VERSIONS,
  type PrefixVersion,
  PrefixVersions,
  type PrefixVersionsOptions,
  type VersionAddition,
} from './indices/versions.ts'
export { type Tier, TIER_BIT, TIERS } from './indices/tiers.ts'
export {
  type CacheBreakdown,
  type CacheCounts,
  type CacheStatistics,
  INDEX_NAMES,
  type IndexName,
  OTHER_TENANTS,
  StatisticsRecorder,
} from './indices/statistics.ts'
export { type DescribeEntry, rebuildIndices, type RebuildReport } from './indices/rebuild.ts'
export {
  encodeSnapshot,
  restoreSnapshot,
  SNAPSHOT_VERSION,
  type SnapshotOptions,
  type SnapshotOutcome,
  type SnapshotRefusal,
} from './indices/snapshot.ts'

/**
 * Proposals for prefetch, eviction and search: the graph of fragments, the semantic index with its vector indices and
 * embedders, and sessions. None of them says that KV may be used for other tokens.
 */
export {
  type EdgeFilter,
  FragmentGraph,
  type Neighbour,
  type PrefetchCandidate,
  type Subgraph,
  type SubgraphEdge,
} from './indices/graph.ts'
export { EDGE_KINDS, type EdgeKind, type HalfLives } from './indices/graph-edges.ts'
export { DEFAULT_GRAPH_OPTIONS, type GraphOptions } from './indices/graph-options.ts'
export {
  DEFAULT_SEMANTIC_OPTIONS,
  type SemanticClusters,
  type SemanticClustersQuery,
  type SemanticEntry,
  SemanticIndex,
  type SemanticInsert,
  type SemanticMatch,
  type SemanticOptions,
  type SemanticQuery,
  type SemanticScope,
} from './indices/semantic.ts'
export { DEFAULT_SIM_HASH_OPTIONS, type SimHashOptions, simHashVectors } from './indices/sim-hash.ts'
export type { Embedder, NearVector, VectorIndex, VectorIndexFactory } from './core/ports.ts'
export {
  DEFAULT_SESSIONS_OPTIONS,
  type Prospect,
  type SessionName,
  Sessions,
  type SessionsOptions,
  type SessionView,
} from './indices/sessions.ts'
export {
  DEFAULT_WORKLOAD_OPTIONS,
  type PopularPrefix,
  WorkloadAnalyser,
  type WorkloadAnalysis,
  type WorkloadOptions,
} from './indices/workload.ts'
export {
  DEFAULT_REUSE_PREDICTOR_OPTIONS,
  ReusePredictor,
  type ReusePredictorOptions,
} from './indices/reuse-predictor.ts'

/** Engines and services, as everything else sees them. */
export {
  type BackendName,
  BACKENDS,
  type ComputeBackend,
  type ContextPart,
  type ContextPartShape,
  GREEDY,
  type KvBackend,
  type KvContext,
  type KvModel,
  type PromptSegment,
  type Sampling,
  type TextAnswer,
  type TextBackend,
  type TextEvent,
  type TextRequest,
  type TextUsage,
  type TokenDecoder,
  type Tokenizer,
} from './core/compute.ts'

/** Rebuilding: a prompt's context in an engine, from the KV that anybody has of it, with an explanation of each span. */
export { planContext, rebuildContext, storeContext, type StoreRequest } from './reconstruct/rebuild.ts'
export { DEFAULT_REBUILD } from './reconstruct/rebuild-options.ts'
export type {
  FailedRead,
  LocalFragment,
  RateBook,
  RebuildMemory,
  RebuildOptions,
  RebuildParts,
  RebuildRequest,
  RebuildResult,
  StoreReport,
} from './reconstruct/rebuild-ports.ts'
export { type ComputingNode, EngineRemotePrefill, InMemoryPeers } from './reconstruct/in-memory-peers.ts'
export { planRebuild } from './reconstruct/plan-rebuild.ts'
export { type KvRange, readKv } from './reconstruct/read-kv.ts'
export {
  type ExplainedSpan,
  type PlanStep,
  type ReadRate,
  type RebuildPlan,
  type RebuildPlanRequest,
  type RebuildRates,
  type RefusedCandidate,
  type RemotePrefillOffer,
  type ReuseCandidate,
  type ReuseSource,
  SPAN_SOURCES,
  type SpanSource,
} from './reconstruct/rebuild-plan.ts'
export { type ExplainOptions, explainPlan, explainSpans } from './reconstruct/explain.ts'

/** What reading and computing cost: assumed until something was measured. */
export {
  ASSUMED_RATES,
  type AssumedPrefill,
  type AssumedRates,
  type AssumedRead,
  MeasuredRates,
  type MeasuredRead,
  type RatesSnapshot,
} from './policy/measured-rates.ts'
export type { FitState } from './policy/measured-rates-fit.ts'

/** Moved reuse: KV of the same tokens at another position. Asked for by each request; approximate, and measured. */
export { DEFAULT_MOVED, type MovedOptions, type MovedReuse } from './reconstruct/moved-options.ts'
export { DEFAULT_MOVED_RECOMPUTE, type MovedRecompute } from './reconstruct/moved-span.ts'
export type { ApproximateLabel, DivergenceSampling } from './reconstruct/moved-divergence.ts'
export {
  DEFAULT_MOVED_INDEX,
  MovedIndex,
  type MovedIndexOptions,
  type MovedQuery,
  type MovedRun,
} from './indices/moved.ts'
export type { TokenRecord } from './indices/moved-places.ts'

/** RESP, the protocol of Redis: commands and answers, without a socket. */
export { encodeRespCommand } from './api/resp-codec-call.ts'
export {
  type RespCommandBounds,
  RespCommandReader,
  type RespInput,
} from './api/resp-codec-commands.ts'
export { type RespRead, type RespReadBounds, RespReplyReader, type RespValue } from './api/resp-codec-reader.ts'
export { type RespReply, RespReplyWriter, type RespVersion } from './api/resp-codec-replies.ts'
/** Transfer: fragments from node to node, in chunks, resumable and verified. */
export {
  type ChunkManifest,
  chunkCount,
  chunkSpan,
  DEFAULT_CHUNK_BYTES,
  ManifestBuilder,
  manifestOf,
} from './transfer/chunks.ts'
export { decodeManifest, encodeManifest } from './transfer/manifest-codec.ts'
export { type ChunkOutcome, ReceiveState } from './transfer/receive-state.ts'
export { DEFAULT_RECEIVE, receiveFragments } from './transfer/receive.ts'
export type {
  ChunkRequest,
  ChunkSource,
  FetchOptions,
  FragmentOutcome,
  ReceiveOptions,
  ReceiveParts,
  SenderLease,
  StagedPayload,
  TransferCounters,
  TransferReport,
  TransferSink,
  WantedFragment,
} from './transfer/receive-ports.ts'
export { TokenBucket, type TokenBucketOptions } from './policy/token-bucket.ts'
export type { BackoffOptions } from './policy/backoff.ts'
export { Inventory, type InventoryEntry, type InventoryOptions } from './transfer/inventory.ts'
export { answerInventory, type InventoryDifference, Reconciliation } from './transfer/reconcile.ts'
export { answerEntries } from './transfer/entry-messages.ts'
export {
  compareInventories,
  type InventoryComparison,
  type InventoryPeer,
  planSync,
  type SyncOptions,
  type SyncPlan,
} from './transfer/delta-sync.ts'
export { decodeTokenDelta, encodeTokenDelta, type TokenBase } from './transfer/token-delta.ts'
export { type ByteCodec, decodeFrame, encodeFrame, sampledRatio } from './transfer/compression.ts'
export {
  CompressionChoice,
  compressionGain,
  type CompressionRates,
  type CompressionThresholds,
  DEFAULT_COMPRESSION_THRESHOLDS,
} from './policy/compress.ts'
