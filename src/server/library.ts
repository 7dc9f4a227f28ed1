/**
 * Membrane as a library, what needs Node: `membrane/fabric`. Stores, hashes and vectors by native packages, the fabric
 * that puts them together, engines and services, and a node that rebuilds and generates.
 *
 * ```ts
 * import { openDiskStore, openFabric } from 'membrane/fabric'
 * ```
 */

/** Stores, and what is put around one: verified, metered, bounded, canonical. */
export { MemoryStore } from '../store/memory.ts'
export { type DiskStats, type DiskStore, openDiskStore } from '../store/disk.ts'
export { DEFAULT_DISK_OPTIONS, type DiskStoreOptions, type Durability } from '../store/disk-options.ts'
export type { RecoveryReport } from '../store/disk-recovery.ts'
export type { ScrubOptions, ScrubReport } from '../store/disk-scrub.ts'
export { RedisStore, type RedisStoreOptions } from '../store/redis.ts'
export type { RedisTls } from '../store/redis-client.ts'
export { type Damage, VerifiedStore, type VerifiedStoreOptions } from '../store/verified.ts'
export { FileQuarantine, type FileQuarantineOptions, type QuarantineStats } from '../store/quarantine.ts'
export {
  type CallMeters,
  LATENCY_BUCKETS_MS,
  type LookUpMeters,
  MeteredStore,
  type StoreMeters,
} from '../store/metered.ts'
export { type BoundedOptions, type BoundedStore, openBoundedStore } from '../store/bounded.ts'
export type { EntryTraits, Quota } from '../store/bounded-owner.ts'
export { type CanonicalStore, openCanonicalStore } from '../store/canonical.ts'
export { Tenants } from '../store/tenants.ts'
export { SnapshotFile } from '../store/snapshot-file.ts'

/** Hashes and vectors, native where there is a binary. */
export { loadChainHashes } from '../hashing/chain-hashes.ts'
export { type LoadedContentHashers, loadContentHashers, loadPureContentHashers } from '../hashing/content-hashers.ts'
export { bruteForceVectors } from '../vectors/brute-force.ts'
export { DEFAULT_USEARCH_OPTIONS, loadUsearch, type UsearchOptions } from '../vectors/usearch.ts'
export { centredOn, parseWordVectors, wordEmbedder, type WordVectors } from '../vectors/words.ts'
export { DEFAULT_WORD_VECTORS_PATH, loadWordEmbedder } from '../vectors/words-file.ts'

/** The fabric: fragments of many tenants over any store, found by four indices. */
export { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, type FabricStats, openFabric } from './fabric.ts'
export type { FabricPut, FabricPutResult, HeldPrefix, TenantFabric } from './tenant-fabric.ts'
export { PRIORITIES, type RetentionHints } from './fragment-head.ts'
export { loadSemanticPorts } from './semantic-ports.ts'

/** Engines, which give their KV and take it back; `openBackend` opens any of them, or a service, by its name. */
export { type BackendRequest, COMPUTE_CHOICES, type ComputeChoice, openBackend } from './backends.ts'
export { type CpuBackendOptions, DEFAULT_MODEL_PATH, openCpuBackend } from '../compute/cpu.ts'
export type { KernelBuild } from '../engine/kernel-build.ts'
export { DEFAULT_LLAMA_OPTIONS, type LlamaBackendOptions, openLlamaBackend } from '../compute/llama.ts'
export type { LlamaKvType } from '../compute/llama-state.ts'
export {
  DEFAULT_TRANSFORMERS_OPTIONS,
  openTransformersBackend,
  type TransformersBackendOptions,
} from '../compute/transformers.ts'
export type { OnnxWeights } from '../compute/transformers-folder.ts'
export type { ModelHashes } from '../compute/model-file.ts'
export {
  DEFAULT_SIMULATED_MEMORY_BYTES,
  type EngineWait,
  openSimulatedBackend,
  type SimulatedOptions,
  waitOf,
} from '../compute/simulated.ts'
export {
  SIMULATED_DTYPES,
  type SimulatedDtype,
  type SimulatedHybrid,
  type SimulatedShape,
} from '../compute/simulated-model.ts'

