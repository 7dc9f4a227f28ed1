/**
 * One connection to a server, for bodies of bytes: HTTP/1.1 over a socket that reads straight into the memory where the
 * body belongs. Streams and fetch copy each segment twice and are two to four times slower at 4 MB.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { MembraneError } from '../core/errors.ts'
import { type BlobHead, endOfHead, malformed, parseBlobHead } from './blob-head.ts'

/** Where a server is, and how TLS is spoken with it; null for none. */
export interface BlobOrigin {
  readonly host: string
  readonly port: number
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } | null
}

/** A request, ready to be sent. */
export interface BlobRequest {
  /** Request line and headers, with the empty line. */
  readonly head: string
  /** Null for none; pieces are those of one body and are read once. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array> | null
}

/**
 * What takes the answer. `begin` sees the head and gives the memory for all of the body, or null to be given pieces;
 * what it throws ends the connection. A piece's memory is the connection's again once `piece` has ended.
 */
export interface BlobReceiver {
  begin(head: BlobHead): Uint8Array | null
  piece(bytes: Uint8Array): Promise<void> | null
  /** So many more bytes are in the memory that `begin` gave. */
  landed?(bytes: number): void
}

/** Heads, and bodies that are taken piece by piece, pass through this. */
const SEGMENT_BYTES = 256 * 1024

type Waiting = {
  readonly receiver: BlobReceiver
  readonly resolve: (head: BlobHead) => void
  readonly reject: (error: unknown) => void
}

/** See the top of this file. One request at a time. */
export class BlobConnection {
  readonly #socket: Socket
  readonly #segment = Buffer.allocUnsafeSlow(SEGMENT_BYTES)
  /** Beginning of a head that has not all come. */
  #early: Buffer = Buffer.alloc(0)
  #waiting: Waiting | null = null
  #head: BlobHead | null = null
  /** Where the body goes as it comes; null while pieces are given. */
  #target: Uint8Array | null = null
  #received = 0
  #isOpen = true
  /** Bytes of an answer have come since the last request was sent. */
  #hasAnswerBegun = false

