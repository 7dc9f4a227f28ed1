/** The HTTP door: JSON for control, plain bodies for bytes. Routes stand in `http-*.ts`, by what they are about. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { TLSSocket } from 'node:tls'
import { MembraneError } from '../core/errors.ts'
import { authenticate, type Caller } from '../server/caller.ts'
import { OTHER_ROUTES } from '../server/request-meters.ts'
import { addressError } from './address-error.ts'
import type { Door, DoorOptions } from './door.ts'
import { adminRoutes } from './http-admin.ts'
import type { HttpApp } from './http-app.ts'
import { clusterMessageRoutes, clusterRoutes } from './http-cluster.ts'
import { computeRoutes } from './http-compute.ts'
import { sendError } from './http-errors.ts'
import { fragmentRoutes } from './http-fragments.ts'
import { getRoutes } from './http-get.ts'
import { healthRoutes } from './http-health.ts'
import { checkHost, checkOrigin, isTrustingLoopback } from './http-host.ts'
import { legacyRoutes } from './http-legacy.ts'
import { lookUpRoutes } from './http-lookup.ts'
import { metricsRoutes } from './http-metrics.ts'
import { openAiRoutes } from './http-openai.ts'
import { describeApi } from './http-openapi.ts'
import { prefillRoutes } from './http-prefill.ts'
import { pullRoutes } from './http-pull.ts'
import { putRoutes } from './http-put.ts'
import { pathOf, watchRoutes } from './http-routes.ts'
import { createHttpServer } from './http-server.ts'
import { sessionRoutes } from './http-sessions.ts'
import { transferMessageRoutes, transferRoutes } from './http-transfer.ts'
import { renewTls } from './renew-tls.ts'

const ROUTES = [
  healthRoutes,
  getRoutes,
  fragmentRoutes,
  lookUpRoutes,
  sessionRoutes,
  computeRoutes,
  openAiRoutes,
  metricsRoutes,
  adminRoutes,
  transferRoutes,
  pullRoutes,
  clusterRoutes,
  legacyRoutes,
] as const

/** An answer is data: a browser that is led to one must not run it, show it in a frame or give it to another page. */
const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
} as const

/** All routes, not listening yet, and their names. */
export async function createHttpApp(
  options: DoorOptions,
): Promise<{ readonly app: HttpApp; readonly routeNames: () => readonly string[] }> {
  const app = createHttpServer(options)
  const routes = watchRoutes(app)
  app.setNotFoundHandler((request, reply) => sendError(routes.refusalOf(request), request, reply))
  admit(app, options)
  observe(app, options)
  await describeApi(app)
  for (const addRoutes of ROUTES) addRoutes(app, options)
  // Bodies of these are bytes, whatever their type: their routes read them as they come.
  await app.register(async (raw: HttpApp) => {
    raw.removeAllContentTypeParsers()
    raw.addContentTypeParser('*', (_request, body, done) => done(null, body))
    putRoutes(raw, options)
    transferMessageRoutes(raw, options)
    clusterMessageRoutes(raw, options)
    prefillRoutes(raw, options)
  })
  return { app, routeNames: routes.names }
}

/** Throws ADDRESS_UNAVAILABLE. */
export async function openHttpDoor(options: DoorOptions): Promise<Door> {
  const { address, tls } = options
  const { app } = await createHttpApp(options)
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

/** Who may come in: known, by a name of this node, and not while it shuts down. */
function admit(app: HttpApp, options: DoorOptions): void {
  const { operations, authenticator, address } = options
  const isTrusting = isTrustingLoopback(address, authenticator.anonymous !== null)
  app.decorateRequest('caller', null)
  app.decorateRequest('failure', null)
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers({ ...SECURITY_HEADERS, 'x-request-id': request.id })
    if (operations.gate.isDraining) void reply.header('connection', 'close')
    if (isTrusting) {
      checkHost(request.headers.host, address)
      checkOrigin(request.headers.origin, request.headers.host)
    }
    if (request.routeOptions.config.isOpen === true) return
    const caller = callerOfSocket(options, request.raw.socket, request.headers.authorization)
    request.caller = operations.gate.admit(caller)
  })
}

/** What was asked and how it ended: into the log and the meters. */
function observe(app: HttpApp, { operations: { meters, gate } }: DoorOptions): void {
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (gate.isDraining) void reply.header('connection', 'close')
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const outcome = request.failure ?? (reply.raw.writableFinished ? 'ok' : 'ABORTED')
    const route = request.is404 ? OTHER_ROUTES : `${request.method} ${request.routeOptions.url ?? OTHER_ROUTES}`
    meters.answered({ door: 'http', route, outcome, seconds: reply.elapsedTime / 1000 })
    logAnswer(request, reply, outcome)
    // The answer began before the node began to shut down, and did not say that it is the last one.
    if (gate.isDraining) request.raw.socket.destroySoon()
    done()
  })
}

function logAnswer(request: FastifyRequest, { statusCode, elapsedTime }: FastifyReply, outcome: string): void {
  const { id: requestId, method, caller } = request
  const who = caller === null ? null : { name: caller.name, tenant: caller.tenant }
  request.log.debug(
    { requestId, method, path: pathOf(request.url), status: statusCode, outcome, ms: elapsedTime, caller: who },
    'answered',
  )
}

async function listen(app: HttpApp, { address, log }: DoorOptions): Promise<void> {
  // Fastify would say in words of its own what is said of every door. The logger is this door's alone.
  const { level } = log
  log.level = 'silent'
  try {
    await app.listen(address.kind === 'tcp' ? { host: address.host, port: address.port } : { path: address.path })
  } catch (error) {
    throw addressError(address, error)
  } finally {
    log.level = level
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
