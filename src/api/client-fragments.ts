/** Fragments over HTTP: bytes by our own reader, verified by their hash. */
import { decodeFrameStart, encodeFrameStart, FRAGMENT_TYPE } from './fragment-frame.ts'
import { MembraneError } from '../core/errors.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import { type ContentHash, contentHashAlgorithm } from '../core/ids.ts'
import type { ByteSpan } from '../core/ports.ts'
import { type Answer, AnswerReceiver, BytesAnswer, PiecesAnswer, TextAnswer } from './blob-answers.ts'
import { type BlobPayload, SentBody } from './blob-body.ts'
import type { BlobHead } from './blob-head.ts'
import type { BlobRequest } from './blob-connection.ts'
import type { BlobPool } from './blob-pool.ts'
import { type CallOptions, orNull, parseAnswer, pathOf } from './client-control.ts'
import { Deadline } from './client-deadline.ts'
import { errorOfAnswer } from './client-errors.ts'
import { type ClientHead, clientHeadOf, mismatch, rangeText } from './client-head.ts'
import type { CheckedOptions } from './client-options.ts'
import { delayBeforeNext, withRetries } from './client-retry.ts'
import { PUT_RESULT, type PutResult } from './client-shapes.ts'

/** Bytes to keep. */
export interface ClientPut extends CallOptions {
  /** A fragment key; by default the one that the bytes have by themselves. `keyOfName` makes one of a name. */
  readonly key?: string
  /** Pieces need `payloadBytes`. */
  readonly payload: BlobPayload
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

/** A fragment with its bytes, or with those of a span. */
export interface ClientFragment extends ClientHead {
  readonly payload: Uint8Array
  /** Null unless it was asked for. */
  readonly description: FragmentDescription | null
}

/** A fragment whose bytes come piece by piece. */
export interface ClientStream extends ClientHead {
  /**
   * To be read once. A piece's memory is only good until the next one is asked for. Ends with CONTENT_MISMATCH when
   * all were read and their hash is another one; goes on where it was when the connection breaks.
   */
  readonly pieces: AsyncIterable<Uint8Array>
}

/** Which bytes to read, and where to. */
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
      const sent = new SentBody(payload, frame, payloadBytes, hashers?.b3.start() ?? null)
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
      const found = await orNull(this.#exchange({ head, body: null }, answer, deadline))
      return found === null ? null : this.#fragmentOf({ key, span, wantsDescription }, found, answer.bytes)
    })
  }

  async stream(key: string, options: Pick<ClientGet, 'span' | keyof CallOptions> = {}): Promise<ClientStream | null> {
    const { span } = options
    if (span !== undefined && span.start === span.end) {
      const found = await this.#getNothing(key, options)
      return found === null ? null : { ...found, pieces: NO_PIECES }
    }
    const deadline = this.#deadline(options)
    try {
      const opened = await this.#openStream({ key, span, etag: null }, deadline)
      if (opened !== null) return { ...opened.head, pieces: this.#pieces(opened, span, deadline) }
    } catch (error) {
      deadline.cancel()
      throw error
    }
    deadline.close()
    return null
  }

  async #openStream(
    {
      key,
      span,
      etag,
    }: { readonly key: string; readonly span: ByteSpan | undefined; readonly etag: ContentHash | null },
    deadline: Deadline,
  ): Promise<OpenedStream | null> {
    const head = this.#requestHead('GET', `/v1/fragments/${pathOf(key)}`, {
      ...(span === undefined ? {} : { range: rangeText(span) }),
      ...(etag === null ? {} : { 'if-match': `"${etag}"` }),
    })
    const open = async (): Promise<OpenedStream> => {
      const { promise, resolve, reject } = Promise.withResolvers<BlobHead>()
      const answer = new PiecesAnswer(resolve)
      this.#exchange({ head, body: null }, answer, deadline).then(
        () => answer.pieces.end(null),
        (error: unknown) => {
          reject(error)
          answer.pieces.end(error)
        },
      )
      const begun = await promise
      this.#extend(deadline, begun.bodyBytes)
      const known = clientHeadOf(key, begun, begun.bodyBytes)
      const start = span?.start ?? 0
      checkLength(known, { start, end: span?.end ?? known.payloadBytes }, begun.bodyBytes)
      return { head: known, start, end: start + begun.bodyBytes, pieces: answer.pieces }
    }
    return orNull(withRetries(open, this.#options.limits, { deadline, isIdempotent: true, random: Math.random }))
  }

  async *#pieces(first: OpenedStream, span: ByteSpan | undefined, deadline: Deadline): AsyncGenerator<Uint8Array> {
    const { key, contentHash } = first.head
    const running =
      span === undefined ? (this.#options.hashers?.[contentHashAlgorithm(contentHash)].start() ?? null) : null
    let [at, tries] = [first.start, 0]
    let opened = first
    try {
      for (;;) {
        try {
          for await (const piece of opened.pieces) {
            at += piece.length
            tries = 0
            running?.update(piece)
            yield piece
          }
          break
        } catch (error) {
          tries += 1
          const call = { isIdempotent: true, random: Math.random }
          const delayMs =
            error instanceof MembraneError ? delayBeforeNext(error, tries, this.#options.limits, call) : null
          if (delayMs === null || delayMs >= deadline.leftMs) throw error
          await deadline.wait(delayMs)
          if (at === first.end) break
          const next = await this.#openStream({ key, span: { start: at, end: first.end }, etag: contentHash }, deadline)
          if (next === null) throw mismatch(key, 'it was removed meanwhile')
          opened = next
        }
      }
      const found = running?.contentHash() ?? contentHash
      if (found !== contentHash) throw mismatch(key, `its bytes have the hash ${found}, not ${contentHash}`)
    } finally {
      // Whoever stops early leaves a connection with bytes that nobody reads.
      deadline.cancel()
    }
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

const NO_PIECES: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: async function* () {} }

interface OpenedStream {
  readonly head: ClientHead
  readonly start: number
  readonly end: number
  readonly pieces: AsyncIterable<Uint8Array>
}

function checkLength({ key, payloadBytes }: ClientHead, { start, end }: ByteSpan, foundBytes: number): void {
  if (foundBytes === Math.min(end, payloadBytes) - start) return
  throw mismatch(key, `${foundBytes} bytes came for the span ${start}-${end} of ${payloadBytes}`)
}
