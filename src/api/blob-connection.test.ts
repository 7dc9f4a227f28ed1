import fc from 'fast-check'
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { BlobHead } from './blob-head.ts'
import { BlobPool } from './blob-pool.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
})

/** Hands each connection to `answer`; gives a pool that connects to it. */
async function poolOf(answer: (socket: Socket) => void, connectionsMax = 4): Promise<BlobPool> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    answer(socket)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port.')
  return new BlobPool({ host: '127.0.0.1', port: address.port, tls: null }, connectionsMax)
}

const GET = { head: 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', body: null } as const
const NEVER = new AbortController().signal

async function read(pool: BlobPool, signal = NEVER): Promise<{ head: BlobHead; body: Uint8Array }> {
  let body: Uint8Array = new Uint8Array(0)
  const receiver = {
    begin: ({ bodyBytes }: BlobHead) => {
      body = new Uint8Array(bodyBytes)
      return body
    },
    piece: () => null,
  }
  return { head: await pool.exchange(GET, receiver, signal), body }
}

/** For each request: these segments, each as a write of its own. */
function inSegments(segments: readonly Uint8Array[]): (socket: Socket) => void {
  return (socket) => {
    socket.setNoDelay(true)
    socket.on('data', () => {
      const next = (index: number): void => {
        const segment = segments[index]
        if (segment !== undefined) socket.write(segment, () => setImmediate(() => next(index + 1)))
      }
      next(0)
    })
  }
}

function cutAt(bytes: Uint8Array, places: readonly number[]): readonly Uint8Array[] {
  const ends = [...new Set([...places.map((place) => place % (bytes.length + 1)), bytes.length])].toSorted(
    (a, b) => a - b,
  )
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)).filter(({ length }) => length > 0)
}

describe('a connection for bytes', () => {
  test('reads an answer whatever way it is cut, and the next one on the same connection', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 3000 }),
        fc.array(fc.nat(4000), { maxLength: 6 }),
        async (body, cuts) => {
          const text = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nX-A: b \r\n\r\n`
          let connections = 0
          const answer = inSegments(cutAt(Buffer.concat([Buffer.from(text), body]), cuts))
          const pool = await poolOf((socket) => {
            connections += 1
            answer(socket)
          })
          for (let turn = 0; turn < 2; turn += 1) {
            const { head, body: found } = await read(pool)
            expect(head).toMatchObject({ status: 200, bodyBytes: body.length, isKeptAlive: true })
            expect(head.headers.get('x-a')).toBe('b')
            expect(found).toEqual(body)
          }
          expect(connections).toBe(1)
          pool.close()
        },
      ),
      { numRuns: runs(20) },
    )
  })

  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['HTTP/2', 'HTTP/2 200\r\ncontent-length: 0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\ncontent-length: 0x10\r\n\r\n'],
    ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
    ['no length', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc'],
    ['a folded header', 'HTTP/1.1 200 OK\r\na: b\r\n c: d\r\ncontent-length: 0\r\n\r\n'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n'],
    ['a bare line feed', 'HTTP/1.1 200 OK\r\ncontent-length: 0\nx: y\r\n\r\n'],
    ['more than its length', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab'],
    ['a head without an end', `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(40_000)}`],
  ])('refuses an answer with %s, and is closed', async (_, text) => {
    let closed = 0
    const pool = await poolOf((socket) => {
      socket.on('data', () => socket.write(text)).on('close', () => (closed += 1))
    })
    await expect(read(pool)).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
    await expect.poll(() => closed).toBeGreaterThan(0)
  })

  test('says that an answer broke off', async () => {
    const pool = await poolOf((socket) => {
      socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'))
    })
    await expect(read(pool)).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
  })

  test('sends a request again that met a connection which had gone idle too long, and no other', async () => {
    let connections = 0
    const pool = await poolOf((socket) => {
      connections += 1
      const isFirst = connections === 1
      let requests = 0
      socket.on('data', () => {
        requests += 1
        // The first connection takes a second request and dies, as one that is closed while the request is on its way.
        if (isFirst && requests === 2) socket.destroy()
        else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
      })
    })
    await read(pool)
    expect((await read(pool)).head.status).toBe(200)
    expect(connections).toBe(2)
    pool.close()
  })

  test('holds a sender whose pieces are not taken', async () => {
    const total = 32 * 1024 * 1024
    let written = 0
    const pool = await poolOf((socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`)
        const piece = Buffer.alloc(64 * 1024)
        const more = (): void => {
          while (written < total) {
            written += piece.length
            if (!socket.write(piece)) {
              socket.once('drain', more)
              return
            }
          }
        }
        more()
      })
    })
    const taken = Promise.withResolvers<void>()
    const began = Promise.withResolvers<void>()
    let received = 0
    const exchange = pool.exchange(
      GET,
      {
        begin: () => null,
        piece: (bytes) => {
          received += bytes.length
          began.resolve()
          return taken.promise
        },
      },
      NEVER,
    )
    await began.promise
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    expect(received).toBeLessThanOrEqual(256 * 1024)
    expect(written).toBeLessThan(total)
    taken.resolve()
    await exchange
    expect(received).toBe(total)
    pool.close()
  })

  test('waits for its turn when all connections are in use, and leaves the queue when it is cancelled', async () => {
    const sockets: Socket[] = []
    const pool = await poolOf((socket) => socket.on('data', () => sockets.push(socket)), 1)
    const first = read(pool)
    await expect.poll(() => sockets.length).toBe(1)
    const cancel = new AbortController()
    const second = read(pool, cancel.signal)
    const third = read(pool)
    cancel.abort()
    await expect(second).rejects.toMatchObject({ code: 'ABORTED' })
    const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'
    sockets[0]?.write(ok)
    await first
    await expect.poll(() => sockets.length).toBe(2)
    sockets[1]?.write(ok)
    expect((await third).head.status).toBe(200)
    pool.close()
  })
})
