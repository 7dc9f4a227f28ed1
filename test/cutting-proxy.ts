/** A TCP proxy before a server that cuts connections in the middle of what they carry, for tests and benches. */
import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

export interface CuttingProxy {
  readonly port: number
  /** Connections that were cut. */
  readonly cuts: () => number
  close(): Promise<void>
}

/**
 * Cuts the connection on which the `at[i]`-th byte of all answers passes, counted over all connections. Answers go no
 * faster than `bytesPerSecond` on each connection.
 */
export async function openCuttingProxy(
  serverPort: number,
  at: readonly number[],
  bytesPerSecond = Infinity,
): Promise<CuttingProxy> {
  const places = [...at].sort((one, other) => one - other)
  const sockets = new Set<Socket>()
  let passedBytes = 0
  let cuts = 0
  const proxy = createServer((client) => {
    const server = connect(serverPort, '127.0.0.1')
    let isCut = false
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        server.destroy()
        // One that was cut still has what came before.
        if (!isCut) client.destroy()
      })
    }
    client.pipe(server)
    server.on('data', (piece: Buffer) => {
      if (isCut) return
      const next = places[0]
      passedBytes += piece.length
      if (next !== undefined && passedBytes > next) {
        places.shift()
        cuts += 1
        isCut = true
        // What came before is delivered: the cut is in the middle.
        client.end(piece.subarray(0, Math.max(0, piece.length - (passedBytes - next))))
        server.destroy()
        return
      }
      const isTaken = client.write(piece)
      if (bytesPerSecond < Infinity) {
        server.pause()
        setTimeout(() => server.resume(), (1000 * piece.length) / bytesPerSecond)
      } else if (!isTaken) {
        server.pause()
        client.once('drain', () => server.resume())
      }
    })
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return {
    port: (proxy.address() as AddressInfo).port,
    cuts: () => cuts,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
}
