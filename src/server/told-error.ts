/** What a caller hears of an error of the store. Where the node keeps its bytes, and under what names, is its own business. */
import type { Logger } from 'pino'
import { ERROR_CODES, MembraneError } from '../core/errors.ts'

/** The error without what only concerns who runs the node; what is left out goes to the log, under the request. */
export function toldError(
  error: MembraneError,
  log: Pick<Logger, 'warn'>,
  request: Readonly<Record<string, unknown>>,
): MembraneError {
  const { code, message, remedy, details, cause } = error
  const namesPlace = 'directory' in details || ('address' in details && 'what' in details)
  if (!namesPlace && !('owner' in details)) return error
  log.warn({ err: error, ...request }, 'an error of the store, of which the caller hears less')
  if (namesPlace)
    return new MembraneError(code, ERROR_CODES[code].meaning, {
      remedy: 'Who runs the node finds the reason in its log.',
      cause,
    })
  const { owner: _, ...rest } = details
  return new MembraneError(code, message, { details: rest, cause, ...(remedy === null ? {} : { remedy }) })
}
