import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { peerStream } from './peer-stream.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function serve(listener: RequestListener): Promise<{ readonly server: Server; readonly address: string }> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function streamOf(address: string, signal: AbortSignal = new AbortController().signal) {
  return peerStream({ address, path: '/x', body: Uint8Array.of(1, 2), token: 'secret', tls: null }, signal)
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

describe('a stream of another node', () => {
  it('sends the body with its credential and gives what comes', async () => {
    const seen: unknown[] = []
    const { address } = await serve((request, response) => {
      seen.push(request.method, request.url, request.headers.authorization, request.headers['content-length'])
      response.write('one ')
      response.end('two')
    })
    expect(await textOf(streamOf(address))).toBe('one two')
    expect(seen).toEqual(['POST', '/x', 'Bearer secret', '2'])
  })

  it('throws what the other node says', async () => {
    const error = {
      code: 'COMPUTE_FULL',
      message: 'Too many.',
      remedy: null,
      retryable: true,
      details: {},
      requestId: 'r',
    }
    const { address } = await serve((_request, response) => {
      response.writeHead(503, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ error }))
    })
    await expect(textOf(streamOf(address))).rejects.toMatchObject({ code: 'COMPUTE_FULL', message: 'Too many.' })
  })

  it('fails when it is cut, or nobody is there', async () => {
    const { address } = await serve((_request, response) => {
      response.write('one')
      setImmediate(() => response.destroy())
    })
    await expect(textOf(streamOf(address))).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
    const { server, address: gone } = await serve(() => undefined)
    await new Promise((resolve) => server.close(resolve))
    await expect(textOf(streamOf(gone))).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
  })

  it.each(['before it answers', 'while it does'])('ends with its caller, %s', async (when) => {
    const closed = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const { address } = await serve((request, response) => {
      response.on('close', () => closed.resolve())
      if (when === 'while it does') response.write('one')
      request.resume().on('end', () => asked.resolve())
    })
    const abort = new AbortController()
    const text = textOf(streamOf(address, abort.signal))
    await asked.promise
    abort.abort()
    await expect(text).rejects.toMatchObject({ code: 'ABORTED' })
    await closed.promise
    await expect(textOf(streamOf(address, abort.signal))).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('is closed when nobody wants the rest', async () => {
    const closed = Promise.withResolvers<void>()
    const { address } = await serve((_request, response) => {
      response.on('close', () => closed.resolve())
      response.write('one')
    })
    for await (const piece of streamOf(address)) {
      expect(Buffer.from(piece).toString()).toBe('one')
      break
    }
    await closed.promise
  })
})
