/** What every HTTP route has at hand: the caller, the operations, and how errors are said. */
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { HTTP_STATUS } from '../api/error-status.ts'
import { MembraneError } from '../core/errors.ts'
import type { Caller } from '../server/caller.ts'
import type { DoorOptions } from './door.ts'

export type HttpApp = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

/** Adds routes. Those of one part of the API stand in one file. */
export type HttpRoutes = (app: HttpApp, options: DoorOptions) => void

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any route that needs a credential runs. */
    caller: Caller | null
  }
  interface FastifyContextConfig {
    /** The route answers whoever asks: liveness, readiness, the API's description. */
    readonly isOpen?: boolean
    /** Errors are said as the OpenAI API says them. */
    readonly errors?: 'openai'
  }
}

/** Who asks. A route that is not open has one. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller !== null) return request.caller
  throw new MembraneError('UNAUTHENTICATED', 'A credential is needed.')
}

/** Aborts when the client goes away before it has its answer. */
export function abortedWith({ raw }: FastifyReply): AbortSignal {
  const cancel = new AbortController()
  raw.once('close', () => {
    if (!raw.writableFinished) cancel.abort()
  })
  return cancel.signal
}

/** An error as JSON says it. */
export interface ErrorBody {
  readonly error: {
    readonly code: string
    readonly message: string
    readonly remedy: string | null
    readonly retryable: boolean
    readonly details: Readonly<Record<string, unknown>>
    readonly requestId: string
  }
}

export function statusOf(error: MembraneError): number {
  return HTTP_STATUS[error.code]
}
