/** Calls in JSON, over a pool of kept connections. */
import { Pool } from 'undici'
import type { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { Deadline } from './client-deadline.ts'
import { errorOfAnswer, errorOfConnection } from './client-errors.ts'
import type { CheckedOptions } from './client-options.ts'
import { withRetries } from './client-retry.ts'

/** What callers may say of any call. */
export interface CallOptions {
  readonly signal?: AbortSignal
  /** In place of the client's. */
  readonly timeoutMs?: number
}

export interface ControlCall extends CallOptions {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Beginning with a slash, encoded. */
  readonly path: string
  /** To be sent as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Doing it twice is as good as doing it once; true when nothing is said. */
  readonly isIdempotent?: boolean
  /** A failure is the answer. */
  readonly isTriedOnce?: boolean
}

export interface ControlAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly text: string
}

/** See the top of this file. */
export class ControlChannel {
  readonly #options: CheckedOptions
  readonly #pool: Pool

  constructor(options: CheckedOptions) {
    const { url, origin, limits } = options
    this.#options = options
    this.#pool = new Pool(url, {
      connections: limits.connectionsMax,
      pipelining: 1,
      // The deadline of the call counts.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { ...origin.tls, timeout: limits.timeoutMs },
      keepAliveTimeout: 20_000,
      maxResponseSize: LIMITS.responseJsonBytesMax,
    })
  }

  get options(): CheckedOptions {
    return this.#options
  }

  /** The answer, as its shape says. Throws the server's error, PEER_UNAVAILABLE, DEADLINE_EXCEEDED and ABORTED. */
  async json<T>(shape: z.ZodType<T>, call: ControlCall): Promise<T> {
    const { text } = await this.answer(call)
    return parseAnswer(shape, text, call.path)
  }

  /** The same, and null where nothing is stored. */
  async jsonOrNull<T>(shape: z.ZodType<T>, call: ControlCall): Promise<T | null> {
    return orNull(this.json(shape, call))
  }

  /** An answer whose status is below 300. */
  async answer(call: ControlCall): Promise<ControlAnswer> {
    const { limits } = this.#options
    const { isIdempotent = true, isTriedOnce = false, signal, timeoutMs = limits.timeoutMs } = call
    const deadline = new Deadline(timeoutMs, signal)
    try {
      if (isTriedOnce) return await this.#once(call, deadline)
      const retried = { deadline, isIdempotent, random: Math.random }
      return await withRetries(() => this.#once(call, deadline), limits, retried)
    } finally {
      deadline.close()
    }
  }

  /** The body as it comes, of an answer whose status is below 300; not tried again once it has begun. */
  async open(call: ControlCall, deadline: Deadline): Promise<AsyncIterable<Uint8Array>> {
    const { limits } = this.#options
    const { isIdempotent = true } = call
    const retried = { deadline, isIdempotent, random: Math.random }
    const { body } = await withRetries(() => this.#send(call, deadline), limits, retried)
    return this.#pieces(body, deadline)
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  async #once(call: ControlCall, deadline: Deadline): Promise<ControlAnswer> {
    const { statusCode, headers, body } = await this.#send(call, deadline)
    try {
      return { status: statusCode, headers, text: await body.text() }
    } catch (error) {
      throw this.#failure(error, deadline)
    }
  }

  async #send({ method, path, body, headers }: ControlCall, deadline: Deadline) {
    const { basePath, headers: common } = this.#options
    try {
      const answer = await this.#pool.request({
        method,
        path: basePath + path,
        signal: deadline.signal,
        headers: { ...common, ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      if (answer.statusCode < 300) return answer
      const retryAfter = answer.headers['retry-after']
      throw errorOfAnswer({
        status: answer.statusCode,
        body: (await answer.body.text()).slice(0, LIMITS.responseErrorBytesMax),
        retryAfter: typeof retryAfter === 'string' ? retryAfter : null,
      })
    } catch (error) {
      throw this.#failure(error, deadline)
    }
  }

  async *#pieces(body: AsyncIterable<Uint8Array>, deadline: Deadline): AsyncGenerator<Uint8Array> {
    try {
      yield* body
    } catch (error) {
      throw this.#failure(error, deadline)
    }
  }

  #failure(error: unknown, { signal }: Deadline): unknown {
    return signal.aborted ? signal.reason : errorOfConnection(error, this.#options.url)
  }
}

/** Null for NOT_FOUND. */
export async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'NOT_FOUND') return null
    throw error
  }
}

/** Throws PEER_UNAVAILABLE for an answer that is not as expected. */
export function parseAnswer<T>(shape: z.ZodType<T>, text: string, what: string): T {
  try {
    return shape.parse(JSON.parse(text))
  } catch (error) {
    throw new MembraneError('PEER_UNAVAILABLE', `The server's answer to ${what} is not as this version expects it.`, {
      remedy: 'Check that the URL is that of a Membrane server of this version.',
      details: { isRetryable: false },
      cause: error,
    })
  }
}

/** A key or a name as one or more parts of a path: its slashes stay. */
export function pathOf(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
}
