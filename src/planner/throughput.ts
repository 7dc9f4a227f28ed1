/**
 * Equations (1) to (8) of arXiv:2604.15039v2, section 3.4, one function each. A stage is described by plain
 * numbers; which length stands for its requests is the caller's choice (the paper takes the mean, `split.ts`; ASSUMPTION: representative-length, steady-state).
 */

/** KV throughput of one instance, Phi_kv(l) = S_kv(l) / T_prefill(l), bytes per second. Eq. (1). */
export function kvThroughputBytesPerSecond(stage: {
  readonly kvBytes: number
  readonly prefillSeconds: number
}): number {
  return stage.kvBytes / stage.prefillSeconds
}

/** Egress that keeps a whole prefill cluster from waiting, B_out >= (N / P) Phi_kv(L_avg), bytes per second. Eq. (2). */
export function minimumEgressBytesPerSecond(cluster: {
  readonly gpus: number
  readonly gpusPerInstance: number
  readonly kvBytesPerSecond: number
}): number {
  return (cluster.gpus / cluster.gpusPerInstance) * cluster.kvBytesPerSecond
}

/** The remote prefill stage as Eq. (3) sees it. */
export interface RemoteStage {
  readonly instances: number
  /** T_prefill(l_long) on the remote hardware. */
  readonly prefillSeconds: number
  /** S_kv(l_long). */
  readonly kvBytes: number
  /** B_out. */
  readonly egressBytesPerSecond: number
}

/** Theta_prfaas = min(N_prfaas / T_prefill(l_long), B_out / S_kv(l_long)), requests per second. Eq. (3). */
export function remotePrefillRps(stage: RemoteStage): number {
  return Math.min(stage.instances / stage.prefillSeconds, stage.egressBytesPerSecond / stage.kvBytes)
}

/** Theta_pd-p = N_p / T_prefill(l_short), requests per second. Eq. (4). */
export function localPrefillRps(stage: { readonly instances: number; readonly prefillSeconds: number }): number {
  return stage.instances / stage.prefillSeconds
}

/** Theta_pd-d = N_d BS_max / (T_decode L_out), requests per second. Eq. (5). */
export function decodeRps(stage: {
  readonly instances: number
  readonly batch: number
  readonly stepSeconds: number
  readonly outputTokens: number
}): number {
  return (stage.instances * stage.batch) / (stage.stepSeconds * stage.outputTokens)
}

/** What the stages can serve, requests per second; a stage that does not exist is null. */
export interface StageRates {
  readonly remotePrefillRps: number | null
  readonly localPrefillRps: number | null
  readonly decodeRps: number
  /** p = P(L > t). */
  readonly offloadedRatio: number
}

/** Theta_prfaas / p: the system rate at which remote prefill is full. Infinite when nothing is offloaded (p = 0). */
export function remoteBoundRps(rates: StageRates): number {
  if (rates.offloadedRatio <= 0) return Number.POSITIVE_INFINITY
  return (rates.remotePrefillRps ?? 0) / rates.offloadedRatio
}

/** Theta_pd-p / (1 - p): the system rate at which local prefill is full. Infinite when everything is offloaded (p = 1). */
export function localBoundRps(rates: StageRates): number {
  if (rates.offloadedRatio >= 1) return Number.POSITIVE_INFINITY
  return (rates.localPrefillRps ?? 0) / (1 - rates.offloadedRatio)
}

/** Lambda_max = min(Theta_prfaas / p, Theta_pd-p / (1 - p), Theta_pd-d), requests per second. Eq. (6). */
export function lambdaMaxRps(rates: StageRates): number {
  return Math.min(remoteBoundRps(rates), localBoundRps(rates), rates.decodeRps)
}

/** Theta_prfaas / p - Theta_pd-p / (1 - p), zero at the best threshold: below zero the remote side is the tighter one. Eq. (7). */
export function thresholdImbalanceRps(rates: StageRates): number {
  return remoteBoundRps(rates) - localBoundRps(rates)
}

/** Theta_prfaas + Theta_pd-p - Theta_pd-d, zero at the best N_p / N_d: above zero decode is the bottleneck. Eq. (8). */
export function roleImbalanceRps(rates: StageRates): number {
  return (rates.remotePrefillRps ?? 0) + (rates.localPrefillRps ?? 0) - rates.decodeRps
}
