import { connect } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../effort.ts'
import { brokenHttpRequests, lyingHttpRequests, randomPieces } from '../hostile-messages.ts'
import { opaque, openHttpWorld, sendRaw } from './http-world.ts'

const world = await openHttpWorld({ isOpen: true, bodyBytesMax: 1_000_000, payloadBytesMax: 500_000 })
const { port, ask } = world
const { meters } = world.server.operations

/** Sends pieces one by one, and ends its side; what comes back does not matter, that it ends does. */
async function sendPieces(pieces: readonly Uint8Array[]): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  for (const piece of pieces) {
    if (socket.destroyed) break
    await new Promise<void>((resolve) => socket.write(piece, () => resolve()))
  }
  socket.end()
  // A request that waits for the rest of its body waits until its sender goes.
  const timer = setTimeout(() => socket.destroy(), 20)
  await closed
  clearTimeout(timer)
}

/** Another connection is served, and nothing is held. */
async function expectSound(): Promise<void> {
  expect((await ask('/livez')).status).toBe(200)
  await expect.poll(() => meters.bodyBytes()).toBe(0)
}

describe('the HTTP door', () => {
  test('outlives random bytes', async () => {
    await fc.assert(
      fc.asyncProperty(randomPieces, async (pieces) => {
        await sendPieces(pieces)
      }),
      { numRuns: runs(60) },
    )
    await expectSound()
  })

  test('outlives requests with bytes changed, cut anywhere and run together', async () => {
    await fc.assert(fc.asyncProperty(brokenHttpRequests, sendPieces), { numRuns: runs(80) })
    await expectSound()
  })

  test('outlives lengths that lie', async () => {
    await fc.assert(fc.asyncProperty(lyingHttpRequests, sendPieces), { numRuns: runs(80) })
    await expectSound()
  })

  test('answers requests that come in one segment one after the other, in order', async () => {
    await ask(opaque('p'), { method: 'PUT', body: 'pipelined' })
    const get = (connection: string): string =>
      `GET ${opaque('p')} HTTP/1.1\r\nhost: localhost\r\nconnection: ${connection}\r\n\r\n`
    const answer = await sendRaw(port, `${get('keep-alive').repeat(50)}${get('close')}`)
    expect(answer.match(/pipelined/g)).toHaveLength(51)
  })

  test('lets slow senders hold their share of the memory and no more', async () => {
    const slow = Array.from({ length: 12 }, () => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(`PUT ${opaque('slow')} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 400000\r\n\r\nx`)
      return socket
    })
    await expect.poll(() => meters.bodyBytes()).toBe(800_000)
    expect((await ask('/livez')).status).toBe(200)
    expect((await ask(opaque('p'))).status).toBe(200)
    expect(meters.bodyBytes()).toBeLessThanOrEqual(1_000_000)
    for (const socket of slow) socket.destroy()
    await expectSound()
    expect((await ask(opaque('slow'))).status).toBe(404)
  })
})
