/** A node's part in a cluster, as its configuration says: put together before its engine, begun when its doors are open. */
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { ServerConfig } from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'
import type { ChainHashes, Clock } from '../core/ports.ts'
import { CLUSTER_FORMAT, type MemberFacts, NO_TELEMETRY } from '../cluster/member.ts'
import { PeerHandlers } from '../cluster/peer-calls.ts'
import { ClusterElsewhere } from '../server/cluster-elsewhere.ts'
import { ClusterFetch } from '../server/cluster-fetch.ts'
import { answerFinds, ClusterFind } from '../server/cluster-find.ts'
import { ClusterNode } from '../server/cluster-node.ts'
import { ClusterPull } from '../server/cluster-pull.ts'
import type { Fabric } from '../server/fabric.ts'
import { PeerConnections } from '../server/peer-connections.ts'
import type { Security } from '../server/security.ts'
import { StagedFiles } from '../server/staged-files.ts'
import { StartedMembership } from '../server/started-membership.ts'

export interface ClusterParts {
  readonly fabric: Fabric
  readonly security: Security
  readonly chainHashes: ChainHashes
  readonly clock: Clock
  readonly version: string
  readonly log: Logger
}

/** Wildcards: every interface of this machine, and an address of none. */
const WILDCARDS = ['0.0.0.0', '::', '*']

/** Where others reach the HTTP door that listens on `host` and `port`. Throws INVALID_CONFIG when nobody can say. */
export function advertisedAddress({ advertise, host }: Pick<ServerConfig, 'advertise' | 'host'>, port: number): string {
  if (advertise !== null) return advertise
  if (!WILDCARDS.includes(host)) return `${host.includes(':') ? `[${host}]` : host}:${port}`
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')
  if (own !== undefined) return `${own.address}:${port}`
  throw new MembraneError('INVALID_CONFIG', `${host} is no address that other nodes can reach.`, {
    remedy: 'Say with --advertise host:port where they do.',
  })
}

/** Of a node that has no address yet. */
export function factsOf(
  config: ServerConfig,
  { clock, version }: Pick<ClusterParts, 'clock' | 'version'>,
): MemberFacts {
  const { nodeId, datacentre, roles, compute, storeBytesMax, store, memoryBytesMax } = config
  const startedMs = clock.nowMs()
  return {
    node: nodeId,
    incarnation: startedMs,
    sequence: 0,
    address: 'localhost:0',
    datacentre,
    // Who computes nothing neither prefills nor decodes, whatever it was told.
    roles: roles.filter((role) => compute !== 'none' || role === 'store' || role === 'supernode'),
    version,
    format: CLUSTER_FORMAT,
    capacityBytes: store === 'memory' ? memoryBytesMax : storeBytesMax,
    startedMs,
    isDraining: false,
    telemetry: NO_TELEMETRY,
  }
}
