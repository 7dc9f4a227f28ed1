/** Putting fragments: the body is the bytes, or a description and the bytes; headers say how to keep them. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { decodeFrameStart, FRAGMENT_TYPE } from '../api/fragment-frame.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey, parseFragmentKey } from '../core/fragment-key.ts'
import { parseContentHash } from '../core/ids.ts'
import { checkAllowed } from '../server/caller.ts'
import { PRIORITIES } from '../server/fragment-head.ts'
import type { FabricPut, FabricPutResult } from '../server/tenant-fabric.ts'
import { callerOf, type HttpRoutes, KEY } from './http-app.ts'
import { withBody } from './http-body.ts'

const PUT_HEADERS = z.object({
  'membrane-content-hash': z.string().optional().describe('b3:… or s256:…; the bytes must have it.'),
  'membrane-ttl-ms': z.coerce.number().int().min(1).optional().describe('Gone after so many milliseconds.'),
  'membrane-pin': z.enum(['true', 'false']).optional().describe('Never evict it.'),
  'membrane-priority': z.enum(['low', 'normal', 'high']).optional().describe('Lower leaves first.'),
  'if-none-match': z.literal('*').optional().describe('Put only when nothing is there; else 412.'),
})
type PutHeaders = z.infer<typeof PUT_HEADERS>

const PUT_RESULT = z
  .object({
    key: z.string(),
    contentHash: z.string(),
    payloadBytes: z.number().int().describe('Bytes of the payload.'),
    outcome: z.enum(['stored', 'replaced', 'present']),
  })
  .describe('Under which key it is now, and what happened; sizes in bytes.')

const BODY = z.unknown().describe('Bytes, as many as Content-Length says.')

export const putRoutes: HttpRoutes = (app, options) => {
  const { fragments } = options.operations
  const put = async (request: FastifyRequest, reply: FastifyReply, key: string | null) => {
    const caller = callerOf(request)
    // Before anything is read.
    checkAllowed(caller, 'write')
    const headers = request.headers as PutHeaders
    const answer = await withBody({ request, reply }, options, async (body) => {
      const asked = putOf(request, key, body)
      const isConditional = headers['if-none-match'] !== undefined
      if (isConditional && key === null)
        throw new MembraneError('INVALID_REQUEST', 'If-None-Match needs a key in the path to be there or not.')
      const result =
        isConditional && key !== null
          ? await fragments.putIfAbsent(caller, asked, key)
          : await fragments.put(caller, asked)
      if (result === null)
        throw new MembraneError('PRECONDITION_FAILED', `Something is stored under ${JSON.stringify(key)} already.`)
      return answerOf(result, asked)
    })
    return reply.code(answer.outcome === 'stored' ? 201 : 200).send(answer)
  }
  const common = {
    tags: ['fragments'],
    headers: PUT_HEADERS,
    body: BODY,
    consumes: ['application/octet-stream', FRAGMENT_TYPE],
    response: { 200: PUT_RESULT, 201: PUT_RESULT },
  }
  const config = { hasRawBody: true }
  app.put(
    '/v1/fragments/*',
    {
      config,
      schema: {
        ...common,
        operationId: 'putFragment',
        summary: 'Store bytes under a key.',
        description: `The body is the bytes, or, with type ${FRAGMENT_TYPE}, a description and the bytes. 201: stored; 200: replaced, or there already.`,
        params: KEY,
      },
    },
    (request, reply) => put(request, reply, request.params['*']),
  )
  app.post(
    '/v1/fragments',
    {
      config,
      schema: {
        ...common,
        operationId: 'addFragment',
        summary: 'Store bytes under the key that they have by themselves.',
        description: 'Bytes without a context are named by their content hash, a described fragment by its blocks.',
      },
    },
    (request, reply) => put(request, reply, null),
  )
}

function putOf(request: FastifyRequest, key: string | null, body: Uint8Array): FabricPut {
  const headers = request.headers as PutHeaders
  const hash = headers['membrane-content-hash']
  const ttlMs = headers['membrane-ttl-ms']
  const priority = headers['membrane-priority']
  const common = {
    // Nobody else has it, so the store may keep it as it is.
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
    return checkedKey(key, { ...common, description, payload: body.subarray(payloadStart) })
  }
  const name = key === null ? null : parseFragmentKey(key)
  if (name === null) return { ...common, description: byteDescription('artifact', type), payload: body }
  if ('name' in name && (name.kind === 'artifact' || name.kind === 'opaque')) {
    const description = byteDescription(name.kind, name.kind === 'artifact' ? type : undefined)
    if (typeof name.name !== 'string') return { ...common, description, foreignKey: name.name, payload: body }
    // The path names the bytes by their hash: other bytes are refused.
    if (common.contentHash !== undefined && common.contentHash !== name.name)
      throw new MembraneError('INVALID_REQUEST', 'The path and Membrane-Content-Hash name different bytes.')
    return { ...common, contentHash: name.name, description, payload: body }
  }
  throw new MembraneError('PAYLOAD_REQUIRED', `A fragment of this kind needs its description: send ${FRAGMENT_TYPE}.`)
}

/** Before anything is stored: what a frame describes must be what the path names. */
function checkedKey(key: string | null, put: FabricPut): FabricPut {
  if (key === null) return put
  const name = parseFragmentKey(key)
  if ('block' in name) {
    const found = fragmentKey(contextName(put.description))
    if (found === key) return put
    throw new MembraneError('INVALID_REQUEST', `The fragment's key is ${found}, not the one in the path.`)
  }
  if (name.kind !== put.description.signature.kind)
    throw new MembraneError(
      'INVALID_REQUEST',
      `The path names a fragment of kind ${name.kind}, the description one of kind ${put.description.signature.kind}.`,
    )
  if (typeof name.name !== 'string') return { ...put, foreignKey: name.name }
  return { ...put, contentHash: name.name }
}

function answerOf({ key, contentHash, outcome }: FabricPutResult, { payload }: FabricPut): z.infer<typeof PUT_RESULT> {
  if (outcome === 'refused')
    throw new MembraneError('STORE_FULL', 'It was not stored: what would have to leave is worth more.', {
      remedy: 'Pin it, give it a higher priority, or give the node more room.',
    })
  const payloadBytes = payload instanceof Uint8Array ? payload.length : 0
  return { key, contentHash, payloadBytes, outcome }
}