/** Files of models, their tokenizers, and drawing tokens from logits. */
export { type Gguf, type GgufTensor, readGguf, readGgufHeader } from '../engine/gguf.ts'
export type { GgufHeader, GgufTensorInfo } from '../engine/gguf-header.ts'
export type { TensorType } from '../engine/gguf-types.ts'
export type { GgufValue } from '../engine/gguf-value.ts'
export { dequantize } from '../engine/dequantize.ts'
export { tokenizerOf } from '../engine/tokenizer.ts'
export { sample, TokenSampler } from '../engine/sampling.ts'

/** Services that keep their KV: text in, text out, and what they say was cached. */
export { type MaxTokensField, openOpenAiBackend, type OpenAiOptions } from '../compute/openai.ts'
export { type AnthropicOptions, type CacheTtl, openAnthropicBackend } from '../compute/anthropic.ts'
export { openOllamaBackend, type OllamaOptions } from '../compute/ollama.ts'
export { ApiKey, apiKeyFrom, type ApiKeySources, type ProviderName } from '../compute/provider-key.ts'
export {
  DEFAULT_PROVIDER_RETRIES,
  DEFAULT_PROVIDER_TIMEOUTS,
  type ProviderAttemptReport,
  type ProviderOptions,
  type ProviderRetries,
} from '../compute/provider-options.ts'
export type { AnswerHeaders } from '../compute/provider-headers.ts'

/** A node without doors: memory, engine, and the rebuild between them. */
export { type Node, openNode } from './node.ts'
export { DEFAULT_NODE_OPTIONS, type NodeMovedOptions, type NodeOptions, type NodeStats } from './node-options.ts'
export type { GenerateRequest, Generation, Prompt, PromptRequest, Rebuilt } from './generation.ts'
export { generateText } from './generate-text.ts'
export { hashContext } from './kv-hash.ts'
export type { ReadAheadStats } from './read-ahead.ts'
export type { ResidentStats } from './resident-pool.ts'
export { type LoadedRates, RatesFile } from './rates-file.ts'
export { systemAlarm, systemStopwatch } from './system-time.ts'

/** Settings of a server, from any sources: checked, complete, each with where it came from. */
export { type EffectiveServerConfig, mergeServerConfig } from '../api/merge-server-config.ts'
export { type ConfigLayer, type Environment, environmentLayer, type GivenValue } from '../api/server-layers.ts'
export { DEFAULT_SERVER_CONFIG, type ServerConfig, type ServerConfigKey } from '../api/server-schema.ts'
export type { CredentialEntry, CredentialsDocument } from '../api/credentials-schema.ts'
export { Secret } from '../core/secret.ts'

/** Who may do what, and what is written down: the parts of a server that decide before its doors do. */
export {
  auditPathOf,
  type CredentialsRead,
  openSecurity,
  type Security,
  type SecurityPorts,
  type SecurityReload,
} from './security.ts'
export { Credentials, type CredentialsChange, newTenantSaltSecret, newToken } from './credentials.ts'
export { checkExposure, type CredentialFacts, isLoopback } from './exposure.ts'
export { RateLimits, type RateLimitOptions } from './rate-limits.ts'
export { loadTls, type LoadedTls, type TlsMaterial, type TlsPaths } from './tls-files.ts'
export { AUDIT_ACTIONS, type AuditAction, type AuditEntry, AuditLog } from './audit.ts'
export { type LogTerminal, openLog, type OpenLog, requestIdOf } from './log.ts'
/** Bytes in memory: what the tier over a slower store has done, and changes of how long an entry is kept. */
export type { HotStats } from '../store/hot.ts'
export type { FabricRevision } from './tenant-fabric.ts'
/** zstd for `encodeFrame` and `decodeFrame` of the transfer plane. */
export { zstdCodec } from './zstd.ts'
