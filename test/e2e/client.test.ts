import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MembraneClient } from '../../src/api/client.ts'
import { fragmentKey } from '../../src/core/fragment-key.ts'
import { openClient } from '../../src/server/client-library.ts'
import { type MembraneServer, startMembraneServer } from '../membrane-server.ts'

let server: MembraneServer
let client: MembraneClient

beforeAll(async () => {
  server = await startMembraneServer()
  client = await openClient({ url: server.url })
})

afterAll(async () => {
  await client.close()
  await server.stop()
})

const keyOf = (name: string): string => fragmentKey({ kind: 'opaque', name: new TextEncoder().encode(name) })

describe('a client', () => {
  test('puts bytes and gets them back, of any size', async () => {
    for (const bytes of [0, 1, 65_535, 256 * 1024, 4 * 1024 ** 2, 40 * 1024 ** 2]) {
      const payload = randomBytes(bytes)
      const { key, outcome } = await client.put({ key: keyOf(`size-${bytes}`), payload })
      expect(outcome).toBe('stored')
      const found = await client.get(key)
      expect(found?.payloadBytes).toBe(bytes)
      expect(Buffer.compare(found?.payload ?? Buffer.alloc(1), payload)).toBe(0)
    }
  })

  test('reads into memory that the caller has', async () => {
    const payload = randomBytes(100_000)
    const { key } = await client.put({ payload })
    const into = new Uint8Array(200_000)
    const found = await client.get(key, { into })
    expect(found?.payload.buffer).toBe(into.buffer)
    expect(Buffer.compare(into.subarray(0, 100_000), payload)).toBe(0)
    await expect(client.get(key, { into: new Uint8Array(10) })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      details: { neededBytes: 100_000 },
    })
  })

  test('reads a span', async () => {
    const payload = randomBytes(1000)
    const { key } = await client.put({ payload })
    const found = await client.get(key, { span: { start: 10, end: 20 } })
    expect(found?.payload).toEqual(payload.subarray(10, 20))
    expect(found?.payloadBytes).toBe(1000)
    const nothing = await client.get(key, { span: { start: 10, end: 10 } })
    expect(nothing?.payload.length).toBe(0)
  })

  test('misses without an error', async () => {
    expect(await client.get(keyOf('nowhere'))).toBeNull()
    const { key } = await client.put({ key: keyOf('here'), payload: randomBytes(10) })
    expect(await client.has([key, keyOf('nowhere')])).toMatchObject({ isPresent: [true, false], leadingPresent: 1 })
  })
})