  private constructor(open: (onread: OnRead) => Socket) {
    this.#socket = open({
      buffer: () => this.#nextBuffer(),
      callback: (bytes, buffer) => this.#onRead(bytes, buffer),
    })
    this.#socket.setNoDelay(true)
    this.#socket.on('error', (error) => this.#end(broken(error)))
    this.#socket.on('end', () => this.#end(broken(null)))
    this.#socket.on('close', () => this.#end(broken(null)))
  }

  /** Throws PEER_UNAVAILABLE and ABORTED. */
  static async open(origin: BlobOrigin, signal: AbortSignal): Promise<BlobConnection> {
    const { host, port, tls } = origin
    const connection = new BlobConnection((onread) => {
      if (tls === null) return connectTcp({ host, port, onread })
      // Documented for tls.connect as for net.connect, and missing from its types.
      const options: ConnectionOptions & { onread: OnRead } = { host, port, onread, ...tls, ...nameOf(host) }
      return connectTls({ ...options, ALPNProtocols: ['http/1.1'] })
    })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const socket = connection.#socket
    socket.once(tls === null ? 'connect' : 'secureConnect', () => resolve())
    socket.once('error', (error) => reject(unreachableServer(origin, error)))
    socket.once('close', () => reject(unreachableServer(origin, null)))
    const abort = (): void => reject(abortedBy(signal))
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    try {
      await promise
      return connection
    } catch (error) {
      connection.close()
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Whether any of the answer to the last request has come: none has when the server had closed an idle connection. */
  get hasAnswerBegun(): boolean {
    return this.#hasAnswerBegun
  }

  /**
   * Sends a request and ends when all of its answer is with the receiver. Throws PEER_UNAVAILABLE when the connection
   * breaks, ABORTED, and what the receiver or the body's pieces throw; the connection is closed then.
   */
  async exchange({ head, body }: BlobRequest, receiver: BlobReceiver, signal: AbortSignal): Promise<BlobHead> {
    if (!this.#isOpen) throw broken(null)
    const { promise, resolve, reject } = Promise.withResolvers<BlobHead>()
    this.#waiting = { receiver, resolve, reject }
    this.#hasAnswerBegun = false
    const abort = (): void => this.#end(abortedBy(signal))
    signal.addEventListener('abort', abort, { once: true })
    try {
      if (signal.aborted) abort()
      else this.#send(head, body).catch((error: unknown) => this.#end(error))
      return await promise
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  close(): void {
    this.#end(new MembraneError('ABORTED', 'The connection was closed here.'))
  }

  /** While it is not in use, it does not keep the process alive. */
  setIdle(isIdle: boolean): void {
    if (isIdle) this.#socket.unref()
    else this.#socket.ref()
  }

  async #send(head: string, body: BlobRequest['body']): Promise<void> {
    if (body === null) {
      this.#socket.write(head, 'latin1')
      return
    }
    // One packet has the head and the beginning of the body.
    this.#socket.cork()
    this.#socket.write(head, 'latin1')
    if (body instanceof Uint8Array) {
      this.#socket.write(body)
      this.#socket.uncork()
      return
    }
    this.#socket.uncork()
    for await (const piece of body) {
      // Answered before all was sent: the rest has no reader.
      if (this.#waiting === null || !this.#isOpen) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const isClosed = (): void => resolve()
      this.#socket.once('close', isClosed)
      this.#socket.write(piece, () => resolve())
      await promise
      this.#socket.off('close', isClosed)
    }
  }

  /** HOT: after each segment. Large bodies are read to where they belong, without a copy. */
  #nextBuffer(): Uint8Array {
    const target = this.#target
    return target !== null && this.#received < target.length ? target.subarray(this.#received) : this.#segment
  }

  /** HOT: for each segment that comes. False pauses the socket. */
  #onRead(bytes: number, buffer: Uint8Array): boolean {
    try {
      this.#hasAnswerBegun = true
      if (this.#target !== null && buffer.buffer === this.#target.buffer && buffer !== this.#segment) {
        this.#received += bytes
        this.#waiting?.receiver.landed?.(bytes)
        this.#endWhenWhole()
        return true
      }
      return this.#take(buffer.subarray(0, bytes))
    } catch (error) {
      this.#end(error)
      return false
    }
  }

  /** Bytes in the segment: of a head, or of a body. */
  #take(bytes: Uint8Array): boolean {
    let rest = bytes
    while (this.#head === null) {
      if (this.#waiting === null) throw malformed('bytes that nobody asked for')
      const all =
        this.#early.length === 0
          ? Buffer.from(rest.buffer, rest.byteOffset, rest.length)
          : Buffer.concat([this.#early, rest])
      const end = endOfHead(all)
      if (end < 0) {
        this.#early = Buffer.from(all)
        return true
      }
      this.#early = Buffer.alloc(0)
      rest = all.subarray(end)
      const head = parseBlobHead(all.subarray(0, end))
      // 100 Continue and its like come before the answer.
      if (head.status < 200) continue
      this.#head = head
      this.#received = 0
      this.#target = this.#waiting.receiver.begin(head)
      if (this.#target !== null && this.#target.length !== head.bodyBytes)
        throw new Error(`Bug: memory of ${this.#target.length} bytes for a body of ${head.bodyBytes}.`)
    }
    return this.#takeBody(rest, this.#head)
  }

  #takeBody(bytes: Uint8Array, head: BlobHead): boolean {
    if (this.#received + bytes.length > head.bodyBytes) throw malformed('a body longer than its length')
    const at = this.#received
    this.#received += bytes.length
    if (this.#target !== null) {
      this.#target.set(bytes, at)
      this.#waiting?.receiver.landed?.(bytes.length)
    }
    const taken = this.#target === null && bytes.length > 0 ? (this.#waiting?.receiver.piece(bytes) ?? null) : null
    if (taken === null) {
      this.#endWhenWhole()
      return true
    }
    taken.then(
      () => {
        this.#endWhenWhole()
        if (this.#isOpen) this.#socket.resume()
      },
      (error: unknown) => this.#end(error),
    )
    return false
  }

  #endWhenWhole(): void {
    const [head, waiting] = [this.#head, this.#waiting]
    if (head === null || waiting === null || this.#received < head.bodyBytes) return
    this.#waiting = null
    this.#head = null
    this.#target = null
    // What has not all been sent would be taken for the next request.
    if (!head.isKeptAlive || this.#socket.writableLength > 0) this.#end(null)
    waiting.resolve(head)
  }

  #end(error: unknown): void {
    this.#isOpen = false
    this.#socket.destroy()
    const waiting = this.#waiting
    this.#waiting = null
    this.#target = null
    waiting?.reject(error)
  }
}

interface OnRead {
  readonly buffer: () => Uint8Array
  readonly callback: (bytes: number, buffer: Uint8Array) => boolean
}

/** An address has no name that a certificate could be asked for. */
function nameOf(host: string): { readonly servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host }
}

export function abortedBy(signal: AbortSignal): unknown {
  return signal.reason instanceof MembraneError
    ? signal.reason
    : new MembraneError('ABORTED', 'The call was cancelled.', { cause: signal.reason })
}

function broken(cause: Error | null): MembraneError {
  const reason = cause === null ? 'the server closed it' : cause.message
  return new MembraneError('PEER_UNAVAILABLE', `The connection broke off: ${reason}.`, { cause })
}

function unreachableServer({ host, port }: BlobOrigin, cause: Error | null): MembraneError {
  const reason = cause === null ? 'it closed the connection' : 'code' in cause ? String(cause.code) : cause.message
  return new MembraneError('PEER_UNAVAILABLE', `${host}:${port} cannot be reached: ${reason}.`, {
    remedy: 'Check the URL, and that the server runs.',
    details: { isUnsent: true },
    ...(cause === null ? {} : { cause }),
  })
}
