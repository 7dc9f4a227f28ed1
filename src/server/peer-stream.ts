/** An answer that another node writes while it works, over a connection of its own: nobody knows its length beforehand. */
import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { errorOfAnswer } from '../api/client-errors.ts'
import type { ClientTls } from '../api/client-options.ts'
import { abortedError, throwIfAborted } from '../core/cancel.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

export interface PeerStreamRequest {
  /** host:port, as nodes are named. */
  readonly address: string
  readonly path: string
  readonly body: Uint8Array
  /** Null where none is needed. */
  readonly token: string | null
  /** Null for plain text. */
  readonly tls: ClientTls | null
}

/**
 * Bytes as they come. Leaving the loop, or the signal, closes the connection. Throws the other node's error,
 * PEER_UNAVAILABLE and ABORTED.
 */
export async function* peerStream(asked: PeerStreamRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  throwIfAborted(signal)
  const request = begin(asked)
  const leave = (): void => void request.destroy()
  signal.addEventListener('abort', leave)
  try {
    const answer = await answerTo(request)
    // When it has ended nobody reads it, and what then happens to its connection is of no interest.
    answer.on('error', () => undefined)
    if (answer.statusCode !== 200) throw await errorOf(answer)
    for await (const bytes of answer) yield bytes as Uint8Array
  } catch (cause) {
    if (cause instanceof MembraneError) throw cause
    if (signal.aborted) throw abortedError(signal)
    throw new MembraneError('PEER_UNAVAILABLE', `${asked.address} broke off: ${messageOf(cause)}.`, { cause })
  } finally {
    signal.removeEventListener('abort', leave)
    request.destroy()
  }
}

function begin({ address, path, body, token, tls }: PeerStreamRequest): ClientRequest {
  const url = new URL(`${tls === null ? 'http' : 'https'}://${address}${path}`)
  const options = {
    method: 'POST',
    agent: false as const,
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': body.length,
      // This side closes it: were it the other one, what a proxy still holds could be lost.
      connection: 'keep-alive',
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    },
  }
  const request = tls === null ? requestHttp(url, options) : requestHttps(url, { ...options, ...tls })
  request.end(body)
  return request
}

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request.once('response', resolve)
  // It stays: an error without a listener would end the process.
  request.on('error', reject)
  request.once('close', () => reject(new Error('closed before it answered')))
  return promise
}

async function errorOf(answer: IncomingMessage): Promise<MembraneError> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of answer) {
    const taken = piece as Uint8Array
    bytes += taken.length
    if (bytes > LIMITS.responseErrorBytesMax) break
    pieces.push(taken)
  }
  const { statusCode = 502, headers } = answer
  return errorOfAnswer({
    status: statusCode < 300 ? 502 : statusCode,
    body: Buffer.concat(pieces).toString(),
    retryAfter: headers['retry-after'] ?? null,
  })
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
