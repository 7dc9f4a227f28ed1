/** A server on a free port that answers as a test says, and remembers what it was sent and how connections ended. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export interface ReceivedRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Readonly<Record<string, unknown>>
  /** Connections are counted from 1. */
  readonly connection: number
  /** Ends when the connection is closed before the answer was complete. */
  readonly cut: Promise<void>
}

/** Answers one request. What it throws is answered with status 599 and kept for `stop`. */
export type Answer = (response: ServerResponse, request: ReceivedRequest) => void | Promise<void>

export interface ProviderServer {
  readonly url: string
  readonly received: readonly ReceivedRequest[]
  /** For the next request that none is waiting for; the last one stays. */
  answer(...answers: readonly Answer[]): void
  /** Throws what answers threw. */
  stop(): Promise<void>
}

/** `check` throws for a request that the provider would not understand. */
export async function startProviderServer(check: (request: ReceivedRequest) => void): Promise<ProviderServer> {
  const received: ReceivedRequest[] = []
  const connections = new Map<Socket, number>()
  const failures: unknown[] = []
  let answers: Answer[] = []
  const server = createServer((message, response) => {
    const pieces: Buffer[] = []
    message.on('data', (piece: Buffer) => pieces.push(piece))
    message.on('end', () => {
      const cut = new Promise<void>((resolve) => {
        response.once('close', () => {
          if (!response.writableFinished) resolve()
        })
      })
      if (!connections.has(message.socket)) connections.set(message.socket, connections.size + 1)
      const request: ReceivedRequest = {
        method: message.method ?? '',
        path: message.url ?? '',
        headers: message.headers,
        body: JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>,
        connection: connections.get(message.socket) ?? 0,
        cut,
      }
      received.push(request)
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      const respond = async (): Promise<void> => {
        check(request)
        if (answer === undefined) throw new Error('The test says no answer.')
        await answer(response, request)
      }
      respond().catch((error: unknown) => {
        failures.push(error)
        if (!response.headersSent) response.writeHead(599)
        response.end(String(error))
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    answer: (...next) => {
      answers = [...next]
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      const [first] = failures
      if (first !== undefined) throw first
    },
  }
}

/** Answers with JSON. */
export function json(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  }
}

/** Answers with bytes in pieces as they are, each in a packet of its own as far as that can be said. */
export function pieces(
  contentType: string,
  parts: readonly (string | Uint8Array)[],
  end: 'end' | 'cut' | 'hang',
): Answer {
  return async (response) => {
    response.writeHead(200, { 'content-type': contentType })
    for (const part of parts) {
      response.write(part)
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (end === 'end') response.end()
    // What was written is on its way before the connection is.
    if (end === 'cut') setTimeout(() => response.destroy(), 20)
  }
}
