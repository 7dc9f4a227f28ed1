/** A server that answers every byte with the same block of memory: what TCP between two processes of Node can do. */
import { createServer } from 'node:net'

const block = Buffer.alloc(Number(process.argv[2]), 1)
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', () => socket.write(block))
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.send?.(address.port)
})
