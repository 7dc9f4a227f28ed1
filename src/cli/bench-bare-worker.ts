/** A server that answers every byte with the same block of memory: what TCP between two threads of Node can do. */
import { createServer } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'

const { bytes }: { readonly bytes: number } = workerData
const block = Buffer.alloc(bytes, 1)
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', () => socket.write(block))
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- A thread has no origin.
  if (address !== null && typeof address === 'object') parentPort?.postMessage(address.port)
})
