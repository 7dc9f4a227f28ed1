/**
 * What every gRPC call passes before its first byte is read: who asks, and is there room for what they send. The package
 * gathers a message in memory before anybody sees it, so room for the largest is reserved while one is on its way, and
 * a call that does not go on is ended. Bodies that were put whole keep room for themselves until the call ends.
 */
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  status as Status,
} from '@grpc/grpc-js'
import type { ServerInterceptor } from '@grpc/grpc-js'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm } from '../core/ports.ts'
import { authenticate, type Caller } from '../server/caller.ts'
import type { DoorOptions } from './door.ts'
import { errorStatus } from './grpc-errors.ts'
import { ERROR_METADATA, SERVICE_NAME } from '../api/grpc-service.ts'

/** What a handler knows of its call. */
export interface CallContext {
  readonly caller: Caller
  /** Aborts when the client cancels, goes away, or its deadline passes before the handler has answered. */
  readonly signal: AbortSignal
  /**
   * Waits for room for a body in pieces, and lets them in; it is given back when the call ends. Throws LIMIT_REACHED and
   * ABORTED.
   */
  takeBody(bytes: number): Promise<void>
}

export type AdmissionOptions = Pick<DoorOptions, 'operations' | 'authenticator' | 'budget' | 'log' | 'tls'> & {
  /** Bytes of one message; more is refused before it is read. */
  readonly messageBytesMax: number
  readonly alarm: Alarm
}

const GONE = 'The client has gone, or its time is over.'

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]

/** Of one door. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #contexts = new WeakMap<Metadata, CallContext>()
  readonly #services = new Set<AdmittedCall>()

  constructor(options: AdmissionOptions) {
    this.#options = options
  }

  readonly intercept: ServerInterceptor = ({ path, requestStream }, call) => {
    const isOurs = path.startsWith(`/${SERVICE_NAME}/`)
    const admitted = new AdmittedCall(call, {
      ...this.#options,
      path,
      isBodyInPieces: isOurs && requestStream,
      admit: (metadata, context) => {
        if (isOurs) {
          const caller = callerOf(this.#options, call, metadata)
          // What begins before the node drains goes on while it does.
          this.#contexts.set(metadata, context(this.#options.operations.gate.admit(caller)))
        } else this.#services.add(admitted)
      },
      ended: () => this.#services.delete(admitted),
    })
    return new ServerInterceptingCall(admitted)
  }

  /** Of a call of our service that has reached its handler. */
  contextOf({ metadata }: { readonly metadata: Metadata }): CallContext {
    const context = this.#contexts.get(metadata)
    if (context === undefined) throw new Error('Bug: a call reached its handler without being admitted')
    return context
  }

  /** Ends calls that would go on for ever: whoever watches our health, or asks for reflection. */
  endServices(): void {
    const error = new MembraneError('DRAINING', 'This node is shutting down.')
    for (const call of this.#services) call.fail(error)
  }
}

interface AdmittedCallOptions extends AdmissionOptions {
  readonly path: string
  readonly isBodyInPieces: boolean
  /** Throws UNAUTHENTICATED and DRAINING. */
  readonly admit: (metadata: Metadata, contextFor: (caller: Caller) => CallContext) => void
  readonly ended: () => void
}

/** A call between the package's own end and the handler. */
class AdmittedCall implements ServerInterceptingCallInterface {
  readonly #next: ServerInterceptingCallInterface
  readonly #options: AdmittedCallOptions
  readonly #abort = new AbortController()
  /** Of the budget. */
  #heldBytes = 0
  #payloadBytes = 0
  #cancelTimer: (() => void) | null = null
  #state: 'new' | 'reading' | 'paused' | 'open' | 'ended' = 'new'
  #isReadWanted = false
  #isAnswered = false
  /** Messages handed to the package and not sent yet. */
  #unsent = 0
  /** What the call was answered with; null until then. For the meters. */
  #outcome: string | null = null
  readonly #startMs = performance.now()

