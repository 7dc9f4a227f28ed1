/** What HTTP refuses before any operation hears of it, with a status of its own and the one shape of errors. */
import { MembraneError } from '../core/errors.ts'

/** An error whose status says more than its code. */
export class HttpRefusal extends Error {
  override readonly name = 'HttpRefusal'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly error: MembraneError

  constructor(status: number, error: MembraneError, headers: Readonly<Record<string, string>> = {}) {
    super(error.message)
    this.status = status
    this.error = error
    this.headers = headers
  }
}

/** The path is one of ours, and the method none of its: `allowed` are. */
export function methodRefused(method: string, path: string, allowed: readonly string[]): HttpRefusal {
  const allow = allowed.join(', ')
  const message = `${path} takes ${allow}, not ${method}.`
  return new HttpRefusal(405, new MembraneError('INVALID_REQUEST', message, { details: { allow } }), { allow })
}

export function mediaTypeRefused(found: string | undefined, expected: string): HttpRefusal {
  const type = found === undefined ? 'no media type' : found.slice(0, 100)
  return new HttpRefusal(
    415,
    new MembraneError('INVALID_REQUEST', `A body of type ${expected} was expected; found ${type}.`),
  )
}

export function lengthRequired(): HttpRefusal {
  return new HttpRefusal(
    411,
    new MembraneError('INVALID_REQUEST', 'The body needs its length beforehand, and came in chunks without one.', {
      remedy: 'Send Content-Length.',
    }),
  )
}
