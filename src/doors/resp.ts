/** The RESP door: what clients of Redis speak, over TCP or a Unix socket, with TLS or without. */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, TLSSocket } from 'node:tls'
import { RESP_NOT_ASKED } from './resp-defaults.ts'
import type { Caller } from '../server/caller.ts'
import { SerialTasks } from '../store/serial.ts'
import { renewTls } from './renew-tls.ts'
import { addressError } from './address-error.ts'
import type { Door, DoorOptions, ListenAddress } from './door.ts'
import { RespConnection } from './resp-connection.ts'
import { RespCursors } from './resp-cursors.ts'
import type { RespDoorParts, RespSession, RespSettings } from './resp-parts.ts'
import { readingInto } from './resp-incoming.ts'
import { RespTurns } from './resp-turns.ts'

const CHECK_MS = 1000
/** Read from a socket at once. */
const SEGMENT_BYTES = 256 * 1024
const HANDSHAKE_MS = 10_000
/** A walk through keys that nobody goes on with. */
const CURSOR_MS = 10 * 60_000

/** Throws ADDRESS_UNAVAILABLE. */
export async function openRespDoor(options: DoorOptions & Partial<RespSettings>): Promise<Door> {
  const settings = { ...RESP_NOT_ASKED, ...options }
  const { nowMs, log, connectionsMax, tls } = settings
  const connections = new Map<number, RespConnection>()
  const sessions = new Map<number, RespSession>()
  const parts: RespDoorParts = {
    ...settings,
    turns: new RespTurns(),
    cursors: new RespCursors(nowMs),
    writes: new SerialTasks(),
    sessions,
    startedAtMs: nowMs(),
    counts: { connections: 0, commands: 0, rejected: 0 },
  }
  let isClosing = false
  const segments = Buffer.allocUnsafeSlow(SEGMENT_BYTES)
  const welcome = (accepted: Socket): void => {
    parts.counts.connections += 1
    if (isClosing || connections.size >= connectionsMax) {
      parts.counts.rejected += 1
      accepted.on('error', () => {})
      accepted.end(isClosing ? '' : '-ERR max number of clients reached\r\n', () => accepted.destroy())
      return
    }
    const id = parts.counts.connections
    const incoming = readingInto(segments, accepted)
    const { socket } = incoming
    const connection = new RespConnection(parts, incoming, id, callerOf(parts, socket))
    connections.set(id, connection)
    sessions.set(id, connection.session)
    socket.once('close', () => {
      connections.delete(id)
      sessions.delete(id)
    })
  }
  const server =
    tls === null ? createServer({ ...SOCKETS, pauseOnConnect: true }, welcome) : tlsServer(settings, welcome)
  server.on('error', (error) => log.error({ err: error }, 'door failed'))
  const address = await listen(server, options.address)
  const check = setInterval(() => {
    for (const connection of connections.values()) connection.check(nowMs())
    parts.cursors.endBefore(nowMs() - CURSOR_MS)
  }, CHECK_MS).unref()
  return {
    name: 'resp',
    address,
    isTls: tls !== null,
    get connections() {
      return connections.size
    },
    renewTls: (renewed) => renewTls(server, renewed),
    close: async (signal) => {
      isClosing = true
      const cut = (): void => {
        for (const connection of connections.values()) connection.cut()
      }
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      const ended = Promise.all(Array.from(connections.values(), (connection) => connection.close()))
      if (signal.aborted) cut()
      signal.addEventListener('abort', cut, { once: true })
      await Promise.all([ended, closed])
      signal.removeEventListener('abort', cut)
      clearInterval(check)
    },
  }
}

/** A peer that has said all may still wait for answers. Small answers leave at once. */
const SOCKETS = { allowHalfOpen: true, noDelay: true } as const

function tlsServer({ tls, log }: RespSettings & DoorOptions, welcome: (socket: Socket) => void): Server {
  if (tls === null) throw new Error('Bug: a door without certificates speaks no TLS')
  const { cert, key, clientCa } = tls
  const clients = clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  return createTlsServer({ ...SOCKETS, ...clients, cert, key, handshakeTimeout: HANDSHAKE_MS }, welcome).on(
    'tlsClientError',
    (error) => log.debug({ err: error }, 'handshake failed'),
  )
}

/** Of the certificate that TLS has verified; else whoever sends no credential. */
function callerOf({ authenticator, tls }: RespDoorParts, socket: Socket): Caller | null {
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
    server.listen(address.kind === 'tcp' ? { host: address.host, port: address.port } : { path: address.path }, () => {
      server.removeListener('error', fail)
      resolve()
    })
  })
  const bound = server.address()
  return address.kind === 'tcp' && typeof bound === 'object' && bound !== null
    ? { ...address, port: bound.port }
    : address
}
