/** The HTTP door: JSON for control, plain bodies for bytes. Routes stand in `http-*.ts`, by what they are about. */
import swagger from '@fastify/swagger'
import fastify, { type FastifyBaseLogger, LogController } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { randomUUID } from 'node:crypto'
import { type TLSSocket } from 'node:tls'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { authenticate, type Caller } from '../server/caller.ts'
import { renewTls } from './renew-tls.ts'
import { addressText, type Door, type DoorOptions } from './door.ts'
import type { HttpApp } from './http-app.ts'
import { sendError } from './http-errors.ts'
import { fragmentRoutes } from './http-fragments.ts'
import { healthRoutes } from './http-health.ts'
import { lookUpRoutes } from './http-lookup.ts'
import { openAiRoutes } from './http-openai.ts'

const ROUTES = [healthRoutes, fragmentRoutes, lookUpRoutes, openAiRoutes] as const

/** Descriptions in headers and long keys in paths. */
const HEADER_BYTES_MAX = 32 * 1024
/** For the headers; bodies have the idle time-out of the socket. */
const HEADERS_TIMEOUT_MS = 30_000
const IDLE_TIMEOUT_MS = 75_000

/** Throws ADDRESS_UNAVAILABLE. */
export async function openHttpDoor(options: DoorOptions): Promise<Door> {
  const { address, tls, log, connectionsMax, operations } = options
  const app: HttpApp = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    bodyLimit: LIMITS.jsonBodyBytesMax,
    connectionTimeout: IDLE_TIMEOUT_MS,
    // A put of gigabytes over a thin link takes its time; a socket that says nothing is closed all the same.
    requestTimeout: 0,
    return503OnClosing: true,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 3 * LIMITS.storeKeyBytesMax },
    http: { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS },
    ...(tls === null
      ? {}
      : {
          https: {
            cert: tls.cert,
            key: tls.key,
            maxHeaderSize: HEADER_BYTES_MAX,
            headersTimeout: HEADERS_TIMEOUT_MS,
            ...(tls.clientCa === null ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
          },
        }),
  }).withTypeProvider<ZodTypeProvider>()
  app.server.maxConnections = connectionsMax
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply))
  app.setNotFoundHandler((request, reply) =>
    sendError(new MembraneError('NOT_FOUND', `There is no ${request.method} ${pathOf(request.url)}.`), request, reply),
  )
  // Bodies that are not JSON are read by their routes, as they come.
  app.removeContentTypeParser('text/plain')
  app.addContentTypeParser('*', (_request, body, done) => done(null, body))
  app.decorateRequest('caller', null)
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id)
    if (request.routeOptions.config.isOpen === true) return
    request.caller = callerOfSocket(options, request.raw.socket, request.headers.authorization)
    if (operations.gate.isDraining) throw new MembraneError('DRAINING', 'This node is shutting down.')
  })
  app.addHook('onResponse', async (request, reply) => {
    request.log.debug(
      { method: request.method, path: pathOf(request.url), status: reply.statusCode, ms: reply.elapsedTime },
      'answered',
    )
  })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Membrane', version: '1', description: 'Fragments, rebuilds and generation of one node.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
  })
  app.get('/openapi.json', { config: { isOpen: true }, schema: { hide: true } }, () => app.swagger())
  for (const addRoutes of ROUTES) addRoutes(app, options)
  let openConnections = 0
  app.server.on('connection', (socket) => {
    openConnections += 1
    socket.once('close', () => {
      openConnections -= 1
    })
  })
  await listen(app, options)
  const bound = app.server.address()
  return {
    name: 'http',
    address:
      address.kind === 'tcp' && typeof bound === 'object' && bound !== null
        ? { ...address, port: bound.port }
        : address,
    isTls: tls !== null,
    get connections() {
      return openConnections
    },
    renewTls: (renewed) => renewTls(app.server, renewed),
    close: async (signal) => {
      const cut = (): void => app.server.closeAllConnections()
      if (signal.aborted) cut()
      signal.addEventListener('abort', cut, { once: true })
      await app.close()
      signal.removeEventListener('abort', cut)
    },
  }
}

async function listen(app: HttpApp, { address }: DoorOptions): Promise<void> {
  try {
    await app.listen(address.kind === 'tcp' ? { host: address.host, port: address.port } : { path: address.path })
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new MembraneError('ADDRESS_UNAVAILABLE', `${addressText(address)} cannot be listened on: ${reason}.`, {
      remedy: 'Choose another port, or 0 for a free one.',
      cause: error,
    })
  }
}

/** A certificate says it for the whole connection; else the token of this request. Throws UNAUTHENTICATED. */
function callerOfSocket(
  { authenticator, tls }: DoorOptions,
  socket: TLSSocket | object,
  authorization: string | undefined,
): Caller {
  const token = tokenOf(authorization)
  if (token === null && tls?.clientCa != null && 'getPeerCertificate' in socket) {
    const { fingerprint256, subject } = socket.getPeerCertificate()
    const caller = authenticator.byCertificate({ fingerprint256, commonName: commonNameOf(subject?.CN) })
    if (caller !== null) return caller
  }
  return authenticate(authenticator, token)
}

function commonNameOf(name: string | readonly string[] | undefined): string {
  return typeof name === 'string' ? name : (name?.[0] ?? '')
}

function tokenOf(authorization: string | undefined): string | null {
  if (authorization === undefined) return null
  const match = /^Bearer +(\S+)$/i.exec(authorization)
  if (match?.[1] !== undefined) return match[1]
  throw new MembraneError('UNAUTHENTICATED', 'The Authorization header is "Bearer" and a token.')
}

/** Without the query, which may say what nobody should log. */
function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? url
}
