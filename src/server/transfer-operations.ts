/** What another node needs to copy from this one: inventories to compare, manifests, descriptions, and chunks. */
import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { MembraneError } from '../core/errors.ts'
import { dtypeOfKey } from '../core/fragment-key.ts'
import { writeHex } from '../core/hex.ts'
import type { ContentHash, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan, HashFunction } from '../core/ports.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { canShrink } from '../policy/compress.ts'
import type { ChunkManifest } from '../transfer/chunks.ts'
import { answerEntries } from '../transfer/entry-messages.ts'
import { encodeFrames } from '../transfer/frames.ts'
import type { Inventory } from '../transfer/inventory.ts'
import { answerInventory } from '../transfer/reconcile.ts'
import type { Caller } from './caller.ts'
import type { Fabric } from './fabric.ts'
import { encodeHead } from './fragment-head.ts'
import type { Gate } from './gate.ts'
import { TenantInventories } from './tenant-inventories.ts'
import { TransferManifests } from './transfer-manifests.ts'
import { zstdCodec } from './zstd.ts'

/** What a comparison begins with. */
export interface InventoryName {
  /**
   * 32 bytes, with which whoever compares makes the ids of its own entries. Each tenant has its own, until the node
   * restarts: who knows it can hide entries from a comparison, but only those of the tenant that it may read anyway.
   */
  readonly secret: Uint8Array
  readonly entries: number
}

/** What a fragment is, and how long it is to be kept, for whoever copies it. */
export interface TransferDescription {
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  /** Milliseconds since 1970, or null. */
  readonly expiresAtMs: number | null
  /** As `decodeHead` reads it. */
  readonly head: Uint8Array
}

/** Which bytes of which payload. */
export interface ChunkRead {
  readonly key: string
  readonly contentHash: ContentHash
  /** 1 to LIMITS.transferRequestBytesMax bytes. */
  readonly span: ByteSpan
}

interface TransferOperationsParts {
  readonly fabric: Fabric
  readonly gate: Gate
}

/** See the top of this file. Every call throws FORBIDDEN, RATE_LIMITED and DRAINING beside what is said. */
export class TransferOperations {
  readonly #parts: TransferOperationsParts
  readonly #manifests: TransferManifests
  readonly #secret = randomBytes(32)
  #inventories: Promise<TenantInventories> | null = null

  constructor(parts: TransferOperationsParts) {
    this.#parts = parts
    this.#manifests = new TransferManifests(parts.fabric.hashers.b3)
  }

  async inventory(caller: Caller): Promise<InventoryName> {
    this.#parts.gate.enter(caller, 'read')
    const { count } = await this.#inventoryOf(caller)
    return { secret: this.#secretOf(caller.tenant), entries: count }
  }

  /** Throws INVALID_REQUEST for what `Reconciliation` does not write. */
  async answerInventory(caller: Caller, request: Uint8Array): Promise<Uint8Array> {
    this.#parts.gate.enter(caller, 'read')
    return answerInventory(await this.#inventoryOf(caller), request)
  }

  /** Throws INVALID_REQUEST for what `compareInventories` does not write. */
  async answerEntries(caller: Caller, request: Uint8Array): Promise<Uint8Array> {
    this.#parts.gate.enter(caller, 'read')
    return answerEntries(await this.#inventoryOf(caller), request)
  }

  /** Null for what is not there. Reads the payload once. Throws INVALID_REQUEST for a chunk size out of bounds. */
  async manifest(caller: Caller, key: string, chunkBytes: number): Promise<ChunkManifest | null> {
    this.#parts.gate.enter(caller, 'read')
    const own = this.#parts.fabric.of(caller.tenant)
    const entry = await own.head(key)
    if (entry === null) return null
    const { contentHash, payloadBytes } = entry
    return this.#manifests.of(caller.tenant, { contentHash, payloadBytes, chunkBytes }, () => own.stream(key))
  }

  /** Null for what is not there. */
  async describe(caller: Caller, key: string): Promise<TransferDescription | null> {
    this.#parts.gate.enter(caller, 'read')
    const entry = await this.#parts.fabric.of(caller.tenant).head(key)
    if (entry === null) return null
    const { contentHash, payloadBytes, expiresAtMs } = entry
    return { contentHash, payloadBytes, expiresAtMs, head: encodeHead(entry) }
  }

  /**
   * Bytes that nobody has compared with a hash here: the receiver does, chunk by chunk, and a node that hashed all of a
   * payload for each of its chunks would hash 4 GiB a thousand times. Null when other bytes are under the key, or none.
   */
  async chunks(caller: Caller, { key, contentHash, span }: ChunkRead): Promise<Uint8Array | null> {
    this.#parts.gate.enter(caller, 'read')
    const bytes = span.end - span.start
    if (bytes > LIMITS.transferRequestBytesMax || bytes < 1)
      throw new MembraneError(
        'INVALID_REQUEST',
        `A request for chunks takes 1 to ${LIMITS.transferRequestBytesMax} bytes, found ${bytes}.`,
      )
    const own = this.#parts.fabric.of(caller.tenant)
    const entry = await own.head(key)
    if (entry === null || entry.contentHash !== contentHash || span.end > entry.payloadBytes) return null
    const found = await own.read(key, { span, isVerifiedByReader: true })
    return found === null || found.contentHash !== contentHash ? null : found.payload
  }

  /** The same, packed by `encodeFrames`, and how many seconds that took: for links that are slower than packing. */
  async frames(
    caller: Caller,
    read: ChunkRead,
  ): Promise<{ readonly packed: Uint8Array; readonly seconds: number } | null> {
    const bytes = await this.chunks(caller, read)
    if (bytes === null) return null
    let seconds = 0
    let since = performance.now()
    const packed = await encodeFrames(bytes, canShrink(dtypeOfKey(read.key)) ? zstdCodec : null, async () => {
      seconds += (performance.now() - since) / 1000
      // Packing is done in this thread: what is small comes between.
      await setImmediate()
      since = performance.now()
    })
    return { packed, seconds: seconds + (performance.now() - since) / 1000 }
  }

  async #inventoryOf({ tenant }: Caller): Promise<Inventory> {
    this.#inventories ??= loadChainHashes().then(({ blake3 }) => this.#openInventories(blake3))
    return (await this.#inventories).of(tenant)
  }

  #openInventories(hash: HashFunction): TenantInventories {
    return new TenantInventories(this.#parts.fabric, (tenant) => ({ hash, secret: this.#secretOf(tenant) }))
  }

  #secretOf(tenant: TenantId): Uint8Array {
    const named = Buffer.concat([this.#secret, Buffer.from(tenant)])
    const secret = new Uint8Array(32)
    writeHex(this.#parts.fabric.hashers.b3.hash(named).slice('b3:'.length), secret, 0)
    return secret
  }
}
