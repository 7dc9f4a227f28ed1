/** How errors leave over gRPC: a status of the one table, a sentence, and our code in the trailing metadata. */
import { randomUUID } from 'node:crypto'
import { Metadata } from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { GRPC_STATUS } from '../api/error-status.ts'
import { ERROR_METADATA } from '../api/grpc-service.ts'
import { MembraneError } from '../core/errors.ts'
import { toldError } from '../server/told-error.ts'

/** Of a sentence in a header: clients take 8 KiB of headers in all, and three bytes may stand for each character. */
const DETAILS_CHARACTERS_MAX = 1000

export interface ErrorStatus {
  /** A status of gRPC. */
  readonly code: number
  readonly details: string
  readonly metadata: Metadata
}

/** What is not one of our errors is a bug: it is logged, and its text stays here. */
export function errorStatus(error: unknown, log: Logger, path: string): ErrorStatus {
  const metadata = new Metadata()
  if (!(error instanceof MembraneError) || error.code === 'INTERNAL') {
    const requestId = randomUUID()
    log.error({ err: error, path, requestId }, 'internal error')
    metadata.set(ERROR_METADATA.requestId, requestId)
    metadata.set(ERROR_METADATA.code, 'INTERNAL')
    return {
      code: GRPC_STATUS.INTERNAL,
      details: `Something went wrong here; the log has ${requestId}.`,
      metadata,
    }
  }
  const { code, message, remedy, details } = toldError(error, log, { path })
  metadata.set(ERROR_METADATA.code, code)
  const retryAfterSeconds = details['retryAfterSeconds']
  if (typeof retryAfterSeconds === 'number')
    metadata.set(ERROR_METADATA.retryAfter, String(Math.max(0, Math.ceil(retryAfterSeconds))))
  const sentence = remedy === null ? message : `${message} ${remedy}`
  // Half a surrogate pair, which cutting may leave, has no UTF-8, and would throw where the header is written.
  return {
    code: GRPC_STATUS[code],
    details: sentence.slice(0, DETAILS_CHARACTERS_MAX).toWellFormed(),
    metadata,
  }
}
