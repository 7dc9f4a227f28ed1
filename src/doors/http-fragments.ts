/** Fragments by key: put, get, head, delete. Bodies are the bytes themselves. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { decodeFrameStart, encodeFrameStart, FRAGMENT_TYPE } from '../api/fragment-frame.ts'
import { byteSignature } from '../core/fragment-bytes.ts'
import { MembraneError } from '../core/errors.ts'
import { parseFragmentKey } from '../core/fragment-key.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import { parseContentHash } from '../core/ids.ts'
import type { ByteSpan, StoredEntry } from '../core/ports.ts'
import { PRIORITIES } from '../server/fragment-head.ts'
import type { Described, FabricPut, FabricPutResult } from '../server/tenant-fabric.ts'
import { callerOf, type HttpRoutes } from './http-app.ts'
import { withBody } from './http-body.ts'
import { rangeOf } from './http-range.ts'

const KEY = z.object({ '*': z.string().min(1).describe('Key of the fragment.') })

const PUT_HEADERS = z.object({
  'membrane-content-hash': z.string().optional().describe('b3:… or s256:…; the bytes must have it.'),
  'membrane-ttl-ms': z.coerce.number().int().min(1).optional().describe('Gone after so many milliseconds.'),
  'membrane-pin': z.enum(['true', 'false']).optional().describe('Never evict it.'),
  'membrane-priority': z.enum(['low', 'normal', 'high']).optional().describe('Lower leaves first.'),
})
type PutHeaders = z.infer<typeof PUT_HEADERS>

const PUT_RESULT = z.object({
  key: z.string(),
  contentHash: z.string(),
  payloadBytes: z.number().int(),
  outcome: z.enum(['stored', 'replaced', 'present']),
})

/** Larger payloads that rest on disk are read as they are sent. */
const WHOLE_BYTES_MAX = 8 * 1024 * 1024

export const fragmentRoutes: HttpRoutes = (app, options) => {
  const { fragments } = options.operations
  const schema = { tags: ['fragments'] }
  const put = async (request: FastifyRequest, reply: FastifyReply, key: string | null) => {
    const caller = callerOf(request)
    const answer = await withBody(request, reply, options, async (body) => {
      const asked = putOf(request, key, body)
      const result = await fragments.put(caller, asked)
      if (key !== null && result.key !== key)
        throw new MembraneError('INVALID_REQUEST', `The fragment's key is ${result.key}, not the one in the path.`)
      return answerOf(result, body.length)
    })
    return reply.code(answer.outcome === 'stored' ? 201 : 200).send(answer)
  }
  app.put(
    '/v1/fragments/*',
    {
      schema: {
        ...schema,
        summary: 'Store bytes under a key.',
        description: `The body is the bytes, or, with type ${FRAGMENT_TYPE}, a description and the bytes.`,
        params: KEY,
        headers: PUT_HEADERS,
        response: { 200: PUT_RESULT, 201: PUT_RESULT },
      },
    },
    (request, reply) => put(request, reply, request.params['*']),
  )
  app.post(
    '/v1/fragments',
    {
      schema: {
        ...schema,
        summary: 'Store bytes under the key that they have by themselves.',
        headers: PUT_HEADERS,
        response: { 200: PUT_RESULT, 201: PUT_RESULT },
      },
    },
    (request, reply) => put(request, reply, null),
  )
  app.route({
    method: ['GET', 'HEAD'],
    url: '/v1/fragments/*',
    schema: { ...schema, summary: 'The bytes of a fragment, verified, or a part of them.', params: KEY },
    handler: async (request, reply) => {
      const caller = callerOf(request)
      const key = request.params['*']
      const head = await fragments.head(caller, key)
      if (head === null) throw notFound(key)
      const answer = answerHead(request, head)
      const { raw } = reply
      reply.hijack()
      raw.setHeader('x-request-id', request.id)
      if (answer.span === null || request.method === 'HEAD') {
        raw.writeHead(answer.status, answer.headers).end()
        return
      }
      const { start, end } = answer.span
      const isFramed = answer.frame.length > 0
      const span = start === 0 && end === head.payloadBytes ? {} : { span: { start, end } }
      if (head.payloadBytes <= WHOLE_BYTES_MAX) {
        const found = await fragments.get(caller, key, span)
        if (found === null) {
          gone(reply)
          return
        }
        raw.writeHead(answer.status, answer.headers)
        if (isFramed) raw.write(answer.frame)
        raw.end(found.payload)
        return
      }
      const found = await fragments.stream(caller, key, span)
      if (found === null) {
        gone(reply)
        return
      }
      raw.writeHead(answer.status, answer.headers)
      if (isFramed) raw.write(answer.frame)
      try {
        for await (const chunk of found.chunks) {
          if (raw.destroyed) return
          // The chunk's memory is the store's again once the next one is asked for.
          await new Promise<void>((resolve) => raw.write(chunk, () => resolve()))
        }
        raw.end()
      } catch (error) {
        request.log.warn({ err: error, key }, 'a payload broke off')
        // A body that is too short is how HTTP says it.
        raw.destroy()
      }
    },
  })
  app.delete(
    '/v1/fragments/*',
    { schema: { ...schema, summary: 'Remove a fragment.', params: KEY } },
    async (request, reply) => {
      const key = request.params['*']
      if ((await fragments.remove(callerOf(request), [key])) === 0) throw notFound(key)
      return reply.code(204).send()
    },
  )
}

