import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { SocketReader } from './socket-reader.ts'

/** Milliseconds of patience that a sender has used up after 40 seconds, of which it sent `bytes` in each. */
async function halfMsAfter(bytes: number): Promise<number> {
  let nowMs = 1_000_000
  const socket = new PassThrough()
  const reader = new SocketReader(socket as unknown as Socket, () => nowMs)
  void reader.fill(Buffer.alloc(100_000_000), true)
  for (let second = 0; second < 40; second++) {
    nowMs += 1000
    socket.write(Buffer.alloc(bytes))
    await new Promise((resolve) => setImmediate(resolve))
  }
  return reader.halfMs
}

test('a sender earns time with what it sends, so that a few bytes now and then do not keep its room', async () => {
  expect(await halfMsAfter(1)).toBeGreaterThan(39_000)
  expect(await halfMsAfter(62_500)).toBe(20_000)
  expect(await halfMsAfter(125_000)).toBe(0)
})

test('nothing is saved up: who was fast and is silent then is as late as any other', async () => {
  let nowMs = 1_000_000
  const socket = new PassThrough()
  const reader = new SocketReader(socket as unknown as Socket, () => nowMs)
  void reader.fill(Buffer.alloc(100_000_000), true)
  socket.write(Buffer.alloc(50_000_000))
  await new Promise((resolve) => setImmediate(resolve))
  nowMs += 30_000
  expect(reader.halfMs).toBe(30_000)
})
