import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { MembraneClient } from './client.ts'

const { hashers } = await loadContentHashers()
const TRUE_BYTES = Buffer.from('what was stored')
const HASH = hashers.b3.hash(TRUE_BYTES)
let body: Buffer = TRUE_BYTES

/** A server, or something between it and here, that gives these bytes for those. */
const server = createServer((_, response) => {
  response.writeHead(200, { 'content-length': body.length, 'membrane-content-hash': HASH }).end(body)
})
let verifying: MembraneClient
let trusting: MembraneClient

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  verifying = new MembraneClient({ url, hashers })
  trusting = new MembraneClient({ url, hashers: null })
})

afterAll(async () => {
  await Promise.all([verifying.close(), trusting.close()])
  server.close()
})

async function streamed(client: MembraneClient, key: string): Promise<number> {
  let bytes = 0
  for await (const piece of (await client.stream(key))?.pieces ?? []) bytes += piece.length
  return bytes
}

test('bytes that are not those of their hash are refused here, unless the server is trusted', async () => {
  const key = 'opaque/=x'
  body = TRUE_BYTES
  expect((await verifying.get(key))?.payload).toEqual(TRUE_BYTES)
  expect(await streamed(verifying, key)).toBe(TRUE_BYTES.length)
  body = Buffer.from('what was forged')
  await expect(verifying.get(key)).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' })
  await expect(streamed(verifying, key)).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' })
  expect((await trusting.get(key))?.payload).toEqual(body)
})

test('a key that names bytes by their hash is not answered with others, though their hash is right', async () => {
  body = TRUE_BYTES
  const other = hashers.b3.hash(Buffer.from('something else'))
  await expect(trusting.get(`artifact/${other}`)).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' })
  expect((await trusting.get(`artifact/${HASH}`))?.contentHash).toBe(HASH)
})

test('a span that comes with fewer or more bytes than were asked for is refused', async () => {
  body = TRUE_BYTES
  await expect(trusting.get('opaque/=x', { span: { start: 1, end: 3 } })).rejects.toMatchObject({
    code: 'CONTENT_MISMATCH',
  })
})
