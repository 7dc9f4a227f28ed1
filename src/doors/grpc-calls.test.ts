import { EventEmitter } from 'node:events'
import type { ServerWritableStream } from '@grpc/grpc-js'
import pino from 'pino'
import { expect, test } from 'vitest'
import { DEFAULT_TENANT } from '../core/ids.ts'
import type { Admission } from './grpc-admission.ts'
import { serverStream } from './grpc-calls.ts'

const log = pino({ level: 'silent' })

/** A call whose client takes a message when the test says so, and a handler that sends three. */
function start() {
  const abort = new AbortController()
  const context = {
    caller: { tenant: DEFAULT_TENANT, role: 'reader', name: 'test' },
    signal: abort.signal,
    takeBody: async () => {},
  } as const
  const written: unknown[] = []
  const call = Object.assign(new EventEmitter(), {
    request: {},
    cancelled: false,
    getPath: () => '/x',
    write: (message: unknown) => {
      written.push(message)
      return false
    },
    end: () => written.push('end'),
  })
  call.on('error', (status) => written.push(status))
  const admission = { contextOf: () => context } as unknown as Admission
  serverStream<object, number>({ admission, log }, async (_, _context, send) => {
    for (const message of [1, 2, 3]) await send(message)
  })(call as unknown as ServerWritableStream<object, number>)
  return { call, written, abort }
}

test('a stream sends the next message when the one before is taken, then ends', async () => {
  const { call, written } = start()
  for (const expected of [[1], [1, 2], [1, 2, 3]]) {
    await new Promise((resolve) => setImmediate(resolve))
    expect(written).toEqual(expected)
    call.emit('drain')
  }
  await new Promise((resolve) => setImmediate(resolve))
  expect(written).toEqual([1, 2, 3, 'end'])
  expect(call.listenerCount('drain')).toBe(0)
})

test('a stream that waits for a client that has gone ends, and listens for nothing more', async () => {
  const { call, written, abort } = start()
  abort.abort()
  await new Promise((resolve) => setImmediate(resolve))
  expect(written).toEqual([1, expect.objectContaining({ code: 1 })])
  expect(call.listenerCount('drain')).toBe(0)
})
