/** Bounds of one replica. */
export interface EngineLimits {
  /** Sequences that hold a slot at once: max_num_seqs. */
  readonly sequencesMax: number
  /** Tokens of one iteration, prefill and decode together: max_num_batched_tokens. */
  readonly batchTokensMax: number
  /** Tokens that the KV cache holds, in whole blocks of ENGINE_BLOCK_TOKENS; null when memory does not bind. */
  readonly kvTokensMax: number | null
}

/** How an engine is set up. What its iterations cost stands apart, in EngineStepSeconds. */
export interface EngineOptions extends EngineLimits {
  readonly replicas: number
  /** All replicas begin and end every iteration together. */
  readonly isLockstep: boolean
  /** Iterations decided and not yet over, the running one included: 1, or 2 when scheduling is asynchronous. */
  readonly stepsInFlight: number
}

/** ASSUMPTION: engine-defaults. vLLM 0.19 as it starts without flags on one GPU. */
export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  sequencesMax: 128,
  batchTokensMax: 2048,
  kvTokensMax: null,
  replicas: 1,
  isLockstep: false,
  stepsInFlight: 2,
}

/** Tokens of one KV block, vLLM's default. */
export const ENGINE_BLOCK_TOKENS = 16
