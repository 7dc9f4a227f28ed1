/** What a server's error, or a failed connection, is here: the server's code and words where it has said any. */
import { z } from 'zod'
import { ERROR_CODES, type ErrorCode, MembraneError } from '../core/errors.ts'

const ERROR_BODY = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    remedy: z.string().nullish(),
    retryable: z.boolean().optional(),
    details: z.record(z.string(), z.unknown()).optional(),
    requestId: z.string().optional(),
  }),
})

/** What an answer says beside its body. */
export interface ErrorAnswer {
  readonly status: number
  readonly body: string
  /** The header, if any: seconds or a date. */
  readonly retryAfter: string | null
}

/** `details` of the error have `status`, `isRetryable`, and where they are known `requestId` and `retryAfterSeconds`. */
export function errorOfAnswer({ status, body, retryAfter }: ErrorAnswer): MembraneError {
  const said = parseErrorBody(body)
  const retryAfterSeconds = retryAfter === null ? null : secondsOf(retryAfter)
  const common = { status, ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }) }
  if (said === null) {
    const code = codeOfStatus(status)
    // Not ours: a proxy before it, or another server.
    return new MembraneError(code, `The server answered with status ${status}.`, {
      details: { ...common, isRetryable: ERROR_CODES[code].retryable },
    })
  }
  const { code, message, remedy, retryable, details = {}, requestId } = said
  const isKnown = Object.hasOwn(ERROR_CODES, code)
  const ours = isKnown ? (code as ErrorCode) : codeOfStatus(status)
  return new MembraneError(ours, message, {
    ...(remedy == null ? {} : { remedy }),
    details: {
      ...details,
      ...common,
      isRetryable: retryable ?? ERROR_CODES[ours].retryable,
      ...(isKnown ? {} : { serverCode: code }),
      ...(requestId === undefined ? {} : { requestId }),
    },
  })
}

/** Whether the same call may succeed when it is made again. */
export function isRetryable(error: MembraneError): boolean {
  const said = error.details['isRetryable']
  if (typeof said === 'boolean') return said
  // These are of this side: nobody waits any longer.
  return error.code !== 'DEADLINE_EXCEEDED' && ERROR_CODES[error.code].retryable
}

/** Whether it is certain that the server has done nothing: it was not reached, or it refused. */
export function isUndone({ details }: MembraneError): boolean {
  return details['isUnsent'] === true || typeof details['status'] === 'number'
}

const UNSENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** What the HTTP package throws. */
export function errorOfConnection(error: unknown, url: string): MembraneError {
  if (error instanceof MembraneError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  // An error of Node has a code; one of the HTTP package may have the field without one.
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
  return new MembraneError('PEER_UNAVAILABLE', `${url} cannot be reached, or broke off: ${code}.`, {
    remedy: 'Check the URL, and that the server runs.',
    details: { isUnsent: UNSENT.has(code), ...(isOfTls(code) ? { isRetryable: false } : {}) },
    cause,
  })
}

/** A certificate that is not trusted is not trusted the next time either. */
function isOfTls(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS|ERR_SSL/.test(code)
}

function parseErrorBody(body: string): z.infer<typeof ERROR_BODY>['error'] | null {
  try {
    return ERROR_BODY.parse(JSON.parse(body)).error
  } catch {
    return null
  }
}

function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case 401:
    case 407:
      return 'UNAUTHENTICATED'
    case 403:
      return 'FORBIDDEN'
    case 404:
      return 'NOT_FOUND'
    case 413:
      return 'LIMIT_REACHED'
    case 429:
      return 'RATE_LIMITED'
    case 501:
      return 'NOT_SUPPORTED'
    case 502:
    case 503:
    case 504:
      return 'PEER_UNAVAILABLE'
    default:
      return status >= 500 ? 'INTERNAL' : 'INVALID_REQUEST'
  }
}

/** RFC 9110, 10.2.3. */
function secondsOf(retryAfter: string): number | null {
  if (/^\d{1,9}$/.test(retryAfter)) return Number(retryAfter)
  const atMs = Date.parse(retryAfter)
  return Number.isNaN(atMs) ? null : Math.max(0, (atMs - Date.now()) / 1000)
}
