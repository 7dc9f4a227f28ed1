/** Fragments over HTTP: bytes by our own reader, verified by their hash. */
import { FRAGMENT_TYPE, decodeFrameStart, encodeFrameStart } from './fragment-frame.ts'
import { MembraneError } from '../core/errors.ts'
import { parseFragmentKey } from '../core/fragment-key.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import { type ContentHash, contentHashAlgorithm, parseContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan } from '../core/ports.ts'
import type { BlobHead } from './blob-head.ts'
import type { BlobReceiver, BlobRequest } from './blob-connection.ts'
import type { BlobPool } from './blob-pool.ts'
import { type CallOptions, parseAnswer, pathOf } from './client-control.ts'
import { Deadline } from './client-deadline.ts'
import { errorOfAnswer } from './client-errors.ts'
import type { CheckedOptions } from './client-options.ts'
import { withRetries } from './client-retry.ts'
import { PUT_RESULT, type PutResult } from './client-shapes.ts'

/** Bytes to keep. */
export interface ClientPut extends CallOptions {
  /** A fragment key; by default the one that the bytes have by themselves. `keyOfName` makes one of a name. */
  readonly key?: string
  /** In one piece, or a function that gives the pieces anew for each try; then `payloadBytes` is needed. */
  readonly payload: Uint8Array | (() => AsyncIterable<Uint8Array>)
  readonly payloadBytes?: number
  /** The server refuses bytes that do not have it. By default it is computed from a payload in one piece. */
  readonly contentHash?: ContentHash
  /** What the bytes are, where they are not plain ones. */
  readonly description?: FragmentDescription
  /** Of plain bytes; `application/octet-stream` when nothing is said. */
  readonly mediaType?: string
  /** Gone after so long. */
  readonly ttlMs?: number
  /** Never evicted. */
  readonly isPinned?: boolean
  /** Lower leaves first. */
  readonly priority?: 'low' | 'normal' | 'high'
}

/** What is known of a fragment beside its bytes. */
export interface ClientHead {
  readonly key: string
  readonly contentHash: ContentHash
  /** Of all of it. */
  readonly payloadBytes: number
  readonly mediaType: string
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number | null
}

/** A fragment with its bytes, or with those of a span. */
export interface ClientFragment extends ClientHead {
  readonly payload: Uint8Array
  /** Null unless it was asked for. */
  readonly description: FragmentDescription | null
}

export interface ClientGet extends CallOptions {
  /** Read to the beginning of this memory; without it, the memory is new. */
  readonly into?: Uint8Array
  /** Only these bytes, which cannot be compared with a hash here: the server has verified them. */
  readonly span?: ByteSpan
  /** The description too; neither with `into` nor with `span`. */
  readonly wantsDescription?: boolean
}

/** See the top of this file. */
export class FragmentCalls {
  readonly #options: CheckedOptions
  readonly #pool: BlobPool

  constructor(options: CheckedOptions, pool: BlobPool) {
    this.#options = options
    this.#pool = pool
  }

