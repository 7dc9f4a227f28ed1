/** One exchange over HTTP: a text out, an answer in pieces. Connections are those of Node's own agents, and are reused. */
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Alarm } from '../core/ports.ts'
import { FaultError, type ProviderFault } from './provider-fault.ts'
import type { AnswerHeaders } from './provider-headers.ts'
import { AnswerPieces } from './provider-pieces.ts'

/** A host that is not there says nothing, and time for an answer is long. As in Node's fetch. */
const CONNECT_MS_MAX = 10_000
/** What remains of an answer after its last event is a few bytes; a connection that takes longer to end is not kept. */
const LEFTOVER_MS_MAX = 1000
export interface WireRequest {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export class ProviderWire {
  readonly #alarm: Alarm
  #request: ClientRequest | null = null
  #message: IncomingMessage | null = null
  #pieces: AnswerPieces | null = null
  #isOver = false

  constructor(alarm: Alarm) {
    this.#alarm = alarm
  }

  /** Null until an answer begins. */
  get status(): number | null {
    return this.#message?.statusCode ?? null
  }

  get headers(): AnswerHeaders {
    const entries = Object.entries(this.#message?.headers ?? {})
    return Object.fromEntries(
      entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
    )
  }

  /** Ends when an answer begins. Throws FaultError. */
  async send(request: WireRequest): Promise<IncomingMessage> {
    this.#message = await this.#attempt(request, { isFresh: false })
    return this.#message
  }

  /** The bytes of the answer; all that came before a cut come first. Throws FaultError. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#pieces ?? []
    } catch (error) {
      throw new FaultError(wireFault(asError(error), 'cut'))
    }
  }

  /** After a whole answer: keeps the connection for the next request, if what remains of the answer comes soon. */
  release(): void {
    this.#isOver = true
    const message = this.#message
    if (message === null || message.closed) return
    const cancel = this.#alarm.after(LEFTOVER_MS_MAX / 1000, () => this.#request?.destroy())
    message.once('close', cancel)
    this.#pieces?.drain()
  }

  /** Ends the connection. */
  destroy(): void {
    this.#isOver = true
    this.#request?.destroy()
  }

  /**
   * A kept connection may have been closed by the other side in this very moment: then nothing was read from it, and the
   * request goes out on a fresh one.
   */
  async #attempt(sent: WireRequest, { isFresh }: { readonly isFresh: boolean }): Promise<IncomingMessage> {
    const { url, headers, body } = sent
    const framing = { 'accept-encoding': 'identity', 'content-length': String(Buffer.byteLength(body)) }
    const options = { method: 'POST', headers: { ...headers, ...framing }, ...(isFresh ? { agent: false } : {}) }
    const isTls = url.protocol === 'https:'
    const request = isTls ? requestHttps(url, options) : requestHttp(url, options)
    this.#request = request
    const cancel = this.#alarm.after(CONNECT_MS_MAX / 1000, () => {
      request.destroy(new Error(`no connection within ${CONNECT_MS_MAX} ms`))
    })
    request.on('socket', (socket) => {
      if (request.reusedSocket) cancel()
      else socket.once(isTls ? 'secureConnect' : 'connect', cancel)
    })
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        request.on('error', reject)
        request.on('response', (message) => {
          this.#pieces = new AnswerPieces(request, message)
          resolve(message)
        })
        request.end(body)
      })
    } catch (error) {
      const cause = asError(error)
      if (request.reusedSocket && !isFresh && !this.#isOver && isClosedConnection(cause)) {
        return this.#attempt(sent, { isFresh: true })
      }
      throw new FaultError(wireFault(cause, 'unreachable'))
    } finally {
      cancel()
    }
  }
}

function isClosedConnection({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE'
}

function wireFault(error: NodeJS.ErrnoException, kind: 'unreachable' | 'cut'): ProviderFault {
  const said = error.code === undefined ? error.message : `${error.code}, ${error.message}`
  // Bytes that are no HTTP.
  return { kind: error.code?.startsWith('HPE_') === true ? 'malformed' : kind, said }
}

function asError(error: unknown): NodeJS.ErrnoException {
  return error instanceof Error ? error : new Error(String(error))
}
