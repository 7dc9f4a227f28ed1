import { EVICTION_POLICIES, type EvictionPolicyName } from '../policy/evict-policies.ts'
import type { Regime } from '../policy/regime.ts'
import type { AgentWorkload } from './agent-traffic.ts'
import type { ArrivalKind } from './arrivals.ts'
import type { RateCurve } from './rate-curve.ts'
import type { Roles } from './split.ts'
import type { Trace } from './trace.ts'

/** Who decides where a request is prefilled, and with what. */
export const SCHEDULERS = ['on', 'fixed', 'off'] as const
/**
 * `on`: the dual-timescale scheduler moves the threshold and the roles. `fixed`: the threshold and roles given, for the
 * whole run. `off`: no look at lengths; each request goes to either cluster by chance, in proportion to their capacity.
 */
export type SchedulerKind = (typeof SCHEDULERS)[number]

/** How the router chooses between the clusters. */
export const ROUTINGS = ['threshold', 'latency', 'economic'] as const
/** By threshold (the paper), by the sooner place, or by the cheaper one in time. */
export type RoutingKind = (typeof ROUTINGS)[number]

/** The pools that a scenario's events can name. */
export const POOL_NAMES = ['remotePrefill', 'localPrefill', 'decode'] as const
/** A pool that an event can name. */
export type PoolName = (typeof POOL_NAMES)[number]

/** What happens to the deployment at a time. */
export type TimedEvent =
  | { readonly kind: 'link'; readonly atSeconds: number; readonly gbps: number }
  | {
      readonly kind: 'lose' | 'restore'
      readonly atSeconds: number
      readonly pool: PoolName
      readonly instances: number
    }

/** How KV crosses the link. */
export interface TransferOptions {
  /** Whether KV crosses the link after its prefill, as in the case study, or layer by layer while it is computed. */
  readonly mode: 'after-prefill' | 'layerwise'
  /** Layers whose KV is sent one by one; only with layerwise. */
  readonly layers: number
  readonly rttSeconds: number
  /** 10^9 bit/s that one transfer gets at most; no bound when null. */
  readonly flowGbpsMax: number | null
}

/** The eviction policies that a cache can have. */
export const EVICTION_POLICY_NAMES = Object.keys(EVICTION_POLICIES) as [EvictionPolicyName]

/** Prefix caches of a run. */
export interface CacheOptions {
  /**
   * `cluster`: a pool of its own in each cluster, filled when a prompt's KV is complete there. `shared`: one pool of
   * `localBlocks` for both, filled when a request arrives, as caches are counted on traces.
   */
  readonly scope: 'cluster' | 'shared'
  /** Pool of each cluster, in blocks; 0: none. */
  readonly remoteBlocks: number
  readonly localBlocks: number
  /** Room that one recurrent state takes, in blocks; 0 for models without. */
  readonly stateBlocks: number
  /** A recurrent state is also kept every so many blocks; 0: at the end of a prompt only. */
  readonly checkpointBlocks: number
  readonly policy: EvictionPolicyName
  /** Whether a prefix may be copied to the other cluster when bandwidth is abundant. */
  readonly isCopiedAcross: boolean
}

/** Requests as a trace has them; `rateRps` null keeps its pace. */
export interface TraceWorkload {
  readonly kind: 'trace'
  readonly trace: Trace
  readonly rateRps: number | null
}

/** One run: a deployment under a load. Plain data, so that it can be sent to a worker. */
export interface SimulationOptions {
  readonly roles: Roles
  readonly thresholdTokens: number
  readonly rateRps: number
  /** How many requests arrive; the run ends when all of them are done. */
  readonly requests: number
  readonly seed: number
  /** Where requests come from; the scenario's lengths and output by default. */
  readonly workload?: TraceWorkload | AgentWorkload | undefined
  /** Default poisson. */
  readonly arrivals?: ArrivalKind | undefined
  /** Squared coefficient of variation of gamma and weibull gaps; the scenario's by default. */
  readonly burstiness?: number | undefined
  /** How the rate changes over time. Constant by default. */
  readonly curve?: RateCurve | null | undefined
  /** Default fixed. */
  readonly scheduler?: SchedulerKind | undefined
  /** Default threshold. */
  readonly routing?: RoutingKind | undefined
  /** The regime that routing starts in, and stays in without the scheduler. Default bandwidth-scarce. */
  readonly regime?: Regime | undefined
  /** Default after the prefill, no round trip, no bound on a flow. */
  readonly transfer?: TransferOptions | undefined
  /** In order of time. */
  readonly events?: readonly TimedEvent[] | undefined
  readonly caches?: CacheOptions | null | undefined
  /** KV that has no slot yet rests in the decode cluster, up to this. Unbounded by default. */
  readonly stagingBytesMax?: number | undefined
  /** With more requests than this in the system, the run says when they first were. See `queueBound`. */
  readonly queueBoundRequests?: number | undefined
  /** Length of the intervals of the time series; none is recorded by default. */
  readonly seriesSeconds?: number | undefined
  /** How many single requests to keep the timeline of. Default 0. */
  readonly timelines?: number | undefined
  /** How often the scheduler looks at queues and link, and at roles and the planned threshold. */
  readonly controlSeconds: number
  readonly replanSeconds: number
  /** Until the router notices that a cluster is gone. */
  readonly detectionSeconds: number
  /** How long an empty instance takes until it serves in another role. */
  readonly roleChangeSeconds: number
}

export const DEFAULT_TRANSFER: TransferOptions = { mode: 'after-prefill', layers: 1, rttSeconds: 0, flowGbpsMax: null }

/** What a run does about time and size unless it is told otherwise. ASSUMPTION: scheduler-clock, loss-detection, role-change. */
export const DEFAULT_SIMULATION = {
  controlSeconds: 1,
  replanSeconds: 300,
  detectionSeconds: 5,
  roleChangeSeconds: 30,
} as const satisfies Partial<SimulationOptions>

/** ASSUMPTION: queue-bound. */
const QUEUE_PER_PLACE = 10

/** Requests in the system above which a run says since when: by default ten times as many as it can serve at once. */
export function queueBound({ roles, queueBoundRequests }: SimulationOptions, decodeBatch: number): number {
  return queueBoundRequests ?? QUEUE_PER_PLACE * (roles.remotePrefill + roles.localPrefill + roles.decode * decodeBatch)
}
