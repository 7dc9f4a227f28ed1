/** Connections to one server, kept for a while after their use: at most so many, and who needs one more waits. */
import type { BlobHead } from './blob-head.ts'
import { abortedBy, BlobConnection, type BlobOrigin, type BlobReceiver, type BlobRequest } from './blob-connection.ts'

/** Less than servers keep idle connections, so that few requests meet one that is just being closed. */
const IDLE_MS = 20_000

interface IdleConnection {
  readonly connection: BlobConnection
  readonly timer: NodeJS.Timeout
}

export class BlobPool {
  readonly #origin: BlobOrigin
  readonly #connectionsMax: number
  /** The last used comes first: the others go idle and close. */
  readonly #idle: IdleConnection[] = []
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(origin: BlobOrigin, connectionsMax: number) {
    this.#origin = origin
    this.#connectionsMax = connectionsMax
  }

  /**
   * Sends a request and hands its answer to a receiver. A request that met a connection which the server had closed
   * while it was idle is sent once more, over a new one, unless its body has been read. Throws what
   * `BlobConnection.exchange` throws.
   */
  async exchange(request: BlobRequest, receiver: BlobReceiver, signal: AbortSignal): Promise<BlobHead> {
    await this.#enter(signal)
    try {
      const kept = this.#takeIdle()
      if (kept !== null) {
        try {
          return await this.#exchangeOn(kept, request, receiver, signal)
        } catch (error) {
          const isAgain = request.body === null || request.body instanceof Uint8Array
          if (signal.aborted || kept.hasAnswerBegun || !isAgain) throw error
        }
      }
      return await this.#exchangeOn(await BlobConnection.open(this.#origin, signal), request, receiver, signal)
    } finally {
      this.#leave()
    }
  }

  /** Closes idle connections; those in use are closed by who uses them. */
  close(): void {
    for (const { connection, timer } of this.#idle.splice(0)) {
      clearTimeout(timer)
      connection.close()
    }
  }

  async #exchangeOn(connection: BlobConnection, request: BlobRequest, receiver: BlobReceiver, signal: AbortSignal) {
    const head = await connection.exchange(request, receiver, signal)
    if (connection.isOpen) this.#keep(connection)
    return head
  }

  #keep(connection: BlobConnection): void {
    connection.setIdle(true)
    const timer = setTimeout(() => {
      this.#idle.splice(
        this.#idle.findIndex((idle) => idle.connection === connection),
        1,
      )
      connection.close()
    }, IDLE_MS)
    timer.unref()
    this.#idle.push({ connection, timer })
  }

  #takeIdle(): BlobConnection | null {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      clearTimeout(last.timer)
      if (!last.connection.isOpen) continue
      last.connection.setIdle(false)
      return last.connection
    }
    return null
  }

  async #enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortedBy(signal)
    if (this.#taken < this.#connectionsMax) {
      this.#taken += 1
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    const abort = (): void => {
      const at = this.#waiting.indexOf(resolve)
      // Its turn may just have come.
      if (at < 0) return
      this.#waiting.splice(at, 1)
      reject(abortedBy(signal))
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken -= 1
    else next()
  }
}
