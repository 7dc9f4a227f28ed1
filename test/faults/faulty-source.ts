/** Senders and a sink in virtual time: connections that break, lie, hang, delay and damage by chance. */
import type { CallOptions } from '../../src/core/compute.ts'
import { MembraneError } from '../../src/core/errors.ts'
import type { ByteSpan, ContentHasher, PutOutcome } from '../../src/core/ports.ts'
import type { Random } from '../../src/core/random.ts'
import { type ChunkManifest, manifestOf } from '../../src/transfer/chunks.ts'
import type {
  ChunkRequest,
  ChunkSource,
  FetchOptions,
  StagedPayload,
  TransferSink,
  WantedFragment,
} from '../../src/transfer/receive-ports.ts'
import type { VirtualAlarm } from './virtual-alarm.ts'

/** Shares of the calls, 0 to 1. */
export interface Faults {
  /** Breaks after some of the bytes. */
  readonly cut: number
  /** One bit is other than it was. */
  readonly damage: number
  /** Fewer bytes than asked for, and says so. */
  readonly short: number
  /** Says a number of bytes that is not so. */
  readonly lie: number
  /** Never ends, and does not listen to its signal; writes to the buffer later. */
  readonly hang: number
  /** Takes a hundred times as long. */
  readonly delay: number
}

export const NO_FAULTS: Faults = { cut: 0, damage: 0, short: 0, lie: 0, hang: 0, delay: 0 }

export interface World {
  readonly time: VirtualAlarm
  readonly random: Random
  readonly payloads: Map<string, Uint8Array>
  readonly b3: ContentHasher
  readonly bytesPerSecond: number
}

const LATENCY_SECONDS = 0.001
/** Bytes land in so many pieces. */
const PIECES = 4

export class FaultySource implements ChunkSource {
  readonly place: string
  faults: Faults
  /** Spans that were asked for, in order. */
  readonly requests: ChunkRequest[] = []
  manifests = 0
  /** What a manifest is like when it leaves. */
  forge: (manifest: ChunkManifest) => ChunkManifest = (manifest) => manifest
  readonly #world: World
  readonly #chunkBytes: number
  #isBusy = false

  constructor(world: World, place: string, chunkBytes: number, faults: Faults = NO_FAULTS) {
    this.#world = world
    this.place = place
    this.#chunkBytes = chunkBytes
    this.faults = faults
  }

  async manifest({ key }: WantedFragment, { signal }: CallOptions): Promise<ChunkManifest | null> {
    const { time, payloads, b3 } = this.#world
    this.manifests += 1
    await time.wait(LATENCY_SECONDS, signal)
    if (this.#happens(this.faults.cut)) throw broken()
    const payload = payloads.get(key)
    return payload === undefined ? null : this.forge(manifestOf(payload, b3, this.#chunkBytes))
  }

  async fetch(request: ChunkRequest, into: Uint8Array, options: FetchOptions): Promise<number | null> {
    if (this.#isBusy) throw new Error('A connection carries one call at a time.')
    if (into.length !== request.span.end - request.span.start) throw new Error('The buffer is as long as the span.')
    this.#isBusy = true
    this.requests.push(request)
    try {
      return await this.#send(request, into, options)
    } finally {
      this.#isBusy = false
    }
  }

  async #send(
    { key, span }: ChunkRequest,
    into: Uint8Array,
    { signal, progress }: FetchOptions,
  ): Promise<number | null> {
    const { time, payloads, random, bytesPerSecond } = this.#world
    const { cut, damage, short, lie, hang, delay } = this.faults
    const slowness = this.#happens(delay) ? 100 : 1
    if (this.#happens(hang)) {
      this.#isBusy = false
      return new Promise((resolve) => {
        time.after(60, () => {
          into.fill(0xee)
          resolve(into.length)
        })
      })
    }
    await time.wait(LATENCY_SECONDS * slowness, signal)
    const payload = payloads.get(key)
    if (payload === undefined) return null
    const sent = payload.slice(span.start, span.end)
    if (this.#happens(damage)) {
      const at = Math.floor(random() * sent.length)
      sent[at] = (sent[at] ?? 0) ^ (1 << Math.floor(random() * 8))
    }
    const isCut = this.#happens(cut)
    const isShort = this.#happens(short)
    const end = isCut || isShort ? Math.floor(random() * sent.length) : sent.length
    for (let piece = 0, at = 0; piece < PIECES; piece++) {
      const next = Math.floor((end * (piece + 1)) / PIECES)
      await time.wait(((next - at) / bytesPerSecond) * slowness, signal)
      into.set(sent.subarray(at, next), at)
      progress(next - at)
      at = next
    }
    if (isCut) throw broken()
    return this.#happens(lie) ? Math.floor(random() * 3 * sent.length) : end
  }

  #happens(share: number): boolean {
    return this.#world.random() < share
  }
}

function broken(): MembraneError {
  return new MembraneError('STORE_UNAVAILABLE', 'The connection broke.')
}

/** Keeps what is staged in memory, across transfers, and what was committed. */
export class MemorySink implements TransferSink {
  readonly committed = new Map<string, Uint8Array>()
  readonly suspended = new Map<string, { readonly bytes: Uint8Array; readonly state: Uint8Array }>()
  /** Rooms that are open. */
  openRooms = 0
  /** Share of the staged pieces that are lost although they were taken. */
  loseShare = 0
  /** What a commit answers, or throws. */
  commit: () => PutOutcome = () => 'stored'
  stageSeconds = 0
  staging = 0
  stagingMax = 0
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  open({ key, payloadBytes }: WantedFragment): Promise<StagedPayload | null> {
    if (this.committed.has(key)) return Promise.resolve(null)
    this.openRooms += 1
    const before = this.suspended.get(key)
    this.suspended.delete(key)
    const bytes = before?.bytes ?? new Uint8Array(payloadBytes).fill(0xcc)
    let isOpen = true
    const close = (): void => {
      if (!isOpen) throw new Error('The room was freed before.')
      isOpen = false
      this.openRooms -= 1
    }
    return Promise.resolve({
      resumed: before?.state ?? null,
      stage: async (offset: number, piece: Uint8Array) => {
        if (!isOpen) throw new Error('The room was freed before.')
        this.staging += piece.length
        this.stagingMax = Math.max(this.stagingMax, this.staging)
        if (this.stageSeconds > 0) await this.#world.time.wait(this.stageSeconds)
        this.staging -= piece.length
        if (!isOpen) throw new Error('The room was freed while it was written to.')
        if (this.#world.random() >= this.loseShare) bytes.set(piece, offset)
      },
      read: (span: ByteSpan, into: Uint8Array) => {
        into.set(bytes.subarray(span.start, span.end))
        return Promise.resolve(into)
      },
      commit: async () => {
        const outcome = this.commit()
        if (outcome !== 'refused') this.committed.set(key, bytes)
        close()
        return Promise.resolve(outcome)
      },
      suspend: (state: Uint8Array) => {
        close()
        this.suspended.set(key, { bytes, state: state.slice() })
        return Promise.resolve()
      },
      abandon: () => {
        close()
        return Promise.resolve()
      },
    })
  }
}
