/** Fastify as this node uses it: its bounds and time-outs, and what happens before a route is found. */
import fastify, { type FastifyBaseLogger, LogController } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { randomUUID } from 'node:crypto'
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { DoorOptions } from './door.ts'
import type { HttpApp } from './http-app.ts'
import { errorBody, sendError } from './http-errors.ts'
import { goAhead, holdExpectations } from './http-expect.ts'

/** Descriptions in headers and long keys in paths. */
const HEADER_BYTES_MAX = 32 * 1024
/** For the headers; bodies have a patience of their own. */
const HEADERS_TIMEOUT_MS = 30_000
/** A connection on which nothing moves, unless the node is at work for it. */
const IDLE_TIMEOUT_MS = 75_000

export function createHttpServer({ tls, log, connectionsMax }: DoorOptions): HttpApp {
  const http = { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS }
  const loggerInstance: FastifyBaseLogger = log
  const app: HttpApp = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    bodyLimit: LIMITS.jsonBodyBytesMax,
    connectionTimeout: IDLE_TIMEOUT_MS,
    // A put of gigabytes over a thin link takes its time; one that is too slow is refused by its route.
    requestTimeout: 0,
    // Said in the one shape of errors, by a hook.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 3 * LIMITS.storeKeyBytesMax },
    frameworkErrors: (error, request, reply) => sendError(error, request, reply),
    clientErrorHandler: refuseMalformed,
    http,
    ...(tls === null
      ? {}
      : {
          https: {
            ...http,
            cert: tls.cert,
            key: tls.key,
            ...(tls.clientCa === null ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
          },
        }),
  }).withTypeProvider<ZodTypeProvider>()
  app.server.maxConnections = connectionsMax
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply))
  app.removeContentTypeParser('text/plain')
  holdExpectations(app.server)
  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.routeOptions.config.hasRawBody !== true) goAhead(request.raw, reply.raw)
    done()
  })
  endIdle(app)
  return app
}

/** A request that takes long to answer is not idle, and neither side says anything meanwhile. */
function endIdle({ server }: HttpApp): void {
  const answering = new WeakMap<Socket, { readonly request: IncomingMessage; readonly response: ServerResponse }>()
  server.on('request', (request, response) => answering.set(request.socket, { request, response }))
  server.on('timeout', (socket) => {
    const under = answering.get(socket)
    const isAtWork = under !== undefined && under.request.complete && !under.response.headersSent
    if (isAtWork) socket.setTimeout(IDLE_TIMEOUT_MS)
    else socket.destroy()
  })
}

/** What is not HTTP has no request that a hook could answer. */
function refuseMalformed(this: unknown, error: Error & { readonly code?: string }, socket: Socket): void {
  if (socket.destroyed) return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, refusal]: readonly [number, MembraneError] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, new MembraneError('LIMIT_REACHED', `Headers take at most ${HEADER_BYTES_MAX} bytes here.`)]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, new MembraneError('DEADLINE_EXCEEDED', `Headers come within ${HEADERS_TIMEOUT_MS / 1000} seconds.`)]
        : [400, new MembraneError('INVALID_REQUEST', 'What came is not HTTP.')]
  const body = JSON.stringify(errorBody(refusal, randomUUID()))
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
