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

/** A connection, and what it receives. `missingBytes` of an argument that has begun need no copy of their segment. */
export interface RespIncoming {
  readonly socket: Socket
  /** To be called once; the socket is read from then on. A shared segment may be used until the callback returns. */
  readonly start: (received: Received, missingBytes: () => number) => void
}

interface Listener {
  readonly received: Received
  readonly missingBytes: () => number
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
  const listening: { listener: Listener | null } = { listener: null }
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: segments,
      callback: (bytes: number, buffer: Uint8Array) => {
        const segment = buffer.subarray(0, bytes)
        const { listener } = listening
        if (listener === null) return true
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
    start: (received, missingBytes) => {
      listening.listener = { received, missingBytes }
      socket.resume()
    },
  }
}

function reading(socket: Socket): RespIncoming {
  return {
    socket,
    start: (received) => {
      socket.on('data', (segment) => received(segment, false))
      socket.resume()
    },
  }
}