  async put(put: ClientPut): Promise<PutResult> {
    const { limits, hashers } = this.#options
    const { payload, description, mediaType = 'application/octet-stream' } = put
    const payloadBytes = payload instanceof Uint8Array ? payload.length : put.payloadBytes
    if (payloadBytes === undefined)
      throw new MembraneError('INVALID_REQUEST', 'A payload in pieces needs its length beforehand.')
    if (!/^[\x21-\x7e][\x20-\x7e]*$/.test(mediaType))
      throw new MembraneError('INVALID_REQUEST', `A media type is printable ASCII, found ${JSON.stringify(mediaType)}.`)
    const contentHash =
      put.contentHash ?? (payload instanceof Uint8Array && hashers !== null ? hashers.b3.hash(payload) : undefined)
    const frame = description === undefined ? null : encodeFrameStart(description)
    const head = this.#requestHead(
      put.key === undefined ? 'POST' : 'PUT',
      put.key === undefined ? '/v1/fragments' : `/v1/fragments/${pathOf(put.key)}`,
      {
        'content-type': frame === null ? mediaType : FRAGMENT_TYPE,
        'content-length': String((frame?.length ?? 0) + payloadBytes),
        ...(contentHash === undefined ? {} : { 'membrane-content-hash': contentHash }),
        ...(put.ttlMs === undefined ? {} : { 'membrane-ttl-ms': String(put.ttlMs) }),
        ...(put.isPinned === undefined ? {} : { 'membrane-pin': String(put.isPinned) }),
        ...(put.priority === undefined ? {} : { 'membrane-priority': put.priority }),
      },
    )
    const deadline = this.#deadline(put)
    deadline.extend((payloadBytes / limits.bytesPerSecondMin) * 1000)
    return this.#retried(deadline, async () => {
      const sent = new SentPieces(payload, frame, payloadBytes, hashers?.b3.start() ?? null)
      const answer = new TextAnswer()
      await this.#exchange({ head, body: sent.body }, answer, deadline)
      const result = parseAnswer(PUT_RESULT, answer.text, 'a put')
      sent.check(result.contentHash)
      return result
    })
  }

  async get(key: string, options: ClientGet = {}): Promise<ClientFragment | null> {
    const { into, span, wantsDescription = false } = options
    if (wantsDescription && (into !== undefined || span !== undefined))
      throw new MembraneError('INVALID_REQUEST', 'A description comes with all of a fragment, in memory of its own.')
    const deadline = this.#deadline(options)
    const head = this.#requestHead('GET', `/v1/fragments/${pathOf(key)}`, {
      ...(span === undefined ? {} : { range: rangeText(span) }),
      ...(wantsDescription ? { accept: FRAGMENT_TYPE } : {}),
    })
    if (span !== undefined && span.start === span.end) return this.#getNothing(key, options)
    return this.#retried(deadline, async () => {
      const answer = new BytesAnswer(into, (bytes) => this.#extend(deadline, bytes))
      const found = await this.#exchangeOrNull({ head, body: null }, answer, deadline)
      return found === null ? null : this.#fragmentOf({ key, span, wantsDescription }, found, answer.bytes)
    })
  }

  async #getNothing(key: string, options: ClientGet): Promise<ClientFragment | null> {
    const { span: _, ...rest } = options
    const found = await this.get(key, { ...rest, span: { start: 0, end: 1 } })
    return found === null ? null : { ...found, payload: found.payload.subarray(0, 0) }
  }

  #fragmentOf(
    { key, span, wantsDescription }: { key: string; span: ByteSpan | undefined; wantsDescription: boolean },
    head: BlobHead,
    body: Uint8Array,
  ): ClientFragment {
    const { description, payloadStart } = wantsDescription
      ? decodeFrameStart(body)
      : { description: null, payloadStart: 0 }
    const payload = body.subarray(payloadStart)
    const known = clientHeadOf(key, head, payload.length)
    const isWhole = span === undefined
    if (!isWhole && payload.length !== Math.min(span.end, known.payloadBytes) - span.start)
      throw mismatch(
        key,
        `${payload.length} bytes came for the span ${span.start}-${span.end} of ${known.payloadBytes}`,
      )
    if (isWhole && this.#options.hashers !== null) {
      const found = this.#options.hashers[contentHashAlgorithm(known.contentHash)].hash(payload)
      if (found !== known.contentHash) throw mismatch(key, `its bytes have the hash ${found}, not ${known.contentHash}`)
    }
    return { ...known, payload, description }
  }

  #extend(deadline: Deadline, bytes: number): void {
    deadline.extend((bytes / this.#options.limits.bytesPerSecondMin) * 1000)
  }

  #deadline({ timeoutMs, signal }: CallOptions): Deadline {
    return new Deadline(timeoutMs ?? this.#options.limits.timeoutMs, signal)
  }

  async #retried<T>(deadline: Deadline, attempt: () => Promise<T>): Promise<T> {
    try {
      return await withRetries(attempt, this.#options.limits, { deadline, isIdempotent: true, random: Math.random })
    } finally {
      deadline.close()
    }
  }

  async #exchangeOrNull(request: BlobRequest, answer: Answer, deadline: Deadline): Promise<BlobHead | null> {
    try {
      return await this.#exchange(request, answer, deadline)
    } catch (error) {
      if (error instanceof MembraneError && error.code === 'NOT_FOUND') return null
      throw error
    }
  }

  /** Throws the server's error. */
  async #exchange(request: BlobRequest, answer: Answer, { signal }: Deadline): Promise<BlobHead> {
    const receiver = new AnswerReceiver(answer)
    const head = await this.#pool.exchange(request, receiver, signal)
    if (receiver.errorText !== null)
      throw errorOfAnswer({
        status: head.status,
        body: receiver.errorText,
        retryAfter: head.headers.get('retry-after') ?? null,
      })
    return head
  }

  #requestHead(method: string, path: string, headers: Readonly<Record<string, string>>): string {
    const { basePath, headers: common } = this.#options
    const lines = Object.entries({ ...common, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    return `${method} ${basePath}${path} HTTP/1.1\r\n${lines.join('')}\r\n`
  }
}

/** What takes the body of an answer that is no error. */
interface Answer {
  /** Memory for all of it, or null to be given pieces. */
  begin(head: BlobHead): Uint8Array | null
  piece(bytes: Uint8Array): Promise<void> | null
}

/** Tells errors from answers: their bodies go elsewhere. */
class AnswerReceiver implements BlobReceiver {
  readonly #answer: Answer
  #error: TextAnswer | null = null

  constructor(answer: Answer) {
    this.#answer = answer
  }

  get errorText(): string | null {
    return this.#error?.text ?? null
  }

  begin(head: BlobHead): Uint8Array | null {
    if (head.status < 300) return this.#answer.begin(head)
    this.#error = new TextAnswer()
    return this.#error.begin(head)
  }

  piece(bytes: Uint8Array): Promise<void> | null {
    return this.#answer.piece(bytes)
  }
}