function gone(reply: FastifyReply): void {
  reply.raw.writeHead(404, { 'content-length': 0 }).end()
}

function notFound(key: string): MembraneError {
  return new MembraneError('NOT_FOUND', `Nothing is stored under ${JSON.stringify(key)}.`)
}

function putOf(request: FastifyRequest, key: string | null, body: Uint8Array): FabricPut {
  const headers = request.headers as PutHeaders
  const hash = headers['membrane-content-hash']
  const ttlMs = headers['membrane-ttl-ms']
  const priority = headers['membrane-priority']
  const common = {
    isGivenAway: true,
    ...(hash === undefined ? {} : { contentHash: parseContentHash(hash) }),
    ...(ttlMs === undefined ? {} : { expiresAtMs: Date.now() + ttlMs }),
    hints: {
      isPinned: headers['membrane-pin'] === 'true',
      ...(priority === undefined ? {} : { priority: PRIORITIES[priority] }),
    },
  }
  const type = request.headers['content-type'] ?? 'application/octet-stream'
  if (type === FRAGMENT_TYPE) {
    const { description, payloadStart } = decodeFrameStart(body)
    return { ...common, description, payload: body.subarray(payloadStart) }
  }
  const name = key === null ? null : parseFragmentKey(key)
  if (name === null || ('name' in name && name.kind === 'artifact'))
    return { ...common, description: bytesOf('artifact', type), payload: body }
  if ('name' in name && name.kind === 'opaque' && typeof name.name !== 'string')
    return {
      ...common,
      description: bytesOf('opaque', 'application/octet-stream'),
      foreignKey: name.name,
      payload: body,
    }
  throw new MembraneError('PAYLOAD_REQUIRED', `A fragment of this kind needs its description: send ${FRAGMENT_TYPE}.`)
}

function bytesOf(kind: 'artifact' | 'opaque', mediaType: string): FragmentDescription {
  return {
    signature: byteSignature(kind, mediaType),
    parent: null,
    blocks: [],
    blockTokens: 1,
    group: null,
    text: null,
    sequence: null,
    derivedFrom: [],
  }
}

function answerOf({ key, contentHash, outcome }: FabricPutResult, payloadBytes: number): z.infer<typeof PUT_RESULT> {
  if (outcome === 'refused')
    throw new MembraneError('STORE_FULL', 'It was not stored: what would have to leave is worth more.', {
      remedy: 'Pin it, give it a higher priority, or give the node more room.',
    })
  return { key, contentHash, payloadBytes, outcome }
}

interface AnswerHead {
  readonly status: number
  readonly headers: Record<string, string | number>
  /** Null when no bytes are to be sent. */
  readonly span: ByteSpan | null
  /** Before the payload. */
  readonly frame: Uint8Array
}

function answerHead(request: FastifyRequest, head: Described<StoredEntry>): AnswerHead {
  const { payloadBytes, contentHash, expiresAtMs, description } = head
  const etag = `"${contentHash}"`
  const isFramed = request.headers.accept === FRAGMENT_TYPE
  const common = {
    etag,
    'accept-ranges': 'bytes',
    'membrane-content-hash': contentHash,
    ...(expiresAtMs === null ? {} : { 'membrane-expires-at-ms': expiresAtMs }),
    // Bytes of a tenant: whoever caches them would give them to others.
    'cache-control': 'private, no-cache',
    vary: 'accept, authorization',
    'x-content-type-options': 'nosniff',
  }
  const none = new Uint8Array(0)
  if (request.headers['if-none-match'] === etag) return { status: 304, headers: common, span: null, frame: none }
  if (isFramed) {
    const frame = encodeFrameStart(description)
    const headers = { ...common, 'content-type': FRAGMENT_TYPE, 'content-length': frame.length + payloadBytes }
    return { status: 200, headers, span: { start: 0, end: payloadBytes }, frame }
  }
  const range = rangeOf(request.headers, etag, payloadBytes)
  const type = { 'content-type': mediaTypeOf(description) }
  if (range.kind === 'unsatisfiable')
    return {
      status: 416,
      headers: { ...common, 'content-range': `bytes */${payloadBytes}`, 'content-length': 0 },
      span: null,
      frame: none,
    }
  if (range.kind === 'all')
    return {
      status: 200,
      headers: { ...common, ...type, 'content-length': payloadBytes },
      span: { start: 0, end: payloadBytes },
      frame: none,
    }
  const { start, end } = range.span
  return {
    status: 206,
    headers: {
      ...common,
      ...type,
      'content-length': end - start,
      'content-range': `bytes ${start}-${end - 1}/${payloadBytes}`,
    },
    span: range.span,
    frame: none,
  }
}

/** An artifact's own type is what a sender said it is: a browser must not run it, which `nosniff` and this see to. */
function mediaTypeOf({ signature }: FragmentDescription): string {
  return signature.kind === 'artifact' && !/html|xml|script|svg/i.test(signature.layout)
    ? signature.layout
    : 'application/octet-stream'
}