  constructor(next: ServerInterceptingCallInterface, options: AdmittedCallOptions) {
    this.#next = next
    this.#options = options
  }

  start(listener: Listener): void {
    this.#next.start({
      onReceiveMetadata: (metadata) => {
        try {
          this.#options.admit(metadata, (caller) => ({
            caller,
            signal: this.#abort.signal,
            takeBody: (bytes) => this.#takeBody(bytes),
          }))
        } catch (error) {
          this.fail(error)
          return
        }
        listener.onReceiveMetadata(metadata)
      },
      onReceiveMessage: (message) => {
        this.#received(message)
        listener.onReceiveMessage(message)
      },
      onReceiveHalfClose: () => {
        this.#stopTimer()
        if (this.#state === 'reading') this.#keep(this.#payloadBytes)
        listener.onReceiveHalfClose()
      },
      onCancel: () => {
        this.#end()
        listener.onCancel()
      },
    })
  }

  startRead(): void {
    if (this.#state === 'new') void this.#reserveAndRead()
    else if (this.#state === 'paused' || this.#unsent > LIMITS.grpcUnsentMessagesMax) this.#isReadWanted = true
    else this.#read()
  }

  sendMessage(message: unknown, callback: () => void): void {
    this.#unsent += 1
    this.#next.sendMessage(message, () => {
      this.#unsent -= 1
      this.#readIfWanted()
      callback()
    })
  }

  sendMetadata(metadata: Metadata): void {
    this.#next.sendMetadata(metadata)
  }

  sendStatus(status: CallStatus): void {
    this.#isAnswered = true
    this.#stopTimer()
    this.#outcome ??= outcomeOf(status)
    this.#next.sendStatus(status)
  }

  /** Ends the call with an error. */
  fail(error: unknown): void {
    const { log, path } = this.#options
    this.#stopTimer()
    const status = errorStatus(error, log, path)
    this.#outcome ??= outcomeOf(status)
    // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- Our table has the numbers of the protocol.
    this.#next.sendStatus(status)
  }

  getPeer(): string {
    return this.#next.getPeer()
  }

  getDeadline(): ReturnType<ServerInterceptingCallInterface['getDeadline']> {
    return this.#next.getDeadline()
  }

  getHost(): string {
    return this.#next.getHost()
  }

  getAuthContext(): ReturnType<ServerInterceptingCallInterface['getAuthContext']> {
    return this.#next.getAuthContext()
  }

  getConnectionInfo(): ReturnType<ServerInterceptingCallInterface['getConnectionInfo']> {
    return this.#next.getConnectionInfo()
  }

  getMetricsRecorder(): ReturnType<ServerInterceptingCallInterface['getMetricsRecorder']> {
    return this.#next.getMetricsRecorder()
  }

  async #reserveAndRead(): Promise<void> {
    this.#state = 'reading'
    try {
      await this.#take(this.#reserveBytes)
    } catch (error) {
      this.fail(error)
      return
    }
    this.#read()
  }

  get #reserveBytes(): number {
    const { budget, messageBytesMax } = this.#options
    return Math.min(messageBytesMax, budget.bytesMax)
  }

  #read(): void {
    // It may have ended while it waited for room, in which case nobody would stop the timer.
    if (this.#state === 'ended') return
    this.#stopTimer()
    const { grpcStallMsMax } = LIMITS
    this.#cancelTimer = this.#options.alarm.after(grpcStallMsMax / 1000, () => {
      this.fail(
        new MembraneError('DEADLINE_EXCEEDED', `The request did not go on for ${grpcStallMsMax / 1000} seconds.`),
      )
    })
    this.#next.startRead()
  }

  #readIfWanted(): void {
    if (!this.#isReadWanted || this.#state === 'paused' || this.#unsent > LIMITS.grpcUnsentMessagesMax) return
    this.#isReadWanted = false
    if (this.#state !== 'ended') this.#read()
  }

  #received(message: unknown): void {
    this.#stopTimer()
    if (this.#state !== 'reading') return
    if (this.#options.isBodyInPieces) {
      // What follows is let in once there is room for all of it.
      this.#keep(0)
      this.#state = 'paused'
    } else this.#payloadBytes = payloadBytesOf(message)
  }

  async #takeBody(bytes: number): Promise<void> {
    const { budget } = this.#options
    // All at once: whoever held some and waited for more could wait for others that do the same.
    const inFlightBytes = Math.min(this.#reserveBytes, Math.max(0, budget.bytesMax - bytes))
    await this.#take(bytes + inFlightBytes)
    this.#state = 'open'
    this.#readIfWanted()
  }

  async #take(bytes: number): Promise<void> {
    const { budget } = this.#options
    if (!budget.tryTake(bytes)) await budget.take(bytes, this.#abort.signal)
    this.#heldBytes += bytes
    if (this.#state === 'ended') {
      this.#keep(0)
      throw new MembraneError('ABORTED', 'The call was cancelled.')
    }
  }

  #keep(bytes: number): void {
    const freeBytes = this.#heldBytes - Math.min(bytes, this.#heldBytes)
    this.#heldBytes -= freeBytes
    if (freeBytes > 0) this.#options.budget.release(freeBytes)
  }

  /** When the call is over. Who goes away first, or sends what the package itself refuses, has no answer of ours. */
  #count(): void {
    const { operations, path } = this.#options
    const isSent = this.#outcome !== null && this.#unsent === 0
    const unanswered = Number(this.getDeadline()) <= Date.now() ? 'DEADLINE_EXCEEDED' : 'ABORTED'
    operations.meters.answered({
      door: 'grpc',
      route: path.slice(1),
      outcome: (isSent ? this.#outcome : null) ?? unanswered,
      seconds: (performance.now() - this.#startMs) / 1000,
    })
  }

  #stopTimer(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #end(): void {
    if (this.#state === 'ended') return
    this.#stopTimer()
    this.#count()
    this.#state = 'ended'
    // Nobody listens any more once the handler has answered; and the reason that is made by default takes its time.
    if (!this.#isAnswered) this.#abort.abort(GONE)
    this.#keep(0)
    this.#options.ended()
  }
}

type CallStatus = Parameters<ServerInterceptingCallInterface['sendStatus']>[0]

/** Our code where there is one, else the name that gRPC has for it. */
function outcomeOf({ code, metadata }: Pick<CallStatus, 'metadata'> & { readonly code: number }): string {
  const [ours] = metadata?.get(ERROR_METADATA.code) ?? []
  if (ours !== undefined) return String(ours)
  const name = Status[code] ?? 'UNKNOWN'
  return name === 'OK' ? 'ok' : name
}

/** A token counts before a certificate. Throws UNAUTHENTICATED. */
function callerOf(
  { authenticator, tls }: AdmissionOptions,
  call: ServerInterceptingCallInterface,
  metadata: Metadata,
): Caller {
  const token = tokenOf(metadata)
  const certificate = token === null && tls?.clientCa != null ? call.getAuthContext().sslPeerCertificate : undefined
  if (certificate !== undefined) {
    const { fingerprint256, subject } = certificate
    const names: string | readonly string[] | undefined = subject?.CN
    const commonName = typeof names === 'string' ? names : (names?.[0] ?? '')
    const caller = authenticator.byCertificate({ fingerprint256, commonName })
    if (caller !== null) return caller
  }
  return authenticate(authenticator, token)
}

function tokenOf(metadata: Metadata): string | null {
  const [authorization] = metadata.get('authorization')
  if (authorization === undefined) return null
  const match = /^Bearer +(\S+)$/i.exec(String(authorization))
  if (match?.[1] !== undefined) return match[1]
  throw new MembraneError('UNAUTHENTICATED', 'The authorization metadata is "Bearer" and a token.')
}

function payloadBytesOf(message: unknown): number {
  if (typeof message !== 'object' || message === null || !('payload' in message)) return 0
  return message.payload instanceof Uint8Array ? message.payload.length : 0
}
