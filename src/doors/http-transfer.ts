/** What other nodes copy from this one: inventories to compare, manifests, descriptions and chunks; bytes, not JSON. */
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { bytesToHex } from '../core/hex.ts'
import { parseContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { checkAllowed } from '../server/caller.ts'
import { DEFAULT_CHUNK_BYTES } from '../transfer/chunks.ts'
import { FRAMES_ENCODING, FRAMES_HEADERS } from '../transfer/frames.ts'
import { encodeManifest } from '../transfer/manifest-codec.ts'
import { callerOf, type HttpRoutes, KEY } from './http-app.ts'
import { withBody } from './http-body.ts'
import { notFound } from './http-get.ts'

const { transferChunkBytesMin, transferChunkBytesMax, transferMessageBytesMax } = LIMITS
const OCTETS = 'application/octet-stream'
const BYTES = { content: { [OCTETS]: { schema: z.unknown().describe('Bytes.') } } }
const MESSAGE = z.unknown().describe('Bytes, as many as Content-Length says.')

const INVENTORY = z
  .object({
    secret: z.string().describe('32 bytes, hexadecimal, with which ids of entries are made. Until the node restarts.'),
    entries: z.number().int().describe('Fragments of the caller.'),
  })
  .describe('What a comparison of inventories begins with: a secret, and a number of fragments.')
const MANIFEST = z.object({
  chunkBytes: z.coerce
    .number()
    .int()
    .min(transferChunkBytesMin)
    .max(transferChunkBytesMax)
    .default(DEFAULT_CHUNK_BYTES)
    .describe('Bytes of a chunk.'),
})
const CHUNKS = z.object({
  contentHash: z.string().describe('Of the payload that is wanted: 404 when other bytes are there.'),
  start: z.coerce.number().int().min(0).describe('The first byte.'),
  end: z.coerce.number().int().min(1).describe('The byte after the last.'),
  encoding: z
    .enum(['identity', FRAMES_ENCODING])
    .default('identity')
    .describe('How the span comes: as it is, or as frames of split planes, each with its length before it.'),
})

const tags = ['transfer']

export const transferRoutes: HttpRoutes = (app, { operations: { transfer } }) => {
  app.get(
    '/v1/transfer/inventory',
    {
      schema: {
        tags,
        operationId: 'getInventory',
        summary: 'What a comparison of inventories begins with.',
        response: { 200: INVENTORY },
      },
    },
    async (request) => {
      const { secret, entries } = await transfer.inventory(callerOf(request))
      return { secret: bytesToHex(secret, 0, secret.length), entries }
    },
  )
  app.get(
    '/v1/transfer/manifests/*',
    {
      schema: {
        tags,
        operationId: 'getManifest',
        summary: 'How a payload is cut into chunks, and their hashes.',
        params: KEY,
        querystring: MANIFEST,
        response: { 200: BYTES },
      },
    },
    async (request, reply) => {
      const key = request.params['*']
      const manifest = await transfer.manifest(callerOf(request), key, request.query.chunkBytes)
      if (manifest === null) throw notFound(key)
      return sendBytes(reply, encodeManifest(manifest))
    },
  )
  app.get(
    '/v1/transfer/descriptions/*',
    {
      schema: {
        tags,
        operationId: 'getTransferDescription',
        summary: 'What a fragment is, for a node that copies it.',
        params: KEY,
        response: { 200: BYTES },
      },
    },
    async (request, reply) => {
      const key = request.params['*']
      const found = await transfer.describe(callerOf(request), key)
      if (found === null) throw notFound(key)
      const { contentHash, payloadBytes, expiresAtMs, head } = found
      reply.headers({ 'membrane-content-hash': contentHash, 'membrane-payload-bytes': payloadBytes })
      if (expiresAtMs !== null) reply.header('membrane-expires-at-ms', expiresAtMs)
      return sendBytes(reply, head)
    },
  )
  app.get(
    '/v1/transfer/chunks/*',
    {
      schema: {
        tags,
        operationId: 'getChunks',
        summary: 'A span of a payload, for who compares it with a manifest.',
        description: 'Not verified here: use it with a manifest alone. GET of the fragment is verified.',
        params: KEY,
        querystring: CHUNKS,
        response: { 200: BYTES },
      },
    },
    async (request, reply) => {
      const key = request.params['*']
      const { contentHash, start, end, encoding } = request.query
      const wanted = { key, contentHash: parseContentHash(contentHash), span: { start, end } }
      if (encoding === FRAMES_ENCODING) {
        const found = await transfer.frames(callerOf(request), wanted)
        if (found === null) throw notFound(key)
        reply.headers({ [FRAMES_HEADERS.encoding]: encoding, [FRAMES_HEADERS.seconds]: found.seconds })
        return sendBytes(reply, found.packed)
      }
      const bytes = await transfer.chunks(callerOf(request), wanted)
      if (bytes === null) throw notFound(key)
      return sendBytes(reply, bytes)
    },
  )
}

/** Messages about inventories: their bodies are read as they come. */
export const transferMessageRoutes: HttpRoutes = (app, options) => {
  const { transfer } = options.operations
  const bounded = { ...options, payloadBytesMax: transferMessageBytesMax }
  const common = { tags, body: MESSAGE, consumes: [OCTETS], response: { 200: BYTES } }
  const config = { hasRawBody: true }
  app.post(
    '/v1/transfer/inventory',
    {
      config,
      schema: { ...common, operationId: 'compareInventory', summary: 'One step of a comparison of inventories.' },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      checkAllowed(caller, 'read')
      const answer = await withBody({ request, reply }, bounded, (body) => transfer.answerInventory(caller, body))
      return sendBytes(reply, answer)
    },
  )
  app.post(
    '/v1/transfer/entries',
    {
      config,
      schema: { ...common, operationId: 'nameEntries', summary: 'What entries of an inventory are called.' },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      checkAllowed(caller, 'read')
      const answer = await withBody({ request, reply }, bounded, (body) => transfer.answerEntries(caller, body))
      return sendBytes(reply, answer)
    },
  )
}

/** Without a copy, and without the schemas that JSON goes through. */
function sendBytes(reply: FastifyReply, bytes: Uint8Array): FastifyReply {
  return reply
    .serializer((payload: unknown) => payload as string)
    .headers({ 'content-type': OCTETS, 'cache-control': 'private, no-store' })
    .send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
}
