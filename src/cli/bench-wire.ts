/**
 * The client of `membrane bench`: sends bytes, and takes a reply of known length into memory that is used again. The same
 * for every server, so that what differs is the server. Reads into place (`onread`), the fastest way that Node has.
 */
import { connect, type Socket } from 'node:net'
import { MembraneError } from '../core/errors.ts'

export type WireTarget = { readonly host: string; readonly port: number } | { readonly path: string }

/** A reply that begins so is an error's text, shorter than what is waited for. */
const ERROR_BYTE = 0x2d
const READ_BYTES = 1024 * 1024

/** One connection with one exchange at a time. */
export class WireClient {
  readonly #socket: Socket
  readonly #memory: Buffer
  #filled = 0
  #expected = 0
  #resolve: () => void = () => {}
  #reject: (error: Error) => void = () => {}
  #failure: Error | null = null

  /** `replyBytesMax`: the longest reply that will be waited for. */
  static async connect(target: WireTarget, replyBytesMax: number): Promise<WireClient> {
    const client = new WireClient(target, replyBytesMax)
    await new Promise<void>((resolve, reject) => {
      client.#socket.once('connect', resolve)
      client.#reject = reject
    })
    return client
  }

  private constructor(target: WireTarget, replyBytesMax: number) {
    // Touched here, not in the first exchange.
    this.#memory = Buffer.alloc(replyBytesMax + READ_BYTES)
    this.#socket = connect({
      ...target,
      noDelay: true,
      onread: {
        buffer: () => this.#memory.subarray(this.#filled, this.#filled + READ_BYTES),
        callback: (bytes) => {
          this.#filled += bytes
          this.#arrived()
          return true
        },
      },
    })
    this.#socket.once('error', (error) => this.#fail(error))
    this.#socket.once('close', () => this.#fail(new Error('The server closed the connection.')))
  }

  /** Ends when `replyBytes` have come: a view, until the next exchange. Throws PEER_UNAVAILABLE. */
  async exchange(request: readonly Uint8Array[], replyBytes: number): Promise<Uint8Array> {
    if (this.#failure !== null) throw this.#failure
    this.#filled = 0
    this.#expected = replyBytes
    const done = new Promise<void>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#socket.cork()
    for (const piece of request) this.#socket.write(piece)
    this.#socket.uncork()
    await done
    return this.#memory.subarray(0, replyBytes)
  }

  close(): void {
    this.#socket.destroy()
  }

  #arrived(): void {
    if (this.#filled >= this.#expected) {
      if (this.#filled > this.#expected)
        this.#fail(new Error(`The reply has more than the ${this.#expected} bytes expected.`))
      else this.#resolve()
      return
    }
    const text = this.#memory.subarray(0, Math.min(this.#filled, 1024)).toString('latin1')
    if (this.#memory[0] === ERROR_BYTE && text.includes('\r\n'))
      this.#fail(new Error(`The server said ${text.trim()}.`))
  }

  #fail(cause: Error): void {
    this.#failure ??= new MembraneError('PEER_UNAVAILABLE', cause.message, { cause })
    this.#reject(this.#failure)
  }
}
