/** How errors leave over HTTP: a code, one sentence, what to do, and the request id that the log has too. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { HTTP_STATUS } from '../api/error-status.ts'
import { ERROR_CODES, MembraneError } from '../core/errors.ts'
import { toldError } from '../server/told-error.ts'
import type { ErrorBody } from './http-app.ts'
import { HttpRefusal, mediaTypeRefused } from './http-refusal.ts'

/** A body of which no more than this is unread is read and thrown away, so that the connection can go on. */
const UNREAD_BYTES_MAX = 256 * 1024

/** Sends any error; one that is not ours is a bug: it is logged, and its text stays here. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const refusal = asRefusal(error, request)
  const known = tell(refusal.error, error, request)
  if (known.code === 'UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer')
  const retryAfterSeconds = known.details['retryAfterSeconds']
  if (typeof retryAfterSeconds === 'number') void reply.header('retry-after', String(Math.ceil(retryAfterSeconds)))
  // What is left of a large body would be read for nothing.
  if (hasLargeRest(request, known)) void reply.header('connection', 'close')
  void reply.headers(refusal.headers)
  const isOpenAi = request.routeOptions.config.errors === 'openai'
  void reply
    .code(refusal.status)
    .header('cache-control', 'no-store')
    .type('application/json; charset=utf-8')
    .serializer(JSON.stringify)
    .send(isOpenAi ? openAiError(known) : errorBody(known, request.id))
}

/** What a caller hears of an error that came when the status had been sent; the log and the meters hear all of it. */
export function lateError(error: unknown, request: FastifyRequest): MembraneError {
  return tell(asMembraneError(error), error, request)
}

function tell(known: MembraneError, error: unknown, request: FastifyRequest): MembraneError {
  const { id: requestId, log } = request
  request.failure = known.code
  if (known.code === 'INTERNAL') log.error({ err: error, requestId }, 'internal error')
  return toldError(known, log, { requestId })
}

/** What went wrong, in our words; whatever is not known is INTERNAL. */
function asMembraneError(error: unknown): MembraneError {
  if (error instanceof MembraneError) return error
  if (error instanceof HttpRefusal) return error.error
  if (hasZodFastifySchemaValidationErrors(error)) {
    // A misspelt field is missing by its right name, too: what is there says more than what is not.
    const first = error.validation.find(({ keyword }) => keyword === 'unrecognized_keys') ?? error.validation[0]
    const where = `${error.validationContext ?? 'request'}${first?.instancePath.replaceAll('/', '.').replace(/\.$/, '') ?? ''}`
    return new MembraneError('INVALID_REQUEST', `${where}: ${first?.message ?? 'not as expected'}.`)
  }
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : null
  const message = error instanceof Error ? error.message : String(error)
  if (status === 413) return new MembraneError('LIMIT_REACHED', message)
  // Malformed JSON, a length that lies.
  if (typeof status === 'number' && status >= 400 && status < 500) return new MembraneError('INVALID_REQUEST', message)
  return new MembraneError('INTERNAL', 'Something went wrong here that should not have.')
}

export function errorBody({ code, message, remedy, details }: MembraneError, requestId: string): ErrorBody {
  return { error: { code, message, remedy, retryable: ERROR_CODES[code].retryable, details, requestId } }
}

function asRefusal(error: unknown, request: FastifyRequest): HttpRefusal {
  if (error instanceof HttpRefusal) return error
  if (error instanceof Error && 'statusCode' in error && error.statusCode === 415)
    return mediaTypeRefused(request.headers['content-type'], expectedType(request))
  const known = asMembraneError(error)
  return new HttpRefusal(HTTP_STATUS[known.code], known)
}

/** A route with a body of bytes says what it takes, and is refused only what is no media type at all. */
function expectedType({ routeOptions }: FastifyRequest): string {
  return routeOptions.schema?.consumes?.join(' or ') ?? 'application/json'
}

function hasLargeRest({ raw }: FastifyRequest, { code }: MembraneError): boolean {
  if (raw.complete) return false
  if (code === 'DEADLINE_EXCEEDED') return true
  const length = raw.headers['content-length']
  // A client that waits for a go-ahead may send its body, or not: only a new connection is sure to begin with a request.
  return length === undefined
    ? raw.headers['transfer-encoding'] !== undefined
    : Number(length) > UNREAD_BYTES_MAX || raw.headers.expect !== undefined
}

/** As the OpenAI API says errors. */
export function openAiError({ code, message, remedy, details }: MembraneError): object {
  const status = HTTP_STATUS[code]
  const type = status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'server_error'
  const { param = null, openAiCode = code.toLowerCase() } = details
  return { error: { message: remedy === null ? message : `${message} ${remedy}`, type, param, code: openAiCode } }
}
