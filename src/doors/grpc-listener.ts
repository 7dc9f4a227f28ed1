/** Takes connections on an address, makes them TLS where that is asked for, counts them, and closes those too many. */
import { createServer as createPlainServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { addressError } from './address-error.ts'
import type { DoorTls, ListenAddress } from './door.ts'
import { renewTls } from './renew-tls.ts'

export interface ListenerOptions {
  readonly address: ListenAddress
  readonly tls: DoorTls | null
  readonly connectionsMax: number
  /** Its handshake, if any, is over. */
  readonly connected: (socket: Socket) => void
}

/** Throws ADDRESS_UNAVAILABLE, and INVALID_CONFIG for certificates that cannot be used. */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const listener = new Listener(options)
  await listener.listen(options.address)
  return listener
}

/** See the top of this file. */
export class Listener {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** By their other end, because TLS hides which connection it is on. */
  readonly #handshaking = new Map<string, Socket>()
  #address: ListenAddress
  #isClosing = false

  /** Use `openListener`. */
  constructor({ address, tls, connectionsMax, connected }: ListenerOptions) {
    this.#address = address
    const ready = (socket: Socket): void => {
      this.#handshaking.delete(otherEnd(socket))
      if (this.#isClosing) socket.destroy()
      else if (!socket.destroyed) connected(socket)
    }
    this.#server = tls === null ? createPlainServer({ noDelay: true }, ready) : createTls(tls, ready)
    // Before anything is read or a handshake begins.
    this.#server.prependListener('connection', (socket: Socket) => {
      if (this.#sockets.size >= connectionsMax) {
        socket.destroy()
        return
      }
      const end = otherEnd(socket)
      this.#sockets.add(socket)
      if (tls !== null) this.#handshaking.set(end, socket)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        if (this.#handshaking.get(end) === socket) this.#handshaking.delete(end)
      })
      // What fails is seen by whoever uses the connection, or by nobody: it closes in any case.
      socket.on('error', () => {})
    })
  }

  /** As it turned out. */
  get address(): ListenAddress {
    return this.#address
  }

  get connections(): number {
    return this.#sockets.size
  }

  listen(address: ListenAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => reject(addressError(address, cause)))
      const listening = (): void => {
        const bound = this.#server.address()
        if (address.kind === 'tcp' && bound !== null && typeof bound === 'object')
          this.#address = { ...address, port: bound.port }
        resolve()
      }
      if (address.kind === 'unix') this.#server.listen(address.path, listening)
      else this.#server.listen({ host: address.host, port: address.port }, listening)
    })
  }

  /** False when it speaks plain text. */
  renewTls(tls: DoorTls): boolean {
    return renewTls(this.#server, tls)
  }

  /** Takes no new connections, and drops those whose handshake is not over; ends when there are none left. */
  async close(): Promise<void> {
    this.#isClosing = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#handshaking.values()) socket.destroy()
    await closed
    // The last of them may not have said yet that it is closed.
    await Promise.all(
      [...this.#sockets].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))),
    )
  }

  /** Closes every connection now. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

function createTls({ cert, key, clientCa }: DoorTls, ready: (socket: Socket) => void): Server {
  const client = clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  const options = { cert, key, ...client, ALPNProtocols: ['h2'], handshakeTimeout: LIMITS.handshakeMsMax }
  try {
    return createTlsServer({ ...options, noDelay: true }, ready)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('INVALID_CONFIG', `The certificate cannot be used: ${reason}.`, { cause })
  }
}

function otherEnd({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
