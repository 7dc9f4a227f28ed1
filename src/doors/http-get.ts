/** Getting fragments: verified bytes, whole or a part, with what is known of them in headers (RFC 9110). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import { encodeFrameStart, FRAGMENT_TYPE } from '../api/fragment-frame.ts'
import { MembraneError } from '../core/errors.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import type { ByteSpan, StoredEntry } from '../core/ports.ts'
import type { Described } from '../server/tenant-fabric.ts'
import { callerOf, type HttpRoutes, KEY } from './http-app.ts'
import { preconditionOf } from './http-conditions.ts'
import { rangeOf } from './http-range.ts'

const NONE = new Uint8Array(0)
/** The reason that is made by default takes its time. */
const GONE = 'The client has gone.'

const GET_HEADERS = z.object({
  range: z.string().optional().describe('One range of bytes, such as bytes=0-1023.'),
  'if-none-match': z.string().optional().describe('ETags that the client has: 304 when it is one of them.'),
  'if-match': z.string().optional().describe('ETags that the client wants: 412 when it is none of them.'),
  'if-range': z.string().optional().describe('The range counts only for this ETag; else all is sent.'),
})

const PAYLOAD = { content: { 'application/octet-stream': { schema: z.unknown().describe('Bytes.') } } }

export const getRoutes: HttpRoutes = (app, options) => {
  const { fragments } = options.operations
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const { '*': key } = request.params as z.infer<typeof KEY>
    let answer: AnswerHead | null = null
    const found = await fragments.read(callerOf(request), key, (entry) => {
      answer = answerHead(request, entry)
      return request.method === 'HEAD' ? null : answer.span
    })
    const head = answer as AnswerHead | null
    if (found === null || head === null) throw notFound(key)
    if (head.status === 412)
      throw new MembraneError('PRECONDITION_FAILED', 'The bytes under this key are not those that If-Match names.')
    const { raw } = reply
    reply.hijack()
    const gone = goneOf(request, raw)
    // After the answer, or in the middle of it: whoever was told first that it is sent is not told again.
    gone.addEventListener('abort', () => found.ended(false))
    if (gone.aborted) {
      found.ended(false)
      return
    }
    raw.writeHead(head.status, { ...safeHeaders(reply), ...head.headers })
    if (request.method === 'HEAD' || head.span === null) {
      raw.end()
      return
    }
    if (head.frame.length > 0) raw.write(head.frame)
    if (found.chunks === null) raw.end(found.payload ?? NONE, () => found.ended(true))
    else await sendChunks({ request, raw, gone }, found.chunks)
  }
  const common = { tags: ['fragments'], params: KEY, headers: GET_HEADERS }
  const config = {}
  app.get(
    '/v1/fragments/*',
    {
      exposeHeadRoute: false,
      config,
      schema: {
        ...common,
        operationId: 'getFragment',
        summary: 'The bytes of a fragment, verified, or a part of them.',
        description: `With Accept: ${FRAGMENT_TYPE}, the description and all the bytes. The ETag is the content hash.`,
        response: { 200: PAYLOAD, 206: PAYLOAD },
      },
    },
    handler,
  )
  app.head(
    '/v1/fragments/*',
    {
      config,
      schema: {
        ...common,
        operationId: 'headFragment',
        summary: 'What GET would say of a fragment, without its bytes.',
      },
    },
    handler,
  )
}

export function notFound(key: string): MembraneError {
  return new MembraneError('NOT_FOUND', `Nothing is stored under ${JSON.stringify(key)}.`)
}

/** What hooks have set; of a hijacked reply nobody else sends it. */
function safeHeaders(reply: FastifyReply): Record<string, string | number | string[]> {
  const headers: Record<string, string | number | string[]> = {}
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) headers[name] = value
  return headers
}

/**
 * Aborts when nobody is there to take the answer, at the latest when it is over. Of requests that came one behind the
 * other, Node tells only the first that the connection has closed, and none whose answer begins after that.
 */
