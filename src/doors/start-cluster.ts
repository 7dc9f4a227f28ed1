/** A node's part in a cluster, as its configuration says: put together before its engine, begun when its doors are open. */
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { ServerConfig } from '../api/server-schema.ts'
import { clusterEngineOf } from '../api/server-meaning.ts'
import { MembraneError } from '../core/errors.ts'
import type { ChainHashes, Clock } from '../core/ports.ts'
import type { BlockDirectory } from '../cluster/block-directory.ts'
import { HeldNames } from '../cluster/held-names.ts'
import { HotCopies } from '../cluster/hot-copies.ts'
import { CLUSTER_FORMAT, type MemberFacts, NO_TELEMETRY } from '../cluster/member.ts'
import { PeerHandlers, peerMessage } from '../cluster/peer-calls.ts'
import { Replicator } from '../cluster/replicator.ts'
import { ShardedDirectory } from '../cluster/sharded-directory.ts'
import { ClusterElsewhere } from '../server/cluster-elsewhere.ts'
import { ClusterFetch } from '../server/cluster-fetch.ts'
import { answerFinds, ClusterFind } from '../server/cluster-find.ts'
import { answerForgets, ClusterForget } from '../server/cluster-forget.ts'
import { demoteCold, promoting } from '../server/cluster-heat.ts'
import { ClusterLinks } from '../server/cluster-links.ts'
import { ClusterNode, type Computing } from '../server/cluster-node.ts'
import { ClusterPull } from '../server/cluster-pull.ts'
import { ClusterRouting } from '../server/cluster-routing.ts'
import { prefillReport, reportTelemetry } from '../server/cluster-telemetry.ts'
import type { Fabric } from '../server/fabric.ts'
import { HeldBlocks } from '../server/held-blocks.ts'
import { answerEchoes, probeLinks } from '../server/link-probes.ts'
import { DEFAULT_NODE_OPTIONS } from '../server/node-options.ts'
import { PeerConnections } from '../server/peer-connections.ts'
import type { Security } from '../server/security.ts'
import { RedisDirectory } from '../server/redis-directory.ts'
import { FabricReplicas } from '../server/replica-store.ts'
import { ClusterPrefill } from '../server/remote-prefill.ts'
import { StagedFiles } from '../server/staged-files.ts'
import { StartedMembership } from '../server/started-membership.ts'
import { systemAlarm, systemStopwatch } from '../server/system-time.ts'
import { connectRedis, HELLO, startGossip, startLeases, type StartedEngine } from './start-membership.ts'

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

