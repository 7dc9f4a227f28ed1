/**
 * `Expect: 100-continue`, RFC 9110 section 10.1.1: a client that asks before it sends hears no for a body that would be
 * refused, and is told to go ahead only when there is room for the body.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** Requests whose client waits. */
const waiting = new WeakSet<IncomingMessage>()

/** Lets requests with the header through to the routes, which say when to go ahead. */
export function holdExpectations(server: Pick<Server, 'on' | 'emit'>): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.add(request)
    server.emit('request', request, response)
  })
}

/** The body may come. */
export function goAhead(request: IncomingMessage, response: ServerResponse): void {
  if (waiting.delete(request)) response.writeContinue()
}
