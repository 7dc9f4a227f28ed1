/** A connection of `membrane doctor` to a door that is not HTTP: sends bytes, and waits for so many, or for a reply. */
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { MembraneError } from '../core/errors.ts'

/** `host:port`, or the path of a Unix socket. */
export interface DoctorTarget {
  readonly address: string
  /** Null for plain; the authority is one that Node trusts when `ca` is null. */
  readonly tls: { readonly ca: string | null } | null
}

/** Throws INVALID_REQUEST. */
export function parseAddress(
  address: string,
): { readonly host: string; readonly port: number } | { readonly path: string } {
  if (address.startsWith('/')) return { path: address }
  const match = /^(?:\[([\da-f:.]+)\]|([^\s:/]+)):(\d{1,5})$/i.exec(address)
  const port = Number(match?.[3])
  const host = match?.[1] ?? match?.[2]
  if (host !== undefined && port >= 1 && port <= 65_535) return { host, port }
  throw new MembraneError('INVALID_REQUEST', `An address is host:port, or the path of a socket; found ${address}.`)
}

/** One connection; ended by its signal too. */
export class DoctorWire {
  readonly #socket: Socket
  readonly #pieces: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#pieces = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  }

  /** Throws PEER_UNAVAILABLE. */
  static async connect({ address, tls }: DoctorTarget, signal: AbortSignal): Promise<DoctorWire> {
    const place = parseAddress(address)
    const socket =
      tls === null
        ? connectTcp(place)
        : connectTls({ ...place, ...(tls.ca === null ? {} : { ca: tls.ca }), ...serverNameOf(place) })
    signal.addEventListener('abort', () => socket.destroy(), { once: true })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once(tls === null ? 'connect' : 'secureConnect', resolve)
    socket.once('error', reject)
    await promise.catch((cause: unknown) => {
      const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
      throw new MembraneError('PEER_UNAVAILABLE', `${address} cannot be reached: ${reason}.`, {
        remedy: 'Check the address, that the door was opened when the server was started, and whether it speaks TLS.',
        cause,
      })
    })
    return new DoctorWire(socket)
  }

  send(pieces: readonly Uint8Array[]): void {
    this.#socket.cork()
    for (const piece of pieces) this.#socket.write(piece)
    this.#socket.uncork()
  }

  /** Bytes that have come and were not taken, or the next that come. Throws PEER_UNAVAILABLE at the end. */
  async some(): Promise<Buffer> {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    if (rest.length > 0) return rest
    const { value, done } = await this.#pieces.next()
    if (done !== true) return value
    throw new MembraneError('PEER_UNAVAILABLE', 'The server closed the connection before it answered.', {
      remedy: 'Check that the address is that of this door, and the credential.',
    })
  }

  /** Exactly so many. */
  async bytes(count: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let found = 0; found < count; ) {
      const piece = await this.some()
      pieces.push(piece)
      found += piece.length
    }
    const all = Buffer.concat(pieces)
    this.#rest = all.subarray(count)
    return all.subarray(0, count)
  }

  close(): void {
    this.#socket.destroy()
  }
}

function serverNameOf(place: ReturnType<typeof parseAddress>): { readonly servername?: string } {
  return 'host' in place && !/^[\d.]+$|:/.test(place.host) ? { servername: place.host } : {}
}
