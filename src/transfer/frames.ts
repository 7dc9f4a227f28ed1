/**
 * A span of a payload as frames (`compression.ts`), each with its length before it, so that what has come can be unpacked
 * while the rest is on its way:
 *
 *   bytes of the frame (4, little endian) | frame | bytes of the frame | frame | …
 */
import { MembraneError } from '../core/errors.ts'
import { type ByteCodec, decodeFrame, encodeFrame } from './compression.ts'

/** What frames are called over HTTP, and how an answer says that it has them, and how many seconds they took. */
export const FRAMES_ENCODING = 'planes-zstd'
export const FRAMES_HEADERS = { encoding: 'membrane-chunk-encoding', seconds: 'membrane-compress-seconds' } as const

/** Plain bytes of a frame; the last one of a span has what is left. */
export const FRAME_BYTES = 1024 * 1024

const LENGTH_BYTES = 4
/** Of a frame beside what it holds. */
const FRAME_OVERHEAD_BYTES = 8

/** More than `bytes` plain bytes never take on the wire. */
export function framesBytesMax(bytes: number): number {
  return bytes + Math.ceil(bytes / FRAME_BYTES) * (LENGTH_BYTES + FRAME_OVERHEAD_BYTES)
}

/** Packs a span; calls `pause` between frames, each of which takes about a millisecond. Null for a codec packs nothing. */
export async function encodeFrames(
  bytes: Uint8Array,
  codec: ByteCodec | null,
  pause: () => Promise<void>,
): Promise<Uint8Array> {
  const packed = new Uint8Array(framesBytesMax(bytes.length))
  const view = new DataView(packed.buffer)
  let at = 0
  for (let start = 0; start < bytes.length; start += FRAME_BYTES) {
    if (start > 0) await pause()
    const frame = encodeFrame(bytes.subarray(start, start + FRAME_BYTES), codec)
    view.setUint32(at, frame.length, true)
    packed.set(frame, at + LENGTH_BYTES)
    at += LENGTH_BYTES + frame.length
  }
  return packed.subarray(0, at)
}

/** Unpacks frames as they come, from memory that fills from its start. */
export class FrameReader {
  readonly #packed: Uint8Array
  readonly #view: DataView
  readonly #into: Uint8Array
  readonly #codec: ByteCodec
  #arrived = 0
  #read = 0
  #filled = 0

  /** `packed` is as long as all frames together; `into` as the span. Throws INVALID_REQUEST when that cannot be. */
  constructor(packed: Uint8Array, into: Uint8Array, codec: ByteCodec) {
    this.#packed = packed
    this.#view = new DataView(packed.buffer, packed.byteOffset, packed.length)
    this.#into = into
    this.#codec = codec
    if (packed.length > framesBytesMax(into.length))
      throw malformed(`${packed.length} bytes are more than ${into.length} take`)
  }

  /** Whether the whole span is there, and nothing after it. */
  get isDone(): boolean {
    return this.#filled === this.#into.length && this.#read === this.#packed.length
  }

  /** So many more bytes of `packed` are there; how many plain bytes are ready since the last call. Throws INVALID_REQUEST. */
  arrived(bytes: number): number {
    this.#arrived += bytes
    const before = this.#filled
    while (this.#arrived - this.#read >= LENGTH_BYTES) {
      const frameBytes = this.#view.getUint32(this.#read, true)
      const end = this.#read + LENGTH_BYTES + frameBytes
      if (end > this.#packed.length) throw malformed(`a frame of ${frameBytes} bytes does not fit`)
      if (end > this.#arrived) break
      const to = Math.min(this.#filled + FRAME_BYTES, this.#into.length)
      if (to === this.#filled) throw malformed('there are bytes after the last frame')
      const frame = this.#packed.subarray(this.#read + LENGTH_BYTES, end)
      decodeFrame(frame, this.#into.subarray(this.#filled, to), this.#codec)
      this.#read = end
      this.#filled = to
    }
    return this.#filled - before
  }
}

function malformed(reason: string): MembraneError {
  return new MembraneError('INVALID_REQUEST', `Compressed chunks are malformed: ${reason}.`)
}
