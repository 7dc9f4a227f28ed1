/** A small client of a node's gRPC door: what `membrane doctor` asks, and enough for programs that need no more. */
import {
  type CallOptions as GrpcCallOptions,
  Client,
  type ClientWritableStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import { service as healthService } from 'grpc-health-check'
import { abortedError } from '../core/cancel.ts'
import { ERROR_CODES, type ErrorCode, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan } from '../core/ports.ts'
import type {
  EntryMessage,
  GetResponseMessage,
  HasResponseMessage,
  HeartbeatResponseMessage,
  PutHeaderMessage,
  PutResponseMessage,
} from './grpc-messages.ts'
import { ERROR_METADATA, loadMembraneService, SERVICE_NAME } from './grpc-service.ts'

/** Where a node's gRPC door is, and who asks. */
export interface GrpcClientOptions {
  /** `host:port`, or `unix:/path`. */
  readonly target: string
  /** Null, the default: no credential but a certificate, if there is one. */
  readonly token?: string | null
  /** PEM. Null, the default: plain. */
  readonly tls?: GrpcClientTls | null
  /** Milliseconds for each call; a minute by default. */
  readonly deadlineMs?: number
}

/** How a node is told from others that pretend to be it, and how it may tell who asks. PEM. */
export interface GrpcClientTls {
  /** Whose signature is trusted; null for those that the system trusts. */
  readonly ca: string | null
  /** This client's certificate; null for none. */
  readonly identity: { readonly cert: string; readonly key: string } | null
  /** In the node's certificate, if that is not the host of the target. */
  readonly serverName?: string
}

/** What is put: bytes with a name of their own, or a fragment with its description. */
export interface GrpcPut {
  readonly payload: Uint8Array
  /** Canonical JSON, as fragments have it at their head; missing for an artifact. */
  readonly description?: Uint8Array
  readonly mediaType?: string
  /** The node refuses bytes that do not have it. */
  readonly contentHash?: string
  readonly signal?: AbortSignal
}

const DEFAULT_DEADLINE_MS = 60_000

const CHUNK_BYTES = 256 * 1024
/** Of one connection: with HTTP/2's own 64 KiB, half the time goes into waiting for leave to send. */
const WINDOW_BYTES = 64 * 1024 * 1024

type Method = MethodDefinition<object, object>

/** See the top of this file. Every call throws what the node answers, PEER_UNAVAILABLE and DEADLINE_EXCEEDED. */
export class GrpcClient {
  readonly #client: Client
  readonly #service = loadMembraneService().service
  readonly #metadata = new Metadata()
  readonly #deadlineMs: number

  /** Connects when it is first asked for something. */
  constructor({ target, token = null, tls = null, deadlineMs = DEFAULT_DEADLINE_MS }: GrpcClientOptions) {
    this.#deadlineMs = deadlineMs
    if (token !== null) this.#metadata.set('authorization', `Bearer ${token}`)
    this.#client = new Client(target, channelCredentials(tls), {
      'grpc.max_receive_message_length': 2 * LIMITS.grpcMessageBytesMax,
      'grpc-node.flow_control_window': WINDOW_BYTES,
      'grpc.enable_channelz': 0,
      ...(tls?.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': tls.serverName }),
    })
  }

  /** Whether the node says of itself that it serves: not while it shuts down. */
  async isServing(): Promise<boolean> {
    const check = healthService['Check'] as unknown as Method
    const { status } = await this.#unary<{ status: string }>(check, { service: SERVICE_NAME })
    return status === 'SERVING'
  }

  heartbeat(): Promise<HeartbeatResponseMessage> {
    return this.#unary(this.#method('Heartbeat'), {})
  }

  /** One answer a key, in order. The node's own lease, unless `leaseMs` says another. */
  has(keys: readonly string[], leaseMs?: number): Promise<HasResponseMessage> {
    return this.#unary(this.#method('Has'), { keys, ...(leaseMs === undefined ? {} : { leaseMs }) })
  }

  /** How many were there. */
  async remove(keys: readonly string[]): Promise<number> {
    return (await this.#unary<{ removed: number }>(this.#method('Remove'), { keys })).removed
  }

  /** Sends the payload in pieces, no faster than it is taken. */
  async put({ payload, signal, ...named }: GrpcPut): Promise<PutResponseMessage> {
    const { path, requestSerialize, responseDeserialize } = this.#method('Put')
    const answered = Promise.withResolvers<object | undefined>()
    const stream = this.#client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.#metadata,
      this.#options(),
      (error, response) => (error === null ? answered.resolve(response) : answered.reject(error)),
    )
    // The answer says what went wrong; a stream that nobody listens to would end the process.
    stream.on('error', () => {})
    const release = onAbort(signal, () => stream.cancel())
    const header: Partial<PutHeaderMessage> = { ...named, payloadBytes: payload.length }
    try {
      stream.write({ header })
      // The node may answer before all was sent.
      await Promise.race([sendPieces(stream, payload), answered.promise])
      return (await answered.promise) as PutResponseMessage
    } catch (error) {
      throw asMembraneError(error, signal)
    } finally {
      release()
    }
  }

  /** The bytes of an entry, or of a part of it; null when it is not there. Throws CONTENT_MISMATCH when it breaks off. */
  async get(
    key: string,
    { span, signal }: { readonly span?: ByteSpan; readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly entry: EntryMessage; readonly payload: Uint8Array } | null> {
    const { path, requestSerialize, responseDeserialize } = this.#method('Get')
    const stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { key, ...span },
      this.#metadata,
      this.#options(),
    )
    const release = onAbort(signal, () => stream.cancel())
    try {
      return await gather(stream as AsyncIterable<GetResponseMessage>, span)
    } catch (error) {
      const known = asMembraneError(error, signal)
      if (known.code === 'NOT_FOUND') return null
      throw known
    } finally {
      release()
    }
  }

  close(): void {
    this.#client.close()
  }

  #method(name: string): Method {
    const method = this.#service[name]
    if (method === undefined) throw new Error(`Bug: the proto file has no ${name}`)
    return method
  }

  #options(): GrpcCallOptions {
    return { deadline: Date.now() + this.#deadlineMs }
  }

  #unary<Response extends object>(method: Method, request: object): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = method
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    this.#client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.#metadata,
      this.#options(),
      (error, response) => (error === null ? resolve(response as Response) : reject(asMembraneError(error))),
    )
    return promise
  }
}

