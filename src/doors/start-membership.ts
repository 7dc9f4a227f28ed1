/** The engine by which a node knows the others, as its configuration says: gossip, or leases in a Redis. */
import type { ServerConfig } from '../api/server-schema.ts'
import { revealRedisUrl } from '../api/server-meaning.ts'
import { MembraneError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import { DEFAULT_GOSSIP_TIMES } from '../cluster/gossip-options.ts'
import { GossipMembership } from '../cluster/gossip.ts'
import { type MemberFacts, memberFacts } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import { type PeerCalls, type PeerHandlers, peerMessage } from '../cluster/peer-calls.ts'
import { DEFAULT_REDIS_TIMES, RedisMembership } from '../server/redis-membership.ts'
import { systemAlarm } from '../server/system-time.ts'
import { RedisClient } from '../store/redis-client.ts'
import { parseRedisUrl } from '../store/redis-url.ts'

/** An engine that has not begun. */
export interface StartedEngine {
  readonly membership: Membership
  /** Throws STORE_UNAVAILABLE. */
  readonly start: () => Promise<void>
  /** Joins the cluster of the node that is there. Throws PEER_UNAVAILABLE, and INVALID_REQUEST where that is none. */
  readonly join: (address: string) => Promise<void>
  /** What does not work as it should, in sentences. */
  readonly notes: () => readonly string[]
}

/** Connections of their own: a look-up of a long prompt must not hold up a sign of life. */
export interface ClusterRedis {
  readonly membership: RedisClient
  readonly directory: RedisClient
  readonly close: () => void
}

/** A heartbeat has to come through within a fraction of a lease. */
const REDIS_TIMEOUT_MS = 1000
/** Kind of the message that asks a node who it is. */
export const HELLO = 'hello'
const HELLO_SECONDS = 2
/** As many as the defaults have: three are lost before a node is suspected. */
const LEASE_HEARTBEATS = DEFAULT_REDIS_TIMES.leaseSeconds / DEFAULT_REDIS_TIMES.heartbeatSeconds

/** Throws STORE_UNAVAILABLE, INVALID_CONFIG and MISSING_PACKAGE. */
export async function connectRedis(config: ServerConfig): Promise<ClusterRedis> {
  const address = parseRedisUrl(revealRedisUrl(config) ?? '')
  const options = { timeoutMs: REDIS_TIMEOUT_MS, silenceMsMax: REDIS_TIMEOUT_MS, tls: {} }
  const membership = await RedisClient.connect(address, { ...options, isPipelined: false })
  try {
    const directory = await RedisClient.connect(address, { ...options, isPipelined: true })
    return {
      membership,
      directory,
      close: () => {
        membership.close()
        directory.close()
      },
    }
  } catch (error) {
    membership.close()
    throw error
  }
}

interface EngineParts {
  readonly facts: MemberFacts
  readonly calls: PeerCalls
  readonly clock: Clock
  readonly replaced: (by: MemberFacts) => void
}

export function startGossip(
  config: ServerConfig,
  { handlers, ...parts }: EngineParts & { readonly handlers: PeerHandlers },
): StartedEngine {
  const membership = new GossipMembership({
    ...parts,
    handlers,
    seeds: config.peers,
    times: {
      ...DEFAULT_GOSSIP_TIMES,
      heartbeatSeconds: config.heartbeatIntervalSeconds,
      exchangeSeconds: config.gossipIntervalSeconds,
      failureThreshold: config.failureRemoveThreshold,
    },
    alarm: systemAlarm,
    random: Math.random,
  })
  return {
    membership,
    start: async () => membership.start(),
    join: (address) => membership.join(address),
    notes: () => [],
  }
}

export function startLeases(
  config: ServerConfig,
  { redis, calls, ...parts }: EngineParts & { readonly redis: RedisClient },
): StartedEngine {
  const membership = new RedisMembership({
    ...parts,
    redis,
    cluster: config.clusterName,
    times: {
      ...DEFAULT_REDIS_TIMES,
      heartbeatSeconds: config.heartbeatIntervalSeconds,
      leaseSeconds: LEASE_HEARTBEATS * config.heartbeatIntervalSeconds,
    },
    alarm: systemAlarm,
  })
  return {
    membership,
    start: () => membership.start(),
    // Whoever has written itself into the same Redis has joined already.
    join: (address) => checkKnown(membership, calls, address),
    notes: () =>
      membership.error === null
        ? []
        : [`The Redis of the cluster does not answer, and nobody is judged meanwhile: ${membership.error.message}`],
  }
}

async function checkKnown(membership: Membership, calls: PeerCalls, address: string): Promise<void> {
  const message = peerMessage(HELLO)
  const { fields } = await calls.call(address, message, { tenant: null, timeoutSeconds: HELLO_SECONDS })
  const { node } = memberFacts(fields['self'])
  if (membership.member(node) !== null) return
  throw new MembraneError('INVALID_REQUEST', `${node} at ${address} is in no cluster of this Redis and name.`, {
    remedy: 'Start it with the same --redis and --cluster-name.',
  })
}
