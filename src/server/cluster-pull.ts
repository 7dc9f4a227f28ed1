/** Takes fragments over from another node: in verified chunks, over some connections, as a sync does. */
import type { CallOptions } from '../core/compute.ts'
import type { TenantId } from '../core/ids.ts'
import type { TokenBucket } from '../policy/token-bucket.ts'
import { DEFAULT_CHUNK_BYTES } from '../transfer/chunks.ts'
import { LinkCompression } from '../transfer/link-compression.ts'
import type { FragmentOutcome, WantedFragment } from '../transfer/receive-ports.ts'
import { receiveFragments } from '../transfer/receive.ts'
import type { FetchMeter } from './cluster-fetch.ts'
import type { Fabric } from './fabric.ts'
import { FabricSink } from './fabric-sink.ts'
import { HttpChunkSource } from './http-chunk-source.ts'
import type { PeerConnections } from './peer-connections.ts'
import type { StagedFiles } from './staged-files.ts'
import { systemAlarm, systemStopwatch } from './system-time.ts'

export interface ClusterPullParts {
  readonly fabric: Fabric
  readonly connections: PeerConnections
  /** For what is larger than memory has room for; null keeps all in memory. */
  readonly files: StagedFiles | null
  readonly meter: FetchMeter
}

/** From whom, and how fast. */
export interface PullOptions extends CallOptions {
  /** Shared by all that are bounded together; null is as fast as it goes. */
  readonly bucket?: TokenBucket | null
}

const CONNECTIONS = 4
/** Of a connection without progress. */
const STALL_SECONDS = 10
/** Of one pull: a peer that hangs is given up, and what has come is kept. */
const DEADLINE_SECONDS = 600

/** See the top of this file. */
export class ClusterPull {
  readonly #parts: ClusterPullParts

  constructor(parts: ClusterPullParts) {
    this.#parts = parts
  }

  /** One outcome for each that is wanted, in order. What is here already is `stored`, without the network. Throws ABORTED. */
  async pull(
    tenant: TenantId,
    from: { readonly node: string; readonly address: string },
    wanted: readonly WantedFragment[],
    { signal, bucket = null }: PullOptions = {},
  ): Promise<readonly FragmentOutcome[]> {
    if (wanted.length === 0) return []
    const { fabric, connections, files, meter } = this.#parts
    const { hashers } = fabric
    const peer = connections.bytesOf(from.address, tenant)
    const call = signal === undefined ? {} : { signal }
    const link = new LinkCompression(systemStopwatch)
    const sources = Array.from(
      { length: Math.min(CONNECTIONS, wanted.length) },
      () => new HttpChunkSource(peer, DEFAULT_CHUNK_BYTES, link),
    )
    const sink = new FabricSink({
      own: fabric.of(tenant),
      describe: (key) => peer.describe(key, call),
      manifest: async (key) => (await sources[0]?.manifest({ key }, call)) ?? null,
      hashers,
      files,
      scope: tenant,
    })
    const { outcomes, counters, seconds } = await receiveFragments(
      wanted,
      {
        sources,
        sink,
        lease: peer,
        hashers,
        stopwatch: systemStopwatch,
        alarm: systemAlarm,
        random: Math.random,
        bucket,
      },
      {
        ...call,
        chunkBytes: DEFAULT_CHUNK_BYTES,
        stallSeconds: STALL_SECONDS,
        deadlineSeconds: DEADLINE_SECONDS,
        progress: () => undefined,
      },
    )
    if (counters.bytesReceived > 0) meter.fetched(from.node, counters.bytesReceived, seconds)
    if (counters.cuts > 0) meter.failed(from.node)
    return outcomes
  }
}