/** A short text, such as JSON. */
class TextAnswer implements Answer {
  #bytes: Uint8Array = new Uint8Array(0)

  get text(): string {
    return new TextDecoder().decode(this.#bytes)
  }

  begin({ status, bodyBytes }: BlobHead): Uint8Array {
    if (bodyBytes > LIMITS.responseErrorBytesMax)
      throw errorOfAnswer({ status: status < 300 ? 502 : status, body: '', retryAfter: null })
    this.#bytes = new Uint8Array(bodyBytes)
    return this.#bytes
  }

  piece(): null {
    return null
  }
}

/** Bytes in one memory, the caller's or a new one. */
class BytesAnswer implements Answer {
  readonly #into: Uint8Array | undefined
  readonly #onLength: (bytes: number) => void
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(into: Uint8Array | undefined, onLength: (bytes: number) => void) {
    this.#into = into
    this.#onLength = onLength
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  begin({ bodyBytes }: BlobHead): Uint8Array {
    if (bodyBytes > LIMITS.payloadBytesMax + LIMITS.storeHeadBytesMax)
      throw new MembraneError('LIMIT_REACHED', `A body of ${bodyBytes} bytes is more than a fragment has.`)
    if (this.#into !== undefined && this.#into.length < bodyBytes)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The memory has ${this.#into.length} bytes, the answer ${bodyBytes}.`,
        {
          details: { neededBytes: bodyBytes },
        },
      )
    this.#onLength(bodyBytes)
    // Not from the pool of small buffers: the caller may keep it.
    this.#bytes = this.#into?.subarray(0, bodyBytes) ?? Buffer.allocUnsafeSlow(bodyBytes)
    return this.#bytes
  }

  piece(): null {
    return null
  }
}

type RunningHash = { update(piece: Uint8Array): void; contentHash(): ContentHash }

/** A body on its way out: what comes before the payload, the payload, and a check that all of it was sent. */
class SentPieces {
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
  readonly #running: RunningHash | null

  constructor(
    payload: ClientPut['payload'],
    frame: Uint8Array | null,
    payloadBytes: number,
    running: RunningHash | null,
  ) {
    if (payload instanceof Uint8Array) {
      this.#running = null
      this.body = frame === null ? payload : inOrder([frame, payload])
    } else {
      this.#running = running
      this.body = this.#pieces(payload(), frame, payloadBytes)
    }
  }

  /** Throws CONTENT_MISMATCH when the server has other bytes than were sent. */
  check(stored: string): void {
    const sent = this.#running?.contentHash() ?? null
    if (sent !== null && contentHashAlgorithm(parseContentHash(stored)) === 'b3' && sent !== stored)
      throw new MembraneError('CONTENT_MISMATCH', `The server stored bytes with the hash ${stored}; sent was ${sent}.`)
  }

  async *#pieces(pieces: AsyncIterable<Uint8Array>, frame: Uint8Array | null, payloadBytes: number) {
    if (frame !== null) yield frame
    let bytes = 0
    for await (const piece of pieces) {
      bytes += piece.length
      if (bytes > payloadBytes) break
      this.#running?.update(piece)
      yield piece
    }
    if (bytes !== payloadBytes)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The pieces have ${bytes} bytes or more, ${payloadBytes} were announced.`,
      )
  }
}

async function* inOrder(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces
}

/** Throws PEER_UNAVAILABLE, and CONTENT_MISMATCH for other bytes than a key names. */
function clientHeadOf(key: string, { headers, status }: BlobHead, payloadBytes: number): ClientHead {
  const text = headers.get('membrane-content-hash')
  if (text === undefined)
    throw new MembraneError('PEER_UNAVAILABLE', 'The server does not say what its bytes are.', {
      remedy: 'Check that the URL is that of a Membrane server.',
      details: { isRetryable: false },
    })
  const contentHash = parseContentHash(text)
  const name = parseFragmentKey(key)
  if (!('block' in name) && typeof name.name === 'string' && name.name !== contentHash)
    throw mismatch(key, `the server says that its bytes have the hash ${contentHash}`)
  const total = /\/(\d{1,15})$/.exec(headers.get('content-range') ?? '')?.[1]
  const expires = headers.get('membrane-expires-at-ms')
  return {
    key,
    contentHash,
    payloadBytes: status === 206 && total !== undefined ? Number(total) : payloadBytes,
    mediaType: headers.get('content-type') ?? 'application/octet-stream',
    expiresAtMs: expires === undefined ? null : Number(expires),
  }
}

function rangeText({ start, end }: ByteSpan): string {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start)
    throw new MembraneError('INVALID_REQUEST', `A span is [start, end) in bytes, found ${start}-${end}.`)
  return `bytes=${start}-${Math.max(start, end - 1)}`
}

function mismatch(key: string, found: string): MembraneError {
  return new MembraneError('CONTENT_MISMATCH', `${JSON.stringify(key)} was not read as it was stored: ${found}.`, {
    details: { key },
  })
}