/** Never ends when the call does before: nothing drains then. */
async function sendPieces(stream: ClientWritableStream<object>, payload: Uint8Array): Promise<void> {
  for (let offset = 0; offset < payload.length; offset += CHUNK_BYTES) {
    const data = payload.subarray(offset, offset + CHUNK_BYTES)
    if (!stream.write({ data, offset })) await new Promise((resolve) => stream.once('drain', resolve))
  }
  stream.end()
}

async function gather(messages: AsyncIterable<GetResponseMessage>, span: ByteSpan | undefined) {
  let entry: EntryMessage | null = null
  let payload = new Uint8Array(0)
  let filled = 0
  for await (const message of messages) {
    if (message.entry != null) {
      entry = message.entry
      payload = new Uint8Array(span === undefined ? entry.payloadBytes : span.end - span.start)
      continue
    }
    const { data } = message
    if (filled + data.length > payload.length) throw mismatch(payload.length, filled + data.length)
    payload.set(data, filled)
    filled += data.length
  }
  if (entry === null || filled < payload.length) throw mismatch(payload.length, filled)
  return { entry, payload }
}

function mismatch(expectedBytes: number, foundBytes: number): MembraneError {
  return new MembraneError('CONTENT_MISMATCH', `${expectedBytes} bytes were announced; ${foundBytes} came.`)
}

function channelCredentials(tls: GrpcClientTls | null): ReturnType<typeof credentials.createInsecure> {
  if (tls === null) return credentials.createInsecure()
  const { ca, identity } = tls
  const root = ca === null ? null : Buffer.from(ca)
  return identity === null
    ? credentials.createSsl(root)
    : credentials.createSsl(root, Buffer.from(identity.key), Buffer.from(identity.cert))
}

function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal?.aborted === true) act()
  signal?.addEventListener('abort', act, { once: true })
  return () => signal?.removeEventListener('abort', act)
}

/** Statuses of gRPC itself, where no node has said more. */
const STATUS_CODES: Readonly<Record<number, ErrorCode>> = {
  1: 'ABORTED',
  4: 'DEADLINE_EXCEEDED',
  8: 'LIMIT_REACHED',
  12: 'NOT_SUPPORTED',
  14: 'PEER_UNAVAILABLE',
  16: 'UNAUTHENTICATED',
}

function asMembraneError(error: unknown, signal?: AbortSignal): MembraneError {
  if (error instanceof MembraneError) return error
  if (signal?.aborted === true) return abortedError(signal)
  if (!isServiceError(error)) throw error
  const said = String(error.metadata.get(ERROR_METADATA.code)[0])
  const code = isErrorCode(said) ? said : (STATUS_CODES[error.code] ?? 'INTERNAL')
  const retryAfter = error.metadata.get(ERROR_METADATA.retryAfter)[0]
  const details = retryAfter === undefined ? {} : { retryAfterSeconds: Number(retryAfter) }
  return new MembraneError(code, error.details, { cause: error, details })
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'metadata' in error && error.metadata instanceof Metadata
}

function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text)
}
