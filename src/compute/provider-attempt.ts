/**
 * One attempt at a request: what a provider's SDK is given as `fetch`. It is the one place where bytes go out and come
 * in, so that keys, time limits, sizes and cancelling are alike for all SDKs, and none of them sees a key or a failure
 * first. Node's own `fetch` would give up a prefill of five minutes, and would follow a redirect with the key.
 *
 *     SDK ── fetch ──▶ ProviderAttempt ── node:http(s) ──▶ service
 *      ▲                    │ fail(): once, by whoever is first: the wire, a timer, the caller
 *      └── rejects ─────────┘
 */
import type { IncomingMessage } from 'node:http'
import { assert } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { onAbort } from './provider-abort.ts'
import { FaultError, malformed, type ProviderFault } from './provider-fault.ts'
import type { AnswerHeaders } from './provider-headers.ts'
import { type LineCheck, wholeLines } from './provider-lines.ts'
import type { ProviderSettings } from './provider-options.ts'
import { ProviderWire } from './provider-wire.ts'

/** What SDKs set and services read. What else an SDK sends, from variables of its own or about this machine, stays here. */
const SDK_HEADERS = ['accept', 'content-type', 'user-agent', 'anthropic-version', 'anthropic-beta']
/** A refusal is short; one that does not end is not waited for. */
const REFUSAL_MS_MAX = 10_000

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
  readonly #wire: ProviderWire
  #fault: ProviderFault | null = null

  constructor(setup: AttemptSetup) {
    this.#setup = setup
    const { timeoutMs, alarm } = setup.settings
    this.#wire = new ProviderWire(alarm)
    this.#cancels = [
      alarm.after(timeoutMs / 1000, () => this.fail({ kind: 'timeout', awaited: 'answer', waitedMs: timeoutMs })),
      onAbort(setup.signals, () => this.fail({ kind: 'aborted', said: '' })),
    ]
  }

  /** Of the answer; null when none began. */
  get status(): number | null {
    return this.#wire.status
  }

  get headers(): AnswerHeaders {
    return this.#wire.headers
  }

  /** The first fault counts. Ends the connection, and all that waits here. */
  fail(fault: ProviderFault): void {
    if (this.#fault !== null) return
    this.#fault = fault
    this.#wire.destroy()
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
    const { silenceMsMax, alarm } = this.#setup.settings
    const iterator = (await this.wait(opening))[Symbol.asyncIterator]()
    const onSilence = (): void => this.fail({ kind: 'timeout', awaited: 'next event', waitedMs: silenceMsMax })
    let cancel = (): void => undefined
    try {
      for (;;) {
        const next = await this.wait(iterator.next())
        cancel()
        if (next.done === true) return
        yield next.value
        cancel = alarm.after(silenceMsMax / 1000, onSilence)
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
    if (isWhole && this.#fault === null) this.#wire.release()
    else this.#wire.destroy()
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
    const all = { ...Object.fromEntries(chosen), ...keyHeaders, ...settings.headers }
    return this.wait(this.#exchange(url, all, body))
  }

  async #exchange(url: URL, headers: Readonly<Record<string, string>>, body: string): Promise<Response> {
    try {
      return await this.#answer(await this.#wire.send({ url, headers, body }))
    } catch (error) {
      if (error instanceof FaultError) this.fail(error.fault)
      throw error
    }
  }

  async #answer(message: IncomingMessage): Promise<Response> {
    const { statusCode: status = 0 } = message
    const encoding = message.headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity') malformed(`it is encoded as ${encoding}, which nobody asked for`)
    if (status < 200 || status > 299) {
      const refusal = readRefusal(await this.#refusalText(message))
      throw new FaultError({ kind: 'status', status, headers: this.headers, ...refusal })
    }
    if (status === 204 || status === 205) malformed(`its status ${status} says that it has no content`)
    return new Response(ReadableStream.from(this.#checked()), { status, headers: this.headers })
  }

  async *#checked(): AsyncGenerator<Uint8Array> {
    const { checkLine } = this.#setup
    const counted = this.#counted()
    try {
      yield* checkLine === null ? counted : wholeLines(counted, checkLine)
    } catch (error) {
      if (error instanceof FaultError) this.fail(error.fault)
      throw error
    }
  }

  async *#counted(): AsyncGenerator<Uint8Array> {
    let bytes = 0
    for await (const piece of this.#wire.pieces()) {
      bytes += piece.length
      if (bytes > LIMITS.providerAnswerBytesMax) {
        malformed(`it is longer than ${LIMITS.providerAnswerBytesMax} bytes`)
      }
      yield piece
    }
  }

  /** Its beginning, as far as it comes. */
  async #refusalText(message: IncomingMessage): Promise<string> {
    const pieces: Uint8Array[] = []
    let bytes = 0
    const cancel = this.#setup.settings.alarm.after(REFUSAL_MS_MAX / 1000, () => message.destroy())
    try {
      for await (const piece of this.#wire.pieces()) {
        pieces.push(piece)
        bytes += piece.length
        if (bytes >= LIMITS.providerRefusalBytesMax) break
      }
    } catch {
      // The status says enough.
    } finally {
      cancel()
    }
    return Buffer.concat(pieces).subarray(0, LIMITS.providerRefusalBytesMax).toString()
  }

  #throwFault(): void {
    if (this.#fault !== null) throw new FaultError(this.#fault)
  }
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