/** Null where the cluster is switched off. Opens nothing but a connection to the Redis; throws STORE_UNAVAILABLE without it. */
export async function openCluster(config: ServerConfig, parts: ClusterParts): Promise<ClusterNode | null> {
  const engine = clusterEngineOf(config)
  if (engine === 'off') return null
  const { fabric, security, chainHashes, clock, log } = parts
  const facts = factsOf(config, parts)
  const membership = new StartedMembership(facts, clock.nowMs())
  const handlers = new PeerHandlers()
  const connections = new PeerConnections({ tokens: security.nodeTokens, tls: security.tls })
  const held = new HeldNames(config.store === 'redis' ? 'remote' : config.store, {
    joined: (tenant, names, tier) => directory.joined(tenant, names, tier),
    left: (tenant, names) => directory.left(tenant, names),
  })
  const common = { membership, own: held, alarm: systemAlarm, clock }
  const redis = engine === 'redis' ? await connectRedis(config) : null
  const directory: BlockDirectory =
    redis === null
      ? new ShardedDirectory({ ...common, calls: connections, handlers })
      : new RedisDirectory({ ...common, redis: redis.directory, cluster: config.clusterName })
  const hash = chainHashes.blake3
  const blocks = new HeldBlocks({ fabric, held, hash })
  const transfers = config.store === 'disk' && config.dataDir !== null ? join(config.dataDir, 'transfers') : null
  const links = new ClusterLinks({ membership, alarm: systemAlarm, stopwatch: systemStopwatch })
  const files = transfers === null ? null : new StagedFiles(transfers)
  const pull = new ClusterPull({ fabric, connections, files, links })
  const copies = new HotCopies(clock)
  const forget = new ClusterForget({ membership, calls: connections })
  const replication = new Replicator({
    membership,
    calls: connections,
    handlers,
    own: new FabricReplicas({ fabric, pull, repairBytesPerSecond: config.replicationBytesPerSecond }),
    alarm: systemAlarm,
    clock,
    copies: config.replicaCount,
  })
  const elsewhere = new ClusterElsewhere({
    membership,
    directory,
    connections,
    pull,
    forget,
    copies,
    hash,
    missed: (tenant, key, node) => replication.noticeMissing(tenant, key, node),
  })
  const ends = [
    answerFinds(handlers, fabric),
    answerEchoes(handlers),
    handlers.on(HELLO, async () => peerMessage(HELLO, { self: membership.self })),
  ]
  const routing = new ClusterRouting({
    membership,
    calls: connections,
    handlers,
    links,
    alarm: systemAlarm,
    stopwatch: systemStopwatch,
    clock,
    requestsMax: config.requestsMax,
  })
  const remotePrefill = new ClusterPrefill({
    membership,
    connections,
    blake3: fabric.hashers.b3,
    alarm: systemAlarm,
    stopwatch: systemStopwatch,
    threshold: routing,
    link: null,
    links,
  })
  let started: StartedEngine | null = null
  const begin = async (address: string, { engine: computing, rates }: Computing): Promise<void> => {
    const replaced = (by: MemberFacts): void =>
      log.error({ by: by.address }, `another node is called ${by.node}: this one has left the cluster`)
    const own = { ...facts, address }
    started =
      redis === null
        ? startGossip(config, { facts: own, calls: connections, handlers, clock, replaced })
        : startLeases(config, { facts: own, redis: redis.membership, calls: connections, clock, replaced })
    membership.begin(started.membership)
    await started.start()
    if (computing.kind === 'node') {
      const { model } = computing.node.backend
      const { fragmentTokens } = DEFAULT_NODE_OPTIONS
      remotePrefill.begin({ model, fragmentize: { blockTokens: computing.node.blockTokens, fragmentTokens } })
      routing.begin(model, () => prefillReport(computing, rates))
    }
    const heat = { fabric, copies, directory, membership, hash, alarm: systemAlarm, wanted: config.replicaCount }
    ends.push(
      demoteCold(heat, elsewhere.demoted),
      reportTelemetry({
        membership,
        fabric,
        engine: computing,
        rates,
        links: () => links.reports(),
        alarm: systemAlarm,
      }),
      probeLinks({
        membership,
        calls: connections,
        measures: links.measures,
        alarm: systemAlarm,
        stopwatch: systemStopwatch,
      }),
    )
    await blocks.fill()
  }
  return new ClusterNode({
    cluster: config.clusterName,
    engine,
    membership,
    handlers,
    directory,
    find: new ClusterFind({ membership, directory, calls: connections }, config.leaseSeconds * 1000),
    fetch: promoting(new ClusterFetch({ membership, connections, links }), copies, elsewhere),
    remotePrefill,
    observer: routing,
    elsewhere,
    replication,
    routing,
    notes: () => started?.notes() ?? [],
    eraseWith: (erase) => void ends.push(answerForgets(handlers, { fabric, erase, replication })),
    begin,
    join: async (address) => {
      await started?.join(address)
    },
    close: async () => {
      blocks.close()
      for (const end of ends) end()
      routing.close()
      await replication.close()
      await directory.close()
      await membership.close()
      connections.close()
      redis?.close()
    },
  })
}
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
function factsOf(config: ServerConfig, { clock, version }: Pick<ClusterParts, 'clock' | 'version'>): MemberFacts {
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
