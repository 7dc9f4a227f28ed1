/** How a node gossips, and why the numbers are what they are. */
import type { Alarm, Clock } from '../core/ports.ts'
import type { Random } from '../core/random.ts'
import type { MemberFacts } from './member.ts'
import type { PeerCalls, PeerHandlers } from './peer-calls.ts'

/** Seconds, but for counts. */
export interface GossipTimes {
  /** Between two rounds of probes; also how long one may take, directly and through others. */
  readonly heartbeatSeconds: number
  /** Between two exchanges of everything with one other node. */
  readonly exchangeSeconds: number
  /** Heartbeats for which a node is suspected before it is taken for gone. */
  readonly failureThreshold: number
  /** Nodes probed in one round; in a cluster no larger, all of them. */
  readonly probesPerRound: number
  /** Nodes that are asked to probe one that did not answer. */
  readonly indirectProbes: number
  /** How long those that are gone or have left are shown, and old news of them refused. */
  readonly keptSeconds: number
}

/**
 * A node that falls silent is met by a round within 0.4 s, has 0.4 s to answer and 0.4 s to answer through others, and
 * is suspected for 4 times 0.4 s: it is gone after 2.8 s at most. One that is only late has the 1.6 s of suspicion to say
 * so, and four rounds that ask it to.
 */
export const DEFAULT_GOSSIP_TIMES: GossipTimes = {
  heartbeatSeconds: 0.4,
  exchangeSeconds: 5,
  failureThreshold: 4,
  probesPerRound: 8,
  indirectProbes: 3,
  keptSeconds: 300,
}

export interface GossipOptions {
  /** This node; its incarnation is where it begins to count. */
  readonly facts: MemberFacts
  /** `host:port` of nodes to begin with. */
  readonly seeds: readonly string[]
  readonly times: GossipTimes
  readonly calls: PeerCalls
  readonly handlers: PeerHandlers
  readonly clock: Clock
  readonly alarm: Alarm
  readonly random: Random
  /** Told when another node with this name began later: this one has left then, and must be started with another name. */
  readonly replaced?: (by: MemberFacts) => void
}

/** Changes that one message carries; what is beyond goes with the next ones. */
export const NEWS_MAX = 32
