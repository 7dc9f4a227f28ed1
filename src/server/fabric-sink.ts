/** Where a transfer's payloads go: staged beside a tenant's memory, small ones in memory, and put into it when whole. */
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey, parseFragmentKey } from '../core/fragment-key.ts'
import { isContextKind } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHashers, PutOutcome } from '../core/ports.ts'
import { chunkCount, type ChunkManifest, chunkSpan } from '../transfer/chunks.ts'
import { ReceiveState } from '../transfer/receive-state.ts'
import type { StagedPayload, TransferSink, WantedFragment } from '../transfer/receive-ports.ts'
import { decodeHead } from './fragment-head.ts'
import type { StagedFiles } from './staged-files.ts'
import { StagedMemory, type StagingRoom } from './staged-memory.ts'
import type { FabricPut, TenantFabric } from './tenant-fabric.ts'
import type { TransferDescription } from './transfer-operations.ts'

/** What is fetched, how to learn what it is, and where it waits until it is whole. */
export interface FabricSinkParts {
  readonly own: TenantFabric
  /** What the sender says that it is; null when it is gone there. */
  readonly describe: (key: string) => Promise<Omit<TransferDescription, 'payloadBytes'> | null>
  /** How the sender cuts it, to tell what a killed process had staged. */
  readonly manifest: (key: string) => Promise<ChunkManifest | null>
  readonly hashers: ContentHashers
  /** Of one tenant, told apart by `scope`. Null keeps nothing over a cut, and refuses what memory has no room for. */
  readonly files: StagedFiles | null
  /** Goes into the names of files: whose fragments they are. */
  readonly scope: string
  /** Bytes staged in memory; default LIMITS.transferStagedMemoryBytesMax. */
  readonly memoryBytesMax?: number
}

/** See the top of this file. What is here already under its key is left as it is, whatever its bytes are. */
export class FabricSink implements TransferSink {
  readonly #parts: FabricSinkParts
  #memoryBytes = 0

  constructor(parts: FabricSinkParts) {
    this.#parts = parts
  }

  /** Throws NOT_FOUND for what is gone there, INVALID_FRAGMENT for a description of something else. */
  async open(wanted: WantedFragment): Promise<StagedPayload | null> {
    const { own, files } = this.#parts
    const { key, contentHash, payloadBytes } = wanted
    if ((await own.has([key]))[0] === true) return null
    const put = await this.describe(wanted)
    const name = this.#nameOf(wanted)
    const isLeft = files !== null && (await files.has(name))
    const fitsMemory =
      this.#memoryBytes + payloadBytes <= (this.#parts.memoryBytesMax ?? LIMITS.transferStagedMemoryBytesMax)
    if (files === null && !fitsMemory)
      throw new MembraneError('LIMIT_REACHED', `There is no memory to stage ${payloadBytes} bytes, and no directory.`)
    const room =
      files !== null && (isLeft || !fitsMemory) ? await files.open(name, payloadBytes) : this.#inMemory(name, wanted)
    const state = isLeft ? await files.takeState(name) : null
    const resumed = isLeft ? (state ?? (await this.#lookThrough(wanted, room))) : null
    const isWhole = { contentHash, payloadBytes }
    return {
      resumed,
      stage: (offset, bytes) => room.write(offset, bytes),
      read: async (span, into) => {
        await room.read(span, into)
        return into
      },
      suspend: (bytes) => room.suspend(bytes),
      abandon: () => room.remove(),
      commit: () => commit(own, room, { ...put, ...isWhole }),
    }
  }

  /** How it is to be put, but its bytes. Throws NOT_FOUND and INVALID_FRAGMENT. */
  async describe({
    key,
    contentHash,
  }: Pick<WantedFragment, 'key' | 'contentHash'>): Promise<Omit<FabricPut, 'payload'>> {
    const found = await this.#parts.describe(key)
    if (found === null || found.contentHash !== contentHash)
      throw new MembraneError('NOT_FOUND', `${JSON.stringify(key)} is gone at its sender.`)
    const { hints, description } = decodeHead(found.head)
    const name = parseFragmentKey(key)
    const { kind } = description.signature
    const foreignKey = 'block' in name || typeof name.name === 'string' ? null : name.name
    const named = isContextKind(kind)
      ? fragmentKey(contextName(description))
      : fragmentKey({ kind, name: foreignKey ?? contentHash })
    if (named !== key)
      throw new MembraneError('INVALID_FRAGMENT', `${JSON.stringify(key)} was asked for, ${named} is described.`)
    return {
      description,
      hints,
      ...(foreignKey === null ? {} : { foreignKey }),
      // Without a time of its own it is kept as long as this node keeps such.
      ...(found.expiresAtMs === null ? {} : { expiresAtMs: found.expiresAtMs }),
    }
  }

  /** What a killed process left is there, but nobody wrote down which bytes: their hashes tell. */
  async #lookThrough(
    { key, contentHash, payloadBytes }: WantedFragment,
    room: StagingRoom,
  ): Promise<Uint8Array | null> {
    const manifest = await this.#parts.manifest(key)
    if (manifest?.contentHash !== contentHash || manifest.payloadBytes !== payloadBytes) return null
    const state = new ReceiveState(manifest, this.#parts.hashers.b3)
    const chunk = new Uint8Array(Math.min(manifest.chunkBytes, payloadBytes))
    for (let index = 0; index < chunkCount(manifest); index++) {
      const span = chunkSpan(manifest, index)
      const bytes = chunk.subarray(0, span.end - span.start)
      await room.read(span, bytes)
      state.accept(index, bytes)
    }
    return state.encode()
  }

  #inMemory(name: string, { payloadBytes }: WantedFragment): StagedMemory {
    const { files } = this.#parts
    this.#memoryBytes += payloadBytes
    const free = (): void => {
      this.#memoryBytes -= payloadBytes
    }
    const suspend = async (bytes: Uint8Array, state: Uint8Array): Promise<void> => {
      if (files === null) throw new MembraneError('NOT_SUPPORTED', 'There is no directory to keep what has come.')
      const file = await files.open(name, payloadBytes)
      await file.write(0, bytes)
      await file.suspend(state)
    }
    return new StagedMemory(payloadBytes, { suspend, free })
  }

  #nameOf({ key, contentHash }: WantedFragment): string {
    const { hashers, scope } = this.#parts
    const named = new TextEncoder().encode(JSON.stringify([scope, key, contentHash]))
    return hashers.b3.hash(named).slice('b3:'.length)
  }
}

async function commit(own: TenantFabric, room: StagingRoom, put: Omit<FabricPut, 'payload'>): Promise<PutOutcome> {
  const payload = room.payload()
  const isWhole = payload instanceof Uint8Array
  // A transfer has just compared what is staged with its hash; what comes from a file is compared once more.
  const { outcome } = await own.put({ ...put, payload, isGivenAway: isWhole, isHashComputed: isWhole })
  await room.remove()
  return outcome
}