function goneOf({ raw: { socket } }: FastifyRequest, raw: ServerResponse): AbortSignal {
  const gone = new AbortController()
  const leave = (): void => {
    socket.off('close', leave)
    gone.abort(GONE)
  }
  if (socket.destroyed) leave()
  // As many as there are requests on their way: Node would warn of more than ten.
  else socket.setMaxListeners(0).once('close', leave)
  raw.once('close', leave)
  return gone.signal
}

interface ChunkReader {
  readonly request: FastifyRequest
  readonly raw: ServerResponse
  readonly gone: AbortSignal
}

async function sendChunks({ request, raw, gone }: ChunkReader, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  let wake = (): void => {}
  gone.addEventListener('abort', () => wake())
  try {
    for await (const chunk of chunks) {
      if (gone.aborted) return
      // The chunk's memory is the store's again once the next one is asked for.
      await new Promise<void>((resolve) => {
        wake = resolve
        raw.write(chunk, () => resolve())
      })
    }
    raw.end()
  } catch (error) {
    request.log.warn({ err: error, requestId: request.id }, 'a payload broke off')
    // A body that is too short is how HTTP says it.
    raw.destroy()
  }
}

interface AnswerHead {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number>>
  /** Null when no bytes are to be sent. */
  readonly span: ByteSpan | null
  /** Before the payload. */
  readonly frame: Uint8Array
}

function answerHead(request: FastifyRequest, entry: Described<StoredEntry>): AnswerHead {
  const { payloadBytes, contentHash, expiresAtMs, description } = entry
  const etag = `"${contentHash}"`
  const all = { start: 0, end: payloadBytes }
  const common = {
    'membrane-content-hash': contentHash,
    ...(expiresAtMs === null ? {} : { 'membrane-expires-at-ms': expiresAtMs }),
    // Bytes of a tenant: whoever caches them would give them to others.
    'cache-control': 'private, no-cache',
    vary: 'accept, authorization',
  }
  if (accepts(request.headers.accept, FRAGMENT_TYPE)) {
    // Another representation, which has no ETag: its description may change while its bytes stay.
    const frame = encodeFrameStart(description)
    const headers = { ...common, 'content-type': FRAGMENT_TYPE, 'content-length': frame.length + payloadBytes }
    return { status: 200, headers, span: all, frame }
  }
  const known = { ...common, etag, 'accept-ranges': 'bytes' }
  const precondition = preconditionOf(request.headers, etag)
  if (precondition === 'changed') return { status: 412, headers: {}, span: null, frame: NONE }
  if (precondition === 'unchanged') return { status: 304, headers: known, span: null, frame: NONE }
  const type = { 'content-type': mediaTypeOf(description) }
  // Ranges are of GET alone.
  const range = request.method === 'GET' ? rangeOf(request.headers, etag, payloadBytes) : { kind: 'all' as const }
  if (range.kind === 'all')
    return { status: 200, headers: { ...known, ...type, 'content-length': payloadBytes }, span: all, frame: NONE }
  if (range.kind === 'unsatisfiable') {
    const headers = { ...known, 'content-range': `bytes */${payloadBytes}`, 'content-length': 0 }
    return { status: 416, headers, span: null, frame: NONE }
  }
  const { start, end } = range.span
  const part = { 'content-length': end - start, 'content-range': `bytes ${start}-${end - 1}/${payloadBytes}` }
  return { status: 206, headers: { ...known, ...type, ...part }, span: range.span, frame: NONE }
}

/** Whether a type is asked for by its name; what takes anything is given the plain bytes. */
function accepts(accept: string | undefined, type: string): boolean {
  return accept?.split(',').some((one) => one.split(';', 1)[0]?.trim().toLowerCase() === type) === true
}

/** An artifact's own type is what a sender said it is: a browser must not run it, which `nosniff` and this see to. */
function mediaTypeOf({ signature }: FragmentDescription): string {
  return signature.kind === 'artifact' && !/html|xml|script|svg/i.test(signature.layout)
    ? signature.layout
    : 'application/octet-stream'
}
