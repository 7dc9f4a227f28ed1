/**
 * A link in front of a server: all connections through it share so many bytes a second each way, and every byte takes
 * the delay. For where the system's own traffic control cannot be had. What is sent within a turn of the event loop is
 * forwarded in order; queues are as long as the sender makes them, as on a link with deep buffers.
 */
import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

export interface LinkShape {
  /** Each way; Infinity for no bound. */
  readonly bytesPerSecond: number
  /** One way. */
  readonly delaySeconds: number
}

export interface ShapedLink {
  readonly port: number
  /** From now on. */
  shape: LinkShape
  /** What is lost: `there` is towards the server, `back` from it. Connections stay open, as in a partition. */
  lost: 'nothing' | 'there' | 'back' | 'all'
  /** Bytes that passed, both ways. */
  readonly passedBytes: () => { readonly there: number; readonly back: number }
  close(): Promise<void>
}

/** Pieces: connections take turns after so many bytes. */
const PIECE_BYTES = 64 * 1024
/** What one connection may have waiting before its sender is held back. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024

/** One direction of the link: pieces of all connections in turn, each at its time. */
class Lane {
  freeAtMs = 0
  passedBytes = 0

  /** When a piece that is sent now is over the line, before its delay. */
  due(bytes: number, { bytesPerSecond }: LinkShape): number {
    this.freeAtMs = Math.max(performance.now(), this.freeAtMs) + (1000 * bytes) / bytesPerSecond
    this.passedBytes += bytes
    return this.freeAtMs
  }
}

export async function openShapedLink(serverPort: number, shape: LinkShape, port = 0): Promise<ShapedLink> {
  const sockets = new Set<Socket>()
  const lanes = { there: new Lane(), back: new Lane() }
  const link = { shape, lost: 'nothing' as ShapedLink['lost'] }
  const proxy = createServer({ noDelay: true }, (client) => {
    const server = connect({ port: serverPort, host: '127.0.0.1', noDelay: true })
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroySoon()
      })
    }
    forward({ from: client, to: server, way: 'there' })
    forward({ from: server, to: client, way: 'back' })
  })
  const forward = ({ from, to, way }: { from: Socket; to: Socket; way: 'there' | 'back' }): void => {
    let waitingBytes = 0
    const later = (atMs: number, act: () => void): void => {
      const leftMs = atMs - performance.now()
      if (leftMs <= 0.5) setImmediate(act)
      else setTimeout(act, leftMs)
    }
    // Timers of one millisecond and more may ring out of order: pieces leave in the order in which they came.
    const queue: { readonly piece: Buffer | null; readonly atMs: number }[] = []
    const next = (): void => {
      while (queue[0] !== undefined && queue[0].atMs <= performance.now() + 0.5) {
        const { piece } = queue.shift() ?? { piece: null }
        if (piece === null) to.end()
        else {
          waitingBytes -= piece.length
          const isLost = link.lost === way || link.lost === 'all'
          if (!isLost && to.writable) to.write(piece)
        }
      }
      if (waitingBytes < WAITING_BYTES_MAX / 2) from.resume()
      if (queue[0] !== undefined) later(queue[0].atMs, next)
    }
    const enqueue = (piece: Buffer | null, atMs: number): void => {
      queue.push({ piece, atMs })
      if (queue.length === 1) later(atMs, next)
    }
    from.on('data', (data: Buffer) => {
      for (let at = 0; at < data.length; at += PIECE_BYTES) {
        const piece = data.subarray(at, at + PIECE_BYTES)
        waitingBytes += piece.length
        enqueue(piece, lanes[way].due(piece.length, link.shape) + 1000 * link.shape.delaySeconds)
      }
      if (waitingBytes >= WAITING_BYTES_MAX) from.pause()
    })
    from.on('end', () => enqueue(null, lanes[way].due(0, link.shape) + 1000 * link.shape.delaySeconds))
  }
  await new Promise<void>((resolve) => proxy.listen(port, '127.0.0.1', resolve))
  return Object.assign(link, {
    port: (proxy.address() as AddressInfo).port,
    passedBytes: () => ({ there: lanes.there.passedBytes, back: lanes.back.passedBytes }),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => proxy.close(resolve))
    },
  })
}
