/** A plain client of RESP for tests: sends what it is told, byte for byte, and reads answers. */
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { unreachable } from '../src/core/errors.ts'
import { encodeRespCommand } from '../src/api/resp-codec-call.ts'
import { RespReplyReader, type RespValue } from '../src/api/resp-codec-reader.ts'

export interface RespClient {
  readonly socket: Socket
  /** Sends one command and gives its answer. */
  call(...args: readonly (string | Uint8Array)[]): Promise<RespValue>
  send(...args: readonly (string | Uint8Array)[]): void
  write(bytes: Uint8Array | string): void
  /** The next answer; throws when the connection ends before. */
  read(): Promise<RespValue>
  /** All that comes until the server closes, as text. For clients that have read nothing. */
  rest(): Promise<string>
  close(): void
}

export async function connectResp(to: number | NetConnectOpts): Promise<RespClient> {
  const socket = connect(typeof to === 'number' ? { port: to, host: '127.0.0.1' } : to)
  await once(socket, 'connect')
  return clientOf(socket)
}

export function clientOf(socket: Socket): RespClient {
  const reader = new RespReplyReader({
    bytesMax: 2 ** 31,
    itemsMax: 2 ** 20,
    allocate: (bytes) => Buffer.allocUnsafeSlow(bytes),
  })
  const values: RespValue[] = []
  const waiting: { resolve: (value: RespValue) => void; reject: (error: Error) => void }[] = []
  let isRaw = false
  let rawText = ''
  let end: Error | null = null
  const finish = (error: Error): void => {
    end ??= error
    for (const { reject } of waiting.splice(0)) reject(end)
  }
  socket.on('data', (segment: Buffer) => {
    if (isRaw) {
      rawText += segment.toString('latin1')
      return
    }
    reader.push(segment)
    for (let read = reader.next(); read.kind !== 'more'; read = reader.next()) {
      if (read.kind === 'broken') {
        finish(new Error(read.message))
        socket.destroy()
        return
      }
      const first = waiting.shift()
      if (first === undefined) values.push(read.value)
      else first.resolve(read.value)
    }
  })
  socket.on('error', finish)
  socket.on('close', () => finish(new Error('The connection was closed.')))
  const client: RespClient = {
    socket,
    call: (...args) => {
      client.send(...args)
      return client.read()
    },
    send: (...args) => {
      socket.cork()
      for (const piece of encodeRespCommand(args)) socket.write(piece)
      socket.uncork()
    },
    write: (bytes) => void socket.write(bytes),
    read: () => {
      const value = values.shift()
      if (value !== undefined) return Promise.resolve(value)
      if (end !== null) return Promise.reject(end)
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
    },
    rest: async () => {
      isRaw = true
      if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve))
      return rawText
    },
    close: () => socket.destroy(),
  }
  return client
}

/** An answer as one reads it: texts, numbers, null, arrays; errors begin with a minus. Bytes are Latin-1. */
export function plain(value: RespValue): unknown {
  switch (value.kind) {
    case 'status':
      return value.text
    case 'error':
      return `-${value.text}`
    case 'bytes':
      return Buffer.from(value.bytes).toString('latin1')
    case 'null':
      return null
    case 'integer':
    case 'boolean':
    case 'double':
      return value.value
    case 'bigNumber':
      return value.text
    case 'map':
      return Object.fromEntries(value.entries.map(([key, one]) => [String(plain(key)), plain(one)]))
    case 'array':
    case 'set':
    case 'push':
      return value.items.map(plain)
    default:
      return unreachable(value)
  }
}
