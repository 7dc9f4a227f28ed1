/**
 * One connection of an `lm://` client: a header, perhaps a body, an answer, and again. Requests are carried out one after
 * the other, however the network cuts or joins them. The protocol has no word for a failure: a put that cannot be kept is
 * counted and logged, and missing later; what no client sends ends the connection.
 */
import type { Socket } from 'node:net'
import {
  LM_CODES,
  LM_MISSING,
  LM_REQUEST_BYTES,
  type LmRequest,
  type LmShape,
  lmShapeOfBytes,
  parseLmRequest,
  writeLmAnswer,
} from '../api/lm-codec.ts'
import { byteDescription } from '../core/fragment-bytes.ts'
import { type ErrorCode, MembraneError, unreachable } from '../core/errors.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import type { ByteSpan, StoredEntry } from '../core/ports.ts'
import type { Caller } from '../server/caller.ts'
import { opaqueKey, SLICED_BYTES_MAX } from '../server/fragment-operations.ts'
import { OTHER_ROUTES } from '../server/request-meters.ts'
import type { DoorOptions } from './door.ts'
import { SocketReader } from './socket-reader.ts'

export interface LmDoorParts extends DoorOptions {
  /** For the forked version of the client that reads the location before the shape. */
  readonly isLocationFirst: boolean
  readonly nowMs: () => number
  readonly counts: LmCounts
}

/** Since the door was opened. */
export interface LmCounts {
  /** Puts that were not kept; their client was not told, because it cannot be. */
  failedPuts: number
  /** Connections that were ended because of what they sent. */
  violations: number
}

/** A header and a body leave in one segment when they are small. */
const JOINED_BYTES_MAX = 16 * 1024
/** Given to the socket in one call: so that it is seen whether the peer takes a large value, or nothing of it. */
const SLICE_BYTES = 8 * 1024 * 1024

/** See the top of this file. */
export class LmConnection {
  readonly #parts: LmDoorParts
  readonly #socket: Socket
  readonly #caller: Caller
  readonly #reader: SocketReader
  readonly #gone = new AbortController()
  #isBusy = false
  #isClosing = false
  /** Since when the peer has taken nothing of what is written to it; null when nothing is. */
  #writingSinceMs: number | null = null
  /** Of the request that is carried out: for the meters, which know failures that the protocol has no word for. */
  #outcome = 'ok'

