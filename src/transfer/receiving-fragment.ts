/** One fragment on its way: what of it has come, who is fetching which part, and how it ends. */
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHashers } from '../core/ports.ts'
import { CHUNK_HASH_BYTES, type ChunkManifest, chunkSpan } from './chunks.ts'
import { ChunkSet, type ChunkRun } from './chunk-set.ts'
import type { FragmentOutcome, StagedPayload, WantedFragment } from './receive-ports.ts'
import { ReceiveState } from './receive-state.ts'

/** Room for its bytes, and which of them have come. */
export interface OpenFragment {
  readonly staged: StagedPayload
  readonly received: ReceiveState
}

export class ReceivingFragment {
  readonly wanted: WantedFragment
  /** Which of the wanted ones it is. */
  readonly index: number
  /** Places that have it no more. */
  readonly goneAt = new Set<string>()
  /** Somebody is opening or completing it. */
  isBusy = false
  /** How it ended. Parts of it may still be on their way. */
  outcome: FragmentOutcome | null = null
  /** Room in the sink; the manifest may not be known yet. */
  staged: StagedPayload | null = null
  #received: ReceiveState | null = null
  #claimed = new ChunkSet(0)
  /** How often a chunk was damaged, and by which connection last; null: by the sink. */
  readonly #damaged = new Map<number, { readonly times: number; readonly source: number | null }>()

  constructor(wanted: WantedFragment, index: number) {
    this.wanted = wanted
    this.index = index
  }

  /** Null before `begin` and after `leave`. */
  get open(): OpenFragment | null {
    const { staged } = this
    return staged === null || this.#received === null ? null : { staged, received: this.#received }
  }

  /** Whether a part of it is being fetched. */
  get isClaimed(): boolean {
    return this.#claimed.count > 0
  }

  get isComplete(): boolean {
    return this.#received?.isComplete === true
  }

  /** How it is cut is known. Gives the bytes that an earlier transfer staged. */
  begin(manifest: ChunkManifest, hashers: ContentHashers): number {
    const received = new ReceiveState(manifest, hashers.b3)
    assert(manifest.chunkHashes.length === CHUNK_HASH_BYTES * received.chunks, 'a manifest has a hash for each chunk')
    const resumed = this.staged?.resumed ?? null
    if (resumed !== null) resumeIfReadable(received, resumed)
    this.#received = received
    this.#claimed = new ChunkSet(received.chunks)
    return received.acceptedBytes
  }

  /** The room, once: to be suspended or abandoned. */
  leave(): { readonly staged: StagedPayload; readonly received: ReceiveState | null } | null {
    const { staged } = this
    this.staged = null
    return staged === null ? null : { staged, received: this.#received }
  }

  /**
   * The next chunks to ask connection `source` for: in one run, at most `bytesMax` bytes but at least one chunk. What
   * that connection brought damaged is left to others while there are any. Null when there is nothing for it.
   */
  claim(source: number, bytesMax: number, hasOthers: boolean): ChunkRun | null {
    if (this.#received === null) return null
    const { manifest } = this.#received
    const isFree = (index: number): boolean =>
      !this.#claimed.has(index) && !(hasOthers && this.#damaged.get(index)?.source === source)
    for (const run of this.#received.missing()) {
      for (let start = run.start; start < run.end; start++) {
        if (!isFree(start)) continue
        let end = start + 1
        const { start: firstByte } = chunkSpan(manifest, start)
        while (end < run.end && isFree(end) && chunkSpan(manifest, end).end - firstByte <= bytesMax) end += 1
        for (let index = start; index < end; index++) this.#claimed.add(index)
        return { start, end }
      }
    }
    return null
  }

  /** Nobody fetches them any more. */
  release({ start, end }: ChunkRun): void {
    for (let index = start; index < end; index++) this.#claimed.delete(index)
  }

  /** Whether the chunk was damaged too often to go on. */
  noteDamage(index: number, source: number | null): boolean {
    const times = (this.#damaged.get(index)?.times ?? 0) + 1
    this.#damaged.set(index, { times, source })
    return times >= LIMITS.transferDamagedMax
  }
}

/** A state that was damaged where it lay says nothing: everything is fetched, and what was staged is overwritten. */
function resumeIfReadable(received: ReceiveState, encoded: Uint8Array): void {
  try {
    received.resume(encoded)
  } catch (error) {
    if (!(error instanceof MembraneError)) throw error
  }
}
