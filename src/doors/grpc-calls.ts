/** Handlers of gRPC calls as functions that answer or throw: of one message, or of streams that wait for each other. */
import type {
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerWritableStream,
} from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { abortedError } from '../core/cancel.ts'
import type { Admission, CallContext } from './grpc-admission.ts'
import { errorStatus } from './grpc-errors.ts'

export interface CallParts {
  readonly admission: Admission
  readonly log: Logger
}

/** Sends one message, and waits while the client does not keep up. Throws ABORTED. */
export type Send<Response> = (message: Response) => Promise<void>

export function unary<Request, Response>(
  { admission, log }: CallParts,
  handle: (request: Request, context: CallContext) => Promise<Response> | Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const answer = async (): Promise<void> => {
      const response = await handle(call.request, admission.contextOf(call))
      callback(null, response)
    }
    answer().catch((error: unknown) => callback(errorStatus(error, log, call.getPath())))
  }
}

export function clientStream<Request, Response>(
  { admission, log }: CallParts,
  handle: (requests: AsyncIterable<Request>, context: CallContext) => Promise<Response>,
): handleClientStreamingCall<Request, Response> {
  return (call, callback) => {
    const answer = async (): Promise<void> => {
      const context = admission.contextOf(call)
      try {
        callback(null, await handle(call as AsyncIterable<Request>, context))
      } catch (error) {
        // A stream that was cancelled ends with an error of its own.
        throw context.signal.aborted ? abortedError(context.signal) : error
      }
    }
    answer().catch((error: unknown) => callback(errorStatus(error, log, call.getPath())))
  }
}

export function serverStream<Request, Response>(
  { admission, log }: CallParts,
  handle: (request: Request, context: CallContext, send: Send<Response>) => Promise<void>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const answer = async (): Promise<void> => {
      const context = admission.contextOf(call)
      await handle(call.request, context, sendTo(call, context.signal))
      call.end()
    }
    answer().catch((error: unknown) => {
      if (!call.cancelled) call.emit('error', errorStatus(error, log, call.getPath()))
    })
  }
}

function sendTo<Request, Response>(call: ServerWritableStream<Request, Response>, signal: AbortSignal): Send<Response> {
  return async (message) => {
    if (signal.aborted) throw abortedError(signal)
    if (call.write(message)) return
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        call.removeListener('drain', settle)
        signal.removeEventListener('abort', settle)
        if (signal.aborted) reject(abortedError(signal))
        else resolve()
      }
      call.once('drain', settle)
      signal.addEventListener('abort', settle, { once: true })
    })
  }
}
