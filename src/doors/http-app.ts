/** What every HTTP route has at hand: the caller, the operations, and how errors are said. */
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
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
    /** The code of the error that the request ended with; null while there is none. */
    failure: string | null
  }
  interface FastifyContextConfig {
    /** The route answers whoever asks: liveness, readiness, the API's description. */
    readonly isOpen?: boolean
    /** The route reads its body itself, as it comes. */
    readonly hasRawBody?: boolean
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
export function abortedWith(reply: FastifyReply): AbortSignal {
  const cancel = new AbortController()
  const { raw } = reply
  raw.once('close', () => {
    if (!raw.writableFinished) cancel.abort()
  })
  return cancel.signal
}

/** The key in the path: everything after the prefix, so that its slashes may stay as they are. */
export const KEY = z.object({ '*': z.string().min(1).describe('Key of the fragment; slashes may stay as they are.') })

/** Of one field that is not known, as a message shows it. */
const FIELD_CHARACTERS_MAX = 100

/**
 * A JSON object of a request in which a field that is not known is an error that names it and those that are: one
 * misspelt would be a wish that nobody hears. Not for what other nodes send, whose version may be another, nor for
 * APIs of others, whose clients send more than is read here.
 */
export function requestObject<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape).join(', ')
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined
      const [first = ''] = issue.keys
      return `there is no field ${JSON.stringify(first.slice(0, FIELD_CHARACTERS_MAX))}; known are ${known}`
    },
  })
}

/** Milliseconds since 1970. */
export const TIME_MS = z.number().describe('Milliseconds since 1970.')

/** An error as JSON says it. */
export const ERROR_BODY = z
  .object({
    error: z.object({
      code: z.string().describe('One of a closed table: branch on it.'),
      message: z.string().describe('What was expected and what was found, for people.'),
      remedy: z.string().nullable().describe('What to do about it, or null.'),
      retryable: z.boolean().describe('Whether the same request may succeed later.'),
      details: z.record(z.string(), z.unknown()).describe('Ids, and numbers with units in their names.'),
      requestId: z.string().describe('The log of the node has it too.'),
    }),
  })
  .describe('What went wrong. Numbers in details have their units in their names.')
export type ErrorBody = z.infer<typeof ERROR_BODY>
