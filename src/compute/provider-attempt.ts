/**
 * One attempt at a request: what a provider's SDK is given as `fetch`. It is the one place where bytes go out and come
 * in, so that keys, time limits, sizes and cancelling are alike for all SDKs, and none of them sees a key or a failure
 * first. Node's own `fetch` would give up a prefill of five minutes, and would follow a redirect with the key.
 *
 *     SDK ── fetch ──▶ ProviderAttempt ── node:http(s) ──▶ service
 *      ▲                    │ fail(): once, by whoever is first: the wire, a timer, the caller
 *      └── rejects ─────────┘
 */
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { assert } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { onAbort } from './provider-abort.ts'
import { FaultError, type ProviderFault } from './provider-fault.ts'
import type { AnswerHeaders } from './provider-headers.ts'
import { type LineCheck, wholeLines } from './provider-lines.ts'
import type { ProviderSettings } from './provider-options.ts'

/** What SDKs set and services read. What else an SDK sends, from variables of its own or about this machine, stays here. */
const SDK_HEADERS = ['accept', 'content-type', 'user-agent', 'anthropic-version', 'anthropic-beta']
/** What remains of an answer after its last event is a few bytes; a connection that takes longer to end is not kept. */
const LEFTOVER_MS_MAX = 1000

export interface AttemptSetup {
  readonly settings: ProviderSettings
  /** Any of them cancels. */
  readonly signals: readonly AbortSignal[]
  /** The headers that hold the key. */
  readonly keyHeaders: Readonly<Record<string, string>>
  /** Of answers in lines of JSON; null for others. */
  readonly checkLine: LineCheck | null
}

export class ProviderAttempt {
  readonly #setup: AttemptSetup
  readonly #rejections = new Set<(error: FaultError) => void>()
  readonly #cancels: (() => void)[]
  #fault: ProviderFault | null = null
  #request: ClientRequest | null = null
  #message: IncomingMessage | null = null
  /** What the wire said first after the answer began. It counts when the answer has been read up to there. */
  #wireError: NodeJS.ErrnoException | null = null

