/**
 * Copies what another node has and this one has not: inventories are compared, what is missing is fetched in chunks,
 * keys whose bytes are here under another one are put without the network. Twice is as good as once, and cheap: two equal
 * inventories exchange some hundred bytes.
 */
import type { CallOptions } from '../core/compute.ts'
import type { ErrorCode } from '../core/errors.ts'
import { MembraneError } from '../core/errors.ts'
import type { ContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHashers } from '../core/ports.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { TokenBucket } from '../policy/token-bucket.ts'
import { DEFAULT_CHUNK_BYTES } from '../transfer/chunks.ts'
import { compareInventories, planSync } from '../transfer/delta-sync.ts'
import { Inventory, type InventoryEntry } from '../transfer/inventory.ts'
import { type CompressionReport, LinkCompression } from '../transfer/link-compression.ts'
import type { TransferCounters, TransferReport } from '../transfer/receive-ports.ts'
import { receiveFragments } from '../transfer/receive.ts'
import { FabricSink } from './fabric-sink.ts'
import { HttpChunkSource } from './http-chunk-source.ts'
import type { HttpPeer } from './http-peer.ts'
import type { StagedFiles } from './staged-files.ts'
import { systemAlarm, systemStopwatch } from './system-time.ts'
import type { TenantFabric } from './tenant-fabric.ts'

/** Who copies from whom. The peer is closed by whoever opened it. */
export interface SyncParts {
  readonly own: TenantFabric
  readonly peer: HttpPeer
  readonly hashers: ContentHashers
  /** Keeps what has come over a cut; null does not. */
  readonly files: StagedFiles | null
  /** Whose fragments they are here, for the names of files. */
  readonly scope: string
  /** See `FabricSinkParts`. */
  readonly memoryBytesMax?: number
}

/** How it goes about it. */
export interface SyncOptions extends CallOptions {
  /** 1 to LIMITS.transferConnectionsMax, default 4. */
  readonly connections?: number
  /** Default: as fast as it goes. */
  readonly bytesPerSecond?: number
  /** LIMITS.transferChunkBytesMin to LIMITS.transferChunkBytesMax, default DEFAULT_CHUNK_BYTES. */
  readonly chunkBytes?: number
  /** Told once, before anything is fetched. */
  readonly planned?: (fetch: { readonly fragments: number; readonly payloadBytes: number }) => void
  /** Told after every change. */
  readonly progress?: (counters: TransferCounters) => void
}

/** What a sync found and did. */
export interface SyncReport {
  /** Messages of the comparison. */
  readonly comparedBytes: number
  readonly roundTrips: number
  /** Fragments that the other node has and this one had not. */
  readonly missing: number
  /** Fragments that are here with other bytes: left as they are. */
  readonly differing: number
  /** Here now, with bytes that came over the network, and with bytes that were here. */
  readonly fetched: number
  readonly linked: number
  /** What this node did not take, by why. */
  readonly refused: readonly { readonly key: string; readonly code: ErrorCode | null; readonly reason: string }[]
  /** Gone or damaged at the other node. */
  readonly lost: readonly string[]
  /** Come in part, or not at all: the next sync goes on with them. */
  readonly unfinished: number
  /** Null when nothing had to be fetched. */
  readonly transfer: Pick<TransferReport, 'counters' | 'seconds'> | null
  /** Of what was asked for compressed, because the link is slower than that: before and after. */
  readonly compressed: CompressionReport
}

/** Patience of one connection, in seconds: the other side may read gigabytes to make a manifest. */
const STALL_SECONDS = 30

/**
 * Throws what the other node answers (FORBIDDEN, UNAUTHENTICATED, PEER_UNAVAILABLE and others), ABORTED after what has
 * come has been kept, and LIMIT_REACHED for more entries than an inventory takes.
 */
