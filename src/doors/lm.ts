/** The `lm://` door: what LMCache's own server speaks, with bounds, eviction and tenants behind it. */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, TLSSocket } from 'node:tls'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Caller } from '../server/caller.ts'
import { addressError } from './address-error.ts'
import type { Door, DoorOptions, ListenAddress } from './door.ts'
import { LmConnection, type LmDoorParts } from './lm-connection.ts'
import { renewTls } from './renew-tls.ts'

/** Beside what all doors are opened with. */
export interface LmDoorOptions extends DoorOptions {
  /** For the forked version of the client that reads the location before the shape; default false. */
  readonly isLocationFirst?: boolean
  /** Milliseconds for which a request may be half there, or an answer not be taken; default LIMITS.lmStallMsMax. */
  readonly stallMs?: number
  readonly nowMs?: () => number
}

const CHECK_MS = 1000

/** Throws ADDRESS_UNAVAILABLE, and INVALID_CONFIG when nobody could come in: the protocol carries no credential. */
export async function openLmDoor(options: LmDoorOptions): Promise<Door> {
  const { tls, authenticator, log, connectionsMax, stallMs = LIMITS.lmStallMsMax } = options
  if (authenticator.anonymous === null && tls?.clientCa == null)
    throw new MembraneError('INVALID_CONFIG', 'lm:// carries no credential, and here every caller needs one.', {
      remedy: 'Ask for client certificates, or let somebody in without a credential.',
    })
  const parts: LmDoorParts = {
    ...options,
    isLocationFirst: options.isLocationFirst ?? false,
    nowMs: options.nowMs ?? Date.now,
    counts: { failedPuts: 0, violations: 0 },
  }
  const connections = new Set<LmConnection>()
  let isClosing = false
  const welcome = (socket: Socket): void => {
    const caller = callerOf(options, socket)
    if (isClosing || connections.size >= connectionsMax || caller === null) {
      if (caller === null) log.warn('a connection without a known certificate was closed')
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    const connection = new LmConnection(parts, socket, caller)
    connections.add(connection)
    socket.once('close', () => connections.delete(connection))
    void connection.serve()
  }
  const server = tls === null ? createServer(SOCKETS, welcome) : tlsServer(options, welcome)
  server.on('error', (error) => log.error({ error }, 'door failed'))
  const address = await listen(server, options.address)
  const check = setInterval(() => {
    for (const connection of connections) connection.check(stallMs)
  }, CHECK_MS).unref()
  return {
    name: 'lm',
    address,
    isTls: tls !== null,
    get connections() {
      return connections.size
    },
    renewTls: (renewed) => renewTls(server, renewed),
    close: async (signal) => {
      isClosing = true
      const cut = (): void => {
        for (const connection of connections) connection.cut()
      }
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const connection of connections) connection.close()
      if (signal.aborted) cut()
      signal.addEventListener('abort', cut, { once: true })
      await closed
      signal.removeEventListener('abort', cut)
      clearInterval(check)
    },
  }
}

/** Small answers leave at once. */
const SOCKETS = { noDelay: true } as const

function tlsServer({ tls, log }: LmDoorOptions, welcome: (socket: Socket) => void): Server {
  if (tls === null) throw new Error('Bug: a door without certificates speaks no TLS')
  const { cert, key, clientCa } = tls
  const clients = clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  const options = { ...SOCKETS, ...clients, cert, key, handshakeTimeout: LIMITS.handshakeMsMax }
  return createTlsServer(options, welcome).on('tlsClientError', (error) => log.debug({ error }, 'handshake failed'))
}

function callerOf({ authenticator, tls }: LmDoorOptions, socket: Socket): Caller | null {
  if (tls?.clientCa != null && socket instanceof TLSSocket) {
    const { fingerprint256, subject } = socket.getPeerCertificate()
    const name: string | readonly string[] | undefined = subject?.CN
    const commonName = typeof name === 'string' ? name : (name?.[0] ?? '')
    const caller = authenticator.byCertificate({ fingerprint256, commonName })
    if (caller !== null) return caller
  }
  return authenticator.anonymous
}

async function listen(server: Server, address: ListenAddress): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => reject(addressError(address, error))
    server.once('error', fail)
    const listening = (): void => {
      server.off('error', fail)
      resolve()
    }
    if (address.kind === 'unix') server.listen(address.path, listening)
    else server.listen({ host: address.host, port: address.port }, listening)
  })
  const bound = server.address()
  return address.kind === 'tcp' && bound !== null && typeof bound === 'object'
    ? { ...address, port: bound.port }
    : address
}
