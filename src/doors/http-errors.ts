/** How errors leave over HTTP: a code, one sentence, what to do, and the request id that the log has too. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { HTTP_STATUS } from '../api/error-status.ts'
import { ERROR_CODES, MembraneError } from '../core/errors.ts'
import type { ErrorBody } from './http-app.ts'

/** Sends any error; one that is not ours is a bug: it is logged, and its text stays here. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const known = asMembraneError(error)
  if (known.code === 'INTERNAL') request.log.error({ err: error }, 'internal error')
  const { details } = known
  if (known.code === 'UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer')
  const retryAfterSeconds = details['retryAfterSeconds']
  if (typeof retryAfterSeconds === 'number') void reply.header('retry-after', String(Math.ceil(retryAfterSeconds)))
  const status = HTTP_STATUS[known.code]
  const isOpenAi = request.routeOptions.config.errors === 'openai'
  void reply.code(status).send(isOpenAi ? openAiError(known) : errorBody(known, request.id))
}

/** What went wrong, in our words; whatever is not known is INTERNAL. */
export function asMembraneError(error: unknown): MembraneError {
  if (error instanceof MembraneError) return error
  if (hasZodFastifySchemaValidationErrors(error)) {
    const first = error.validation[0]
    const where = `${error.validationContext ?? 'request'}${first?.instancePath.replaceAll('/', '.') ?? ''}`
    return new MembraneError('INVALID_REQUEST', `${where}: ${first?.message ?? 'not as expected'}.`)
  }
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : null
  const message = error instanceof Error ? error.message : String(error)
  if (status === 413) return new MembraneError('LIMIT_REACHED', message)
  // Malformed JSON, a length that lies, a media type that no route takes.
  if (typeof status === 'number' && status >= 400 && status < 500) return new MembraneError('INVALID_REQUEST', message)
  return new MembraneError('INTERNAL', 'Something went wrong here that should not have.')
}

function errorBody({ code, message, remedy, details }: MembraneError, requestId: string): ErrorBody {
  return { error: { code, message, remedy, retryable: ERROR_CODES[code].retryable, details, requestId } }
}

/** As the OpenAI API says errors. */
export function openAiError({ code, message, remedy, details }: MembraneError): object {
  const status = HTTP_STATUS[code]
  const type = status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'server_error'
  const { param = null, openAiCode = code.toLowerCase() } = details
  return { error: { message: remedy === null ? message : `${message} ${remedy}`, type, param, code: openAiCode } }
}
