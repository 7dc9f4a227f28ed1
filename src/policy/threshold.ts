/** What the short-term control sees, over its last period or at its end. */
export interface Congestion {
  /** t as the planner found it for the load as it was last measured, tokens. */
  readonly plannedTokens: number
  /** Share of the link's present bandwidth that was used. */
  readonly egressUtilisation: number
  /** How long a request that is offloaded now waits: for a server, then behind the bytes that are in flight. */
  readonly remoteDelaySeconds: number
  /** How long one that stays waits for a server. */
  readonly localDelaySeconds: number
  /** Mean prefill of a request, on whichever side: what delays are measured by. */
  readonly serviceSeconds: number
}

/** How strongly the threshold answers. Each constant is an assumption: the paper gives no number. */
export interface ThresholdControl {
  /** The threshold stays within this factor of the planned one, and reaches it when only one side has a queue, and a long one. */
  readonly foldMax: number
  /** Delays, in mean prefills, that count as long: the larger, the calmer the threshold. */
  readonly longDelayServices: number
  /** Utilisation above which the link counts as congested, and the threshold rises whatever the queues say. */
  readonly egressTrigger: number
  /** Factor on the threshold when the link is full; in proportion between trigger and full. */
  readonly egressFoldMax: number
}

/** ASSUMPTION: threshold-control. */
export const DEFAULT_THRESHOLD_CONTROL: ThresholdControl = {
  foldMax: 8,
  longDelayServices: 6,
  egressTrigger: 0.85,
  egressFoldMax: 1.5,
}

/**
 * The threshold for the next period (section 3.4.3, short term): above the planned one while the remote side is the
 * slower to reach, so that fewer and longer requests are offloaded, and below it while the local queue is. What counts
 * is the difference of the delays over their sum: with long queues on both sides the planned threshold, which divides
 * the work best, is left alone. It depends on what is seen now only, so it returns by itself when congestion ends.
 */
export function controlledThreshold(congestion: Congestion, control: ThresholdControl): number {
  const { plannedTokens, egressUtilisation, remoteDelaySeconds, localDelaySeconds, serviceSeconds } = congestion
  const { foldMax, longDelayServices, egressTrigger, egressFoldMax } = control
  const sum = remoteDelaySeconds + localDelaySeconds + longDelayServices * serviceSeconds
  const byQueues = (Math.log(foldMax) * (remoteDelaySeconds - localDelaySeconds)) / sum
  const excess = Math.max(0, Math.min(1, (egressUtilisation - egressTrigger) / (1 - egressTrigger)))
  return plannedTokens * Math.min(foldMax, Math.exp(byQueues + excess * Math.log(egressFoldMax)))
}
