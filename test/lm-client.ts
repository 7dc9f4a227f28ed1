/** An `lm://` client for tests. */
import type { Socket } from 'node:net'

/** What a client reads and writes, as the protocol's table has it: nothing here is the door's own code. */
export class LmClient {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #wake = (): void => {}
  isClosed = false
  /** Bytes of each segment that came. */
  readonly segments: number[] = []

  constructor(socket: Socket) {
    this.socket = socket
    this.socket.on('data', (piece) => {
      this.segments.push(piece.length)
      this.#received = Buffer.concat([this.#received, piece])
      this.#wake()
    })
    const closed = (): void => {
      this.isClosed = true
      this.#wake()
    }
    this.socket.on('close', closed).on('error', closed)
  }

  /** Null when the server closed before so many had come. */
  async read(bytes: number): Promise<Buffer | null> {
    while (this.#received.length < bytes && !this.isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (this.#received.length < bytes) return null
    const read = this.#received.subarray(0, bytes)
    this.#received = this.#received.subarray(bytes)
    return read
  }

  async answer(): Promise<{ readonly code: number; readonly rest: readonly number[]; readonly body: Buffer } | null> {
    const head = await this.read(36)
    if (head === null) return null
    const [code = 0, length = 0, ...rest] = Array.from({ length: 9 }, (_, index) => head.readInt32LE(4 * index))
    return { code, rest, body: (await this.read(length)) ?? Buffer.alloc(0) }
  }
}

export function lmRequest(integers: readonly number[], key: string): Buffer {
  const made = Buffer.alloc(186, ' ')
  for (const [index, value] of integers.entries()) made.writeInt32LE(value, 4 * index)
  made.write(key, 36)
  return made
}

export const lmPut = (key: string, body: Uint8Array, shape: readonly number[] = [1, 3, 1, 2, 32, 16, 128]): Buffer => {
  const [format = 0, dtype = 0, location = 0, ...dimensions] = shape
  return Buffer.concat([lmRequest([1, body.length, format, dtype, location, ...dimensions], key), body])
}
export const lmGet = (key: string): Buffer => lmRequest([2, 0, 0, 0, 0, 0, 0, 0, 0], key)
export const lmExist = (key: string): Buffer => lmRequest([3, 0, 0, 0, 0, 0, 0, 0, 0], key)
export const LM_HEALTH = lmRequest([5, 0, 0, 0, 0, 0, 0, 0, 0], '')
