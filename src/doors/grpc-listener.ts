/** Takes connections on an address, counts them, and closes those that are too many. */
import { createServer, type Server, type Socket } from 'node:net'
import { MembraneError } from '../core/errors.ts'
import { addressText, type ListenAddress } from './door.ts'

export interface ListenerOptions {
  readonly address: ListenAddress
  readonly connectionsMax: number
  readonly connected: (socket: Socket) => void
}

/** Throws ADDRESS_UNAVAILABLE. */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    // Before anything is read or a handshake begins.
    if (sockets.size >= options.connectionsMax) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // What fails is seen by whoever uses the connection, or by nobody: it closes in any case.
    socket.on('error', () => {})
    options.connected(socket)
  })
  await listen(server, options.address)
  return new Listener(server, sockets, boundAddress(server, options.address))
}

/** See the top of this file. */
export class Listener {
  readonly address: ListenAddress
  readonly #server: Server
  readonly #sockets: ReadonlySet<Socket>

  /** Use `openListener`. */
  constructor(server: Server, sockets: ReadonlySet<Socket>, address: ListenAddress) {
    this.#server = server
    this.#sockets = sockets
    this.address = address
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Takes no new connections; ends when there are none left. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
    // The last of them may not have said yet that it is closed.
    await Promise.all(
      [...this.#sockets].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))),
    )
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new MembraneError('ADDRESS_UNAVAILABLE', `${addressText(address)} cannot be listened on: ${cause.message}`, {
          cause,
        }),
      )
    })
    server.listen(address.kind === 'unix' ? address.path : { host: address.host, port: address.port }, resolve)
  })
}

function boundAddress(server: Server, address: ListenAddress): ListenAddress {
  const bound = server.address()
  return address.kind === 'unix' || bound === null || typeof bound === 'string'
    ? address
    : { ...address, port: bound.port }
}