  constructor(setup: AttemptSetup) {
    this.#setup = setup
    const { timeoutMs, timers } = setup.settings
    this.#cancels = [
      timers.after(timeoutMs, () => this.fail({ kind: 'timeout', awaited: 'answer', waitedMs: timeoutMs })),
      onAbort(setup.signals, () => this.fail({ kind: 'aborted', said: '' })),
    ]
  }

  get status(): number | null {
    return this.#message?.statusCode ?? null
  }

  get headers(): AnswerHeaders {
    const entries = Object.entries(this.#message?.headers ?? {})
    return Object.fromEntries(
      entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
    )
  }

  /** The first fault counts. Ends the connection, and all that waits here. */
  fail(fault: ProviderFault): void {
    if (this.#fault !== null) return
    this.#fault = fault
    this.#request?.destroy()
    for (const reject of this.#rejections) reject(new FaultError(fault))
  }

  /** Waits for an SDK, and no longer than for the first fault. Throws FaultError, or what the SDK threw. */
  async wait<T>(work: Promise<T>): Promise<T> {
    let reject: (error: FaultError) => void = () => undefined
    const failed = new Promise<never>((_, rejectIt) => {
      reject = rejectIt
    })
    this.#rejections.add(reject)
    // Nobody waits for it after a fault, and its own failure is known then.
    work.catch(() => undefined)
    try {
      this.#throwFault()
      const value = await Promise.race([work, failed])
      this.#throwFault()
      return value
    } catch (error) {
      // SDKs wrap what went wrong on the wire, or take it for the end.
      this.#throwFault()
      throw error
    } finally {
      this.#rejections.delete(reject)
    }
  }

  /** The events of an SDK's stream, each within the longest silence. */
  async *events<T>(opening: Promise<AsyncIterable<T>>): AsyncGenerator<T> {
    const { silenceMsMax, timers } = this.#setup.settings
    const iterator = (await this.wait(opening))[Symbol.asyncIterator]()
    const onSilence = (): void => this.fail({ kind: 'timeout', awaited: 'next event', waitedMs: silenceMsMax })
    let cancel = (): void => undefined
    try {
      for (;;) {
        const next = await this.wait(iterator.next())
        cancel()
        if (next.done === true) return
        yield next.value
        cancel = timers.after(silenceMsMax, onSilence)
      }
    } finally {
      cancel()
      // Of an SDK that waits for bytes this ends when the connection does; nobody waits for that.
      iterator.return?.().catch(() => undefined)
    }
  }

  /** No more of it is wanted. After a whole answer the connection is kept for the next request. */
  end(isWhole: boolean): void {
    for (const cancel of this.#cancels) cancel()
    const request = this.#request
    const message = this.#message
    if (isWhole && this.#fault === null && request !== null && message !== null) {
      if (!message.readableEnded) {
        const cancel = this.#setup.settings.timers.after(LEFTOVER_MS_MAX, () => request.destroy())
        message.once('close', cancel)
        // An SDK that stopped reading may still listen, and would hold the rest back.
        message.removeAllListeners('readable').resume()
      }
    } else request?.destroy()
  }

  /** For an SDK: it always sends a POST with a text. */
  readonly fetch: typeof fetch = async (input, init) => {
    const body = init?.body
    assert(typeof body === 'string', 'An SDK sent a body that is no text.')
    const url = new URL(input instanceof Request ? input.url : input)
    const sent = new Headers(init?.headers)
    const chosen = SDK_HEADERS.flatMap((name) => {
      const value = sent.get(name)
      return value === null ? [] : [[name, value] as const]
    })
    const { settings, keyHeaders } = this.#setup
    const message = await this.wait(
      this.#send(url, { ...Object.fromEntries(chosen), ...keyHeaders, ...settings.headers }, body),
    )
    return this.wait(this.#answer(message))
  }

  #send(url: URL, headers: Readonly<Record<string, string>>, body: string): Promise<IncomingMessage> {
    return new Promise((resolve) => {
      const framing = { 'accept-encoding': 'identity', 'content-length': String(Buffer.byteLength(body)) }
      const options = { method: 'POST', headers: { ...headers, ...framing } }
      const request = url.protocol === 'https:' ? requestHttps(url, options) : requestHttp(url, options)
      this.#request = request
      request.on('error', (error: NodeJS.ErrnoException) => {
        if (this.#message === null) this.fail(wireFault(error, 'unreachable'))
        else this.#wireError ??= error
      })
      request.on('response', (message) => {
        this.#message = message
        message.on('error', (error: NodeJS.ErrnoException) => {
          this.#wireError ??= error
        })
        resolve(message)
      })
      request.end(body)
    })
  }

  async #answer(message: IncomingMessage): Promise<Response> {
    const { statusCode: status = 0 } = message
    const encoding = message.headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity') this.#refuse(`it is encoded as ${encoding}, which nobody asked for`)
    if (status < 200 || status > 299) {
      const text = await refusalText(message)
      const { type, said } = readRefusal(text)
      this.fail({ kind: 'status', status, headers: this.headers, type, said })
      this.#throwFault()
    }
    if (status === 204 || status === 205) this.#refuse(`its status ${status} says that it has no content`)
    return new Response(ReadableStream.from(this.#pieces(message)), { status, headers: this.headers })
  }

  async *#pieces(message: IncomingMessage): AsyncGenerator<Uint8Array> {
    const { checkLine } = this.#setup
    const counted = this.#counted(message)
    try {
      yield* checkLine === null ? counted : wholeLines(counted, checkLine)
    } catch (error) {
      const { fault } =
        error instanceof FaultError ? error : { fault: wireFault(this.#wireError ?? asError(error), 'cut') }
      this.fail(fault)
      throw error
    }
  }

  async *#counted(message: IncomingMessage): AsyncGenerator<Uint8Array> {
    let bytes = 0
    // What an SDK leaves unread is seen to by `end`.
    for await (const piece of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      bytes += piece.length
      if (bytes > LIMITS.providerAnswerBytesMax) {
        throw new FaultError({ kind: 'malformed', said: `it is longer than ${LIMITS.providerAnswerBytesMax} bytes` })
      }
      yield piece
    }
  }

  #refuse(said: string): void {
    this.fail({ kind: 'malformed', said })
    this.#throwFault()
  }

  #throwFault(): void {
    if (this.#fault !== null) throw new FaultError(this.#fault)
  }
}

/** Its beginning, as far as it comes. */
async function refusalText(message: IncomingMessage): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const piece of message as AsyncIterable<Uint8Array>) {
      pieces.push(piece)
      bytes += piece.length
      if (bytes >= LIMITS.providerRefusalBytesMax) break
    }
  } catch {
    // The status says enough.
  }
  return Buffer.concat(pieces).subarray(0, LIMITS.providerRefusalBytesMax).toString()
}

/** `{"error": {"message", "type", "code"}}`, `{"error": "…"}`, `{"message"}`, or any text. */
function readRefusal(text: string): { readonly type: string | null; readonly said: string } {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return { type: null, said: text.trim() }
  }
  const error = field(body, 'error') ?? body
  const message = typeof error === 'string' ? error : (field(error, 'message') ?? text)
  // OpenAI says in `code` what its `type` says only roughly.
  const type = [field(error, 'code'), field(error, 'type')].find((name) => typeof name === 'string')
  return { type: typeof type === 'string' ? type : null, said: typeof message === 'string' ? message : text }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function wireFault(error: NodeJS.ErrnoException, kind: 'unreachable' | 'cut'): ProviderFault {
  const said = error.code === undefined ? error.message : `${error.code}, ${error.message}`
  // Bytes that are no HTTP.
  return { kind: error.code?.startsWith('HPE_') === true ? 'malformed' : kind, said }
}

function asError(error: unknown): NodeJS.ErrnoException {
  return error instanceof Error ? error : new Error(String(error))
}
