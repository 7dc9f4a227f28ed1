/** Takes fragments over from another node: in verified chunks, over some connections, as a sync does. */
import type { CallOptions } from '../core/compute.ts'
import type { TenantId } from '../core/ids.ts'
import type { FlowName } from '../cluster/fair-link.ts'
import type { TokenBucket } from '../policy/token-bucket.ts'
import { DEFAULT_CHUNK_BYTES } from '../transfer/chunks.ts'
import { LinkCompression } from '../transfer/link-compression.ts'
import type { ChunkSource, FragmentOutcome, WantedFragment } from '../transfer/receive-ports.ts'
import { receiveFragments } from '../transfer/receive.ts'
import type { FetchLinks } from './cluster-fetch.ts'
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
  readonly links: FetchLinks
}

/** From whom, and how fast. */
export interface PullOptions extends CallOptions {
  /** Shared by all that are bounded together; null is as fast as it goes. */
  readonly bucket?: TokenBucket | null
  /** How it shares a link with others. Default `sync`. */
  readonly flow?: FlowName
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
    { signal, bucket = null, flow = 'sync' }: PullOptions = {},
  ): Promise<readonly FragmentOutcome[]> {
    if (wanted.length === 0) return []
    const { fabric, connections, files, links } = this.#parts
    const { hashers } = fabric
    const peer = connections.bytesOf(from.address, tenant)
    const call = signal === undefined ? {} : { signal }
    const link = new LinkCompression(systemStopwatch)
    const whole = Array.from(
      { length: Math.min(CONNECTIONS, wanted.length) },
      () => new HttpChunkSource(peer, DEFAULT_CHUNK_BYTES, link),
    )
    const sources = whole.map((source) => inTurn(source, { links, node: from.node, flow }))
    const sink = new FabricSink({
      own: fabric.of(tenant),
      describe: (key) => peer.describe(key, call),
      manifest: async (key) => (await whole[0]?.manifest({ key }, call)) ?? null,
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
    if (counters.bytesReceived > 0) links.fetched(from.node, counters.bytesReceived, seconds)
    if (counters.cuts > 0) links.failed(from.node)
    return outcomes
  }
}

/** A source whose chunks wait for their turn on the link. */
function inTurn(
  source: ChunkSource,
  { links, node, flow }: { readonly links: FetchLinks; readonly node: string; readonly flow: FlowName },
): ChunkSource {
  return {
    place: source.place,
    manifest: (wanted, options) => source.manifest(wanted, options),
    fetch: async (request, into, options) => {
      await links.admit(node, flow, into.length, options.signal)
      return source.fetch(request, into, options)
    },
  }
}
