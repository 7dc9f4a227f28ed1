import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { rejectsWith } from '../../test/contracts/store-fixtures.ts'
import { patienceFor, readBody } from './http-body.ts'
import { keepMsOf } from './http-nvext.ts'

const PATIENCE = { graceMs: 1000, bytesPerSecondMin: 10, wholeMsMax: 20_000 }

/** What a request is to whoever reads its body. */
function body(): IncomingMessage & PassThrough {
  return new PassThrough() as unknown as IncomingMessage & PassThrough
}

afterEach(() => {
  vi.useRealTimers()
})

test('a body is read whole, in whatever pieces it comes', async () => {
  const raw = body()
  const read = readBody(raw, Buffer.alloc(10), PATIENCE)
  raw.write('01234')
  raw.end('56789')
  expect(Buffer.from(await read).toString()).toBe('0123456789')
})

test('a body that is too short, or breaks off, is no body', async () => {
  const short = body()
  const read = readBody(short, Buffer.alloc(10), PATIENCE)
  short.end('0123')
  await rejectsWith(read, 'ABORTED')
  const cut = body()
  const other = readBody(cut, Buffer.alloc(10), PATIENCE)
  cut.destroy()
  await rejectsWith(other, 'ABORTED')
})

test('a body has a second, and one more for every ten bytes that come, and is given up then', async () => {
  vi.useFakeTimers()
  const raw = body()
  const outcome = rejectsWith(readBody(raw, Buffer.alloc(1_000_000), PATIENCE), 'DEADLINE_EXCEEDED')
  raw.write('0123')
  await vi.advanceTimersByTimeAsync(1399)
  expect(raw.listenerCount('data')).toBe(1)
  await vi.advanceTimersByTimeAsync(2)
  await outcome
  expect(raw.listenerCount('data')).toBe(0)
})

test('a body that comes at the least rate is waited for to its end', async () => {
  vi.useFakeTimers()
  const raw = body()
  const read = readBody(raw, Buffer.alloc(100), PATIENCE)
  for (let sent = 0; sent < 100; sent += 5) {
    raw.write('01234')
    await vi.advanceTimersByTimeAsync(500)
  }
  raw.end()
  expect(await read).toHaveLength(100)
})

test('a body that comes steadily at the least rate is given up when the time of the whole is over', async () => {
  vi.useFakeTimers()
  const raw = body()
  const outcome = rejectsWith(readBody(raw, Buffer.alloc(1_000_000), PATIENCE), 'DEADLINE_EXCEEDED')
  for (let passedMs = 0; passedMs < 19_500; passedMs += 500) {
    raw.write('01234567')
    await vi.advanceTimersByTimeAsync(500)
  }
  expect(raw.listenerCount('data')).toBe(1)
  await vi.advanceTimersByTimeAsync(501)
  await outcome
  expect(raw.listenerCount('data')).toBe(0)
})

test.each([
  [1, 600_000],
  [512 * 1024 * 1024, 600_000],
  [2_000_000_000, 2_000_000],
])('a body of %i bytes has %i ms in all', (bytes, expected) => {
  expect(patienceFor(bytes).wholeMsMax).toBe(expected)
})

test.each([
  [undefined, 0],
  [{}, 0],
  [{ cache_control: {} }, 300_000],
  [{ cache_control: { type: 'ephemeral', ttl: '30' } }, 30_000],
  [{ cache_control: { ttl: '2m' } }, 120_000],
  [{ cache_control: { ttl: 5 } }, 5000],
  [{ cache_control: { ttl: '1h' } }, 600_000],
  [{ cache_control: { ttl: 'soon' } }, 300_000],
  [{ cache_control: { type: 'other', ttl: '2m' } }, 0],
])('nvext %j keeps a prompt for %i ms', (nvext, expected) => {
  expect(keepMsOf(nvext)).toBe(expected)
})