  constructor(parts: LmDoorParts, socket: Socket, caller: Caller) {
    this.#parts = parts
    this.#socket = socket
    this.#caller = caller
    this.#reader = new SocketReader(socket, parts.nowMs)
    socket.on('error', (error) => parts.log.debug({ error }, 'connection failed'))
    socket.once('close', () => this.#gone.abort())
  }

  /** Until either side ends it. */
  async serve(): Promise<void> {
    const header = Buffer.alloc(LM_REQUEST_BYTES)
    try {
      while (!this.#isClosing && (await this.#reader.fill(header, false))) {
        this.#isBusy = true
        if (!(await this.#measured(header))) break
        this.#isBusy = false
      }
      this.#socket.destroySoon()
    } catch (error) {
      this.#violated(error)
    } finally {
      this.#isBusy = false
    }
  }

  /** After the request that is being carried out. */
  close(): void {
    this.#isClosing = true
    if (!this.#isBusy) this.#socket.destroySoon()
  }

  cut(): void {
    this.#socket.destroy()
  }

  /** Cuts a connection on which a request has been half there, or an answer has not been taken, for too long. */
  check(stallMsMax: number): void {
    const { nowMs } = this.#parts
    if (this.#reader.halfMs > stallMsMax) this.#violated(stalled('A request stayed half there.'))
    else if (this.#writingSinceMs !== null && nowMs() - this.#writingSinceMs > stallMsMax)
      this.#violated(stalled('An answer was not taken.'))
  }

  /** Carries a request out and counts it, however it ends. False when it was the last one of the connection. */
  async #measured(header: Uint8Array): Promise<boolean> {
    const startMs = performance.now()
    let route = OTHER_ROUTES
    this.#outcome = 'ok'
    try {
      const request = parseLmRequest(header)
      route = request.command
      const caller = this.#admitted()
      if (caller === null) return false
      const isDone = await this.#carryOut(caller, request)
      if (!isDone) this.#outcome = 'ABORTED'
      return isDone
    } catch (error) {
      this.#outcome = error instanceof MembraneError ? error.code : 'INTERNAL'
      throw error
    } finally {
      const seconds = (performance.now() - startMs) / 1000
      this.#parts.operations.meters.answered({ door: 'lm', route, outcome: this.#outcome, seconds })
    }
  }

  /** A request that has begun goes on while the node drains; null for one that comes then, which ends the connection. */
  #admitted(): Caller | null {
    try {
      return this.#parts.operations.gate.admit(this.#caller)
    } catch (error) {
      if (!(error instanceof MembraneError) || error.code !== 'DRAINING') throw error
      this.#outcome = error.code
      return null
    }
  }

  /** False when the peer ended in the middle of it. */
  async #carryOut(caller: Caller, request: LmRequest): Promise<boolean> {
    switch (request.command) {
      case 'put':
        return this.#put(caller, request)
      case 'get':
        return this.#get(caller, request)
      case 'exist':
        return this.#answer(
          (await this.#isThere(caller, request)) ? LM_CODES.found : LM_CODES.missing,
          LM_MISSING,
          null,
        )
      case 'health':
        return this.#answer(LM_CODES.found, LM_MISSING, null)
      case 'list':
        // The first server leaves its client waiting.
        return this.#answer(LM_CODES.missing, LM_MISSING, null)
      default:
        return unreachable(request.command)
    }
  }

  async #put(caller: Caller, request: LmRequest): Promise<boolean> {
    const { length, key } = request
    const { budget, payloadBytesMax, operations } = this.#parts
    if (length > payloadBytesMax)
      throw new MembraneError('LIMIT_REACHED', `A value has at most ${payloadBytesMax} bytes; this one has ${length}.`)
    await budget.take(length, this.#gone.signal)
    try {
      const payload = operations.fragments.memoryFor(length)
      if (!(await this.#reader.fill(payload, true))) return false
      const put = { description: descriptionOf(request), foreignKey: key, payload, isGivenAway: true }
      const { outcome } = await operations.fragments.put(caller, put)
      if (outcome === 'refused') this.#putFailed('STORE_FULL')
    } catch (error) {
      if (!(error instanceof MembraneError) || error.code === 'ABORTED') throw error
      this.#putFailed(error.code)
    } finally {
      budget.release(length)
    }
    return true
  }

  async #get(caller: Caller, { key }: LmRequest): Promise<boolean> {
    const { fragments } = this.#parts.operations
    const found = await this.#orMissing(fragments.read(caller, opaqueKey(key), allOf, SLICED_BYTES_MAX))
    if (found === null) return this.#answer(LM_CODES.missing, LM_MISSING, null)
    const { entry, payload, chunks, ended } = found
    const shape = shapeOf(entry.description) ?? lmShapeOfBytes(entry.payloadBytes)
    let isSent = false
    try {
      if (chunks === null) isSent = await this.#answer(LM_CODES.found, shape, payload)
      else isSent = await this.#answerChunks({ shape, payloadBytes: entry.payloadBytes, chunks })
    } finally {
      ended(isSent)
    }
    return isSent
  }

  /** A value that breaks off ends the connection: its length has been said. */
  async #answerChunks({ shape, payloadBytes, chunks }: LmChunks): Promise<boolean> {
    if (!(await this.#write(writeLmAnswer(LM_CODES.found, payloadBytes, shape, this.#parts.isLocationFirst))))
      return false
    for await (const chunk of chunks) if (!(await this.#write(chunk))) return false
    return true
  }

  async #isThere(caller: Caller, { key }: LmRequest): Promise<boolean> {
    const presence = await this.#orMissing(this.#parts.operations.fragments.has(caller, [opaqueKey(key)]))
    return presence?.isPresent[0] === true
  }

  /** What cannot be read, for whatever reason, is missing: the client computes it. */
  async #orMissing<T>(reading: Promise<T | null>): Promise<T | null> {
    try {
      return await reading
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      this.#outcome = error.code
      this.#parts.log.warn({ code: error.code, caller: this.#caller.name }, 'a read failed, and was answered as a miss')
      return null
    }
  }

  /** Ends when the socket has taken it, so that who does not read is not read from. */
  async #answer(code: number, shape: LmShape, payload: Uint8Array | null): Promise<boolean> {
    const length = payload?.length ?? 0
    const header = writeLmAnswer(code, length, shape, this.#parts.isLocationFirst)
    if (payload === null || length === 0) return this.#write(header)
    if (length <= JOINED_BYTES_MAX) return this.#write(Buffer.concat([header, payload]))
    // The header is one segment; the payload goes out of the store's own memory.
    this.#socket.cork()
    this.#socket.write(header)
    const written = this.#write(payload.subarray(0, SLICE_BYTES))
    this.#socket.uncork()
    if (!(await written)) return false
    for (let start = SLICE_BYTES; start < length; start += SLICE_BYTES)
      if (!(await this.#write(payload.subarray(start, start + SLICE_BYTES)))) return false
    return true
  }

  #write(bytes: Uint8Array): Promise<boolean> {
    this.#writingSinceMs = this.#parts.nowMs()
    return new Promise((resolve) =>
      this.#socket.write(bytes, (error) => {
        this.#writingSinceMs = null
        resolve(error == null)
      }),
    )
  }

  #putFailed(reason: ErrorCode): void {
    this.#outcome = reason
    this.#parts.counts.failedPuts += 1
    const { failedPuts } = this.#parts.counts
    // The first, and then ever fewer.
    if (Number.isInteger(Math.log2(failedPuts)))
      this.#parts.log.warn({ reason, failedPuts, caller: this.#caller.name }, 'a put was not kept')
  }

  #violated(error: unknown): void {
    this.#parts.counts.violations += 1
    if (error instanceof MembraneError || this.#gone.signal.aborted)
      this.#parts.log.info({ reason: error instanceof Error ? error.message : '' }, 'connection ended')
    else this.#parts.log.error({ error }, 'connection ended')
    this.#socket.destroy()
  }
}

function stalled(message: string): MembraneError {
  return new MembraneError('DEADLINE_EXCEEDED', message)
}

interface LmChunks {
  readonly shape: LmShape
  readonly payloadBytes: number
  readonly chunks: AsyncIterable<Uint8Array>
}

function allOf({ payloadBytes }: Pick<StoredEntry, 'payloadBytes'>): ByteSpan {
  return { start: 0, end: payloadBytes }
}

/** Ours, as a media type that says the rest. */
const LAYOUT = /^lm:(-?\d+),(-?\d+),(-?\d+),(-?\d+),(-?\d+),(-?\d+),(-?\d+)$/

function descriptionOf({ format, dtype, location, shape }: LmShape): FragmentDescription {
  return byteDescription('opaque', `lm:${[format, dtype, location, ...shape].join(',')}`)
}

/** Null for bytes that came by another door. */
function shapeOf({ signature }: FragmentDescription): LmShape | null {
  const found = LAYOUT.exec(signature.layout)?.slice(1).map(Number)
  if (found === undefined) return null
  const [format = 0, dtype = 0, location = 0, a = 0, b = 0, c = 0, d = 0] = found
  return { format, dtype, location, shape: [a, b, c, d] }
}