export async function syncFrom(parts: SyncParts, options: SyncOptions = {}): Promise<SyncReport> {
  const { own, peer, hashers, files, scope, memoryBytesMax } = parts
  const { connections = 4, chunkBytes = DEFAULT_CHUNK_BYTES, bytesPerSecond, signal } = options
  const call = signal === undefined ? {} : { signal }
  await files?.prune(Date.now() - LIMITS.transferStagedAgeMsMax)
  const { secret } = await peer.inventory(call)
  const held = await holdingsOf(own, secret)
  const compared = await compareInventories(held.inventory, peer, call)
  const missing = compared.missingHere.filter(({ key }) => !held.keys.has(key))
  const plan = planSync(missing, { holds: (contentHash) => held.contents.has(contentHash) })
  const wanted = plan.fetch.slice(0, LIMITS.transferFragmentsMax)
  options.planned?.({ fragments: wanted.length, payloadBytes: sum(wanted) })
  const link = new LinkCompression(systemStopwatch)
  const sources = Array.from({ length: connections }, () => new HttpChunkSource(peer, chunkBytes, link))
  const sink = new FabricSink({
    own,
    describe: (key) => peer.describe(key, call),
    manifest: async (key) => (await sources[0]?.manifest({ key }, call)) ?? null,
    hashers,
    files,
    scope,
    ...(memoryBytesMax === undefined ? {} : { memoryBytesMax }),
  })
  const transfer =
    wanted.length === 0
      ? null
      : await receiveFragments(
          wanted,
          {
            sources,
            sink,
            lease: peer,
            hashers,
            stopwatch: systemStopwatch,
            alarm: systemAlarm,
            random: Math.random,
            bucket: bucketOf(bytesPerSecond),
          },
          { ...call, chunkBytes, stallSeconds: STALL_SECONDS, progress: options.progress ?? (() => undefined) },
        )
  const outcomes = transfer?.outcomes ?? []
  for (const [index, entry] of wanted.entries())
    if (outcomes[index]?.kind === 'stored') held.contents.set(entry.contentHash, entry.key)
  const links = await linkAll(own, sink, { links: plan.link, keyOf: (hash) => held.contents.get(hash) ?? null, signal })
  const named = outcomes.map((outcome, index) => ({ ...outcome, key: wanted[index]?.key ?? '' }))
  return {
    comparedBytes: compared.bytes,
    roundTrips: compared.roundTrips,
    missing: missing.length,
    differing: compared.missingHere.length - missing.length,
    fetched: named.filter(({ kind }) => kind === 'stored').length,
    linked: links.linked,
    refused: [
      ...named.flatMap((one) => (one.kind === 'refused' ? [{ key: one.key, code: one.code, reason: one.reason }] : [])),
      ...links.refused,
    ],
    lost: named.filter(({ kind }) => kind === 'gone' || kind === 'damaged').map(({ key }) => key),
    unfinished:
      named.filter(({ kind }) => kind === 'unfinished').length + plan.fetch.length - wanted.length + links.waiting,
    transfer: transfer === null ? null : { counters: transfer.counters, seconds: transfer.seconds },
    compressed: link.report,
  }
}

interface Holdings {
  readonly inventory: Inventory
  readonly keys: ReadonlySet<string>
  /** A key that has the bytes. */
  readonly contents: Map<ContentHash, string>
}

async function holdingsOf(own: TenantFabric, secret: Uint8Array): Promise<Holdings> {
  const { blake3: hash } = await loadChainHashes()
  const inventory = new Inventory({ hash, secret })
  const contents = new Map<ContentHash, string>()
  const keys = new Set<string>()
  for await (const { key, contentHash, payloadBytes } of own.list()) {
    inventory.add({ key, contentHash, payloadBytes })
    contents.set(contentHash, key)
    keys.add(key)
  }
  return { inventory, keys, contents }
}

interface Links {
  readonly links: readonly InventoryEntry[]
  readonly keyOf: (contentHash: ContentHash) => string | null
  readonly signal: AbortSignal | undefined
}

/** Bytes that are here, under more names. */
async function linkAll(own: TenantFabric, sink: FabricSink, { links, keyOf, signal }: Links) {
  const refused: { readonly key: string; readonly code: ErrorCode | null; readonly reason: string }[] = []
  let linked = 0
  let waiting = 0
  for (const { key, contentHash, payloadBytes } of links) {
    signal?.throwIfAborted()
    const source = keyOf(contentHash)
    const found = source === null ? null : await own.stream(source)
    if (found === null || found.contentHash !== contentHash) {
      // What it was to be had from did not come, or has left: the next sync fetches it.
      waiting += 1
      continue
    }
    try {
      const put = await sink.describe({ key, contentHash })
      const { outcome } = await own.put({ ...put, payload: found.chunks, contentHash, payloadBytes })
      if (outcome === 'refused') refused.push({ key, code: null, reason: 'The store rather keeps what it has.' })
      else linked += 1
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      refused.push({ key, code: error.code, reason: error.message })
    }
  }
  return { linked, waiting, refused }
}

/** A second's worth may go at once, and a request at least. */
function bucketOf(bytesPerSecond: number | undefined): TokenBucket | null {
  if (bytesPerSecond === undefined) return null
  return new TokenBucket({ perSecond: bytesPerSecond, burst: bytesPerSecond }, systemStopwatch.seconds())
}

function sum(entries: readonly InventoryEntry[]): number {
  return entries.reduce((total, { payloadBytes }) => total + payloadBytes, 0)
}
