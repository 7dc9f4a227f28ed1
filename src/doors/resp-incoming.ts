/**
 * Reading from accepted sockets into one memory that is used again for every segment of every connection. Node offers
 * that (`onread`) for sockets that one opens oneself; for accepted ones, the handle is put under a socket of our own,
 * which is possible and not documented. Where anything is other than expected, and under TLS, segments come as Node
 * gives them, each in memory of its own. Why it is worth it: docs/decisions.md.
 */
import { Socket, type SocketConstructorOpts } from 'node:net'
import { TLSSocket } from 'node:tls'

/** A segment of short commands is copied as a whole, so that their arguments can be views of it. */
const COPIED_BYTES_MAX = 32 * 1024

export type Received = (segment: Uint8Array, isShared: boolean) => void

/** Who reads a connection. */
export interface RespListener {
  /** A shared segment may be used until it returns. */
  readonly received: Received
  /** Of an argument that has begun: they need no copy of their segment. */
  readonly missingBytes: () => number
  /** Where the next bytes go, when they belong to one long argument; null for anywhere. */
  readonly place: () => Uint8Array | null
  /** So many bytes were put to the place that was given last. */
  readonly placed: (bytes: number) => void
}

/** A connection, and what it receives. */
export interface RespIncoming {
  readonly socket: Socket
  /** To be called once; the socket is read from then on. */
  readonly start: (listener: RespListener) => void
}

/** The parts of a socket that are used and not documented. */
interface SocketInternals {
  _handle: { readonly useUserBuffer?: unknown } | null
  _server?: unknown
}

/** `accepted` must not have been read from: its server pauses what connects. */
export function readingInto(segments: Buffer, accepted: Socket): RespIncoming {
  const before = accepted as unknown as SocketInternals
  const { _handle: handle } = before
  if (accepted instanceof TLSSocket || typeof handle?.useUserBuffer !== 'function') return reading(accepted)
  const listening: { listener: RespListener | null } = { listener: null }
  let place: Uint8Array | null = null
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      // Asked after each segment, when what was received has been looked at.
      buffer: () => {
        place = listening.listener?.place() ?? null
        return place ?? segments
      },
      callback: (bytes: number) => {
        const { listener } = listening
        if (listener === null) return true
        if (place !== null) {
          listener.placed(bytes)
          return true
        }
        const segment = segments.subarray(0, bytes)
        const isShared = bytes > COPIED_BYTES_MAX || bytes <= listener.missingBytes()
        listener.received(isShared ? segment : Uint8Array.prototype.slice.call(segment), isShared)
        return true
      },
    },
  }
  const socket = new Socket(options as unknown as SocketConstructorOpts)
  // The server counts connections by it, and ends when there are none.
  const after = socket as unknown as SocketInternals
  after._server = before._server
  before._handle = null
  return {
    socket,
    start: (listener) => {
      listening.listener = listener
      socket.resume()
    },
  }
}

function reading(socket: Socket): RespIncoming {
  return {
    socket,
    start: ({ received }) => {
      socket.on('data', (segment) => received(segment, false))
      socket.resume()
    },
  }
}
