/** Server-sent events: an answer in pieces, each with a name, while the work goes on. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorBody, lateError } from './http-errors.ts'

/** Proxies and this server close what says nothing for so long and longer. */
const COMMENT_MS = 15_000

/** Sends events of one answer. */
export interface EventStream {
  send(event: string, data: unknown): void
}

/**
 * Streams what `work` sends, then `done` with what it gives. An error before the first event is an error of the
 * request; after it, it is an event `error`, because the status has been sent.
 */
export async function streamEvents(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  work: (events: EventStream) => Promise<unknown>,
): Promise<void> {
  const { raw } = reply
  const begin = (): void => {
    if (raw.headersSent) return
    reply.hijack()
    const headers: Record<string, string> = { 'x-request-id': request.id }
    for (const [name, value] of Object.entries(reply.getHeaders())) headers[name] = String(value)
    raw.writeHead(200, { ...headers, 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' })
  }
  const send = (event: string, data: unknown): void => {
    begin()
    if (!raw.destroyed) raw.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }
  const comments = setInterval(() => {
    begin()
    if (!raw.destroyed) raw.write(': still at work\n\n')
  }, COMMENT_MS)
  try {
    const answer = await work({ send })
    send('done', answer)
    raw.end()
  } catch (error) {
    if (!raw.headersSent) throw error
    send('error', errorBody(lateError(error, request), request.id))
    raw.end()
  } finally {
    clearInterval(comments)
  }
}
