/** Another node over HTTP, as a transfer needs it: over the connections that read bytes to where they belong. */
import { AnswerReceiver, type Answer, BytesAnswer } from '../api/blob-answers.ts'
import type { BlobHead } from '../api/blob-head.ts'
import { BlobPool } from '../api/blob-pool.ts'
import { type CallOptions, orNull, parseAnswer, pathOf } from '../api/client-control.ts'
import { Deadline } from '../api/client-deadline.ts'
import { errorOfAnswer } from '../api/client-errors.ts'
import { checkClientOptions, type CheckedOptions, type ClientOptions } from '../api/client-options.ts'
import { withRetries } from '../api/client-retry.ts'
import { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import { writeHex } from '../core/hex.ts'
import { parseContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { InventoryPeer } from '../transfer/delta-sync.ts'
import type { SenderLease } from '../transfer/receive-ports.ts'
import type { InventoryName, TransferDescription } from './transfer-operations.ts'

const INVENTORY = z.object({ secret: z.string().regex(/^[0-9a-f]{64}$/), entries: z.number().int().min(0) })
const LEASE_SECONDS = 60

/** A request, without what all requests have. */
export interface PeerRequest {
  readonly method: 'GET' | 'POST'
  /** Encoded, beginning with a slash. */
  readonly path: string
  readonly body?: Uint8Array
  readonly mediaType?: string
}

/** Calls throw the other node's errors, PEER_UNAVAILABLE, DEADLINE_EXCEEDED and ABORTED; they are tried again. */
export class HttpPeer implements InventoryPeer, SenderLease {
  readonly leaseSeconds = LEASE_SECONDS
  readonly #options: CheckedOptions
  readonly #pool: BlobPool

  /** As many connections as are used at once. Throws INVALID_CONFIG. */
  constructor(options: Omit<ClientOptions, 'hashers'>) {
    this.#options = checkClientOptions({ ...options, hashers: null })
    this.#pool = new BlobPool(this.#options.origin, this.#options.limits.connectionsMax)
  }

  /** How it is called: `http://host:port`. */
  get url(): string {
    return this.#options.url
  }

  /** What a comparison begins with. */
  async inventory(options: CallOptions = {}): Promise<InventoryName> {
    const { bytes } = await this.#call({ method: 'GET', path: '/v1/transfer/inventory' }, options)
    const named = parseAnswer(INVENTORY, new TextDecoder().decode(bytes), 'an inventory')
    const secret = new Uint8Array(32)
    writeHex(named.secret, secret, 0)
    return { secret, entries: named.entries }
  }

  compare(request: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    return this.#message('/v1/transfer/inventory', request, options)
  }

  entries(request: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    return this.#message('/v1/transfer/entries', request, options)
  }

  /** Null for what is not there. */
  async describe(key: string, options: CallOptions = {}): Promise<TransferDescription | null> {
    const path = `/v1/transfer/descriptions/${pathOf(key)}`
    const found = await orNull(this.#call({ method: 'GET', path }, options))
    if (found === null) return null
    const { headers } = found.head
    const expires = headers.get('membrane-expires-at-ms')
    const payloadBytes = Number(headers.get('membrane-payload-bytes'))
    if (!Number.isSafeInteger(payloadBytes) || payloadBytes < 0)
      throw new MembraneError('PEER_UNAVAILABLE', `${this.url} did not say how many bytes ${key} has.`)
    return {
      payloadBytes,
      contentHash: parseContentHash(headers.get('membrane-content-hash') ?? ''),
      expiresAtMs: expires === undefined ? null : Number(expires),
      head: found.bytes,
    }
  }

  async renew(keys: readonly string[], options: CallOptions): Promise<void> {
    if (keys.length === 0) return
    const body = new TextEncoder().encode(JSON.stringify({ keys, leaseMs: 1000 * LEASE_SECONDS }))
    await this.#call({ method: 'POST', path: '/v1/has', body, mediaType: 'application/json' }, options)
  }

  /** Once, without a deadline, and not tried again: for who watches it. */
  async exchange(
    { method, path, body, mediaType }: PeerRequest,
    answer: Answer,
    signal: AbortSignal,
  ): Promise<BlobHead> {
    const { basePath, headers: common } = this.#options
    const headers = {
      ...common,
      ...(body === undefined
        ? {}
        : { 'content-type': mediaType ?? 'application/octet-stream', 'content-length': String(body.length) }),
    }
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = `${method} ${basePath}${path} HTTP/1.1\r\n${lines.join('')}\r\n`
    const receiver = new AnswerReceiver(answer)
    const answered = await this.#pool.exchange({ head, body: body ?? null }, receiver, signal)
    const { errorText } = receiver
    if (errorText === null) return answered
    const retryAfter = answered.headers.get('retry-after') ?? null
    throw errorOfAnswer({ status: answered.status, body: errorText, retryAfter })
  }

  close(): void {
    this.#pool.close()
  }

  async #message(path: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    return (await this.#call({ method: 'POST', path, body }, options)).bytes
  }

  async #call(request: PeerRequest, { signal, timeoutMs }: CallOptions) {
    const { limits } = this.#options
    const deadline = new Deadline(timeoutMs ?? limits.timeoutMs, signal)
    const attempt = async () => {
      const answer = new SmallAnswer()
      const head = await this.exchange(request, answer, deadline.signal)
      return { head, bytes: answer.bytes }
    }
    try {
      return await withRetries(attempt, limits, { deadline, isIdempotent: true, random: Math.random })
    } finally {
      deadline.close()
    }
  }
}

/** All of an answer that is no payload. */
export class SmallAnswer implements Answer {
  readonly #answer = new BytesAnswer(undefined, () => undefined)

  get bytes(): Uint8Array {
    return this.#answer.bytes
  }

  begin(head: BlobHead): Uint8Array {
    if (head.bodyBytes <= LIMITS.transferAnswerBytesMax) return this.#answer.begin(head)
    throw new MembraneError(
      'LIMIT_REACHED',
      `An answer has at most ${LIMITS.transferAnswerBytesMax} bytes; this one has ${head.bodyBytes}.`,
    )
  }

  piece(): null {
    return null
  }
}
