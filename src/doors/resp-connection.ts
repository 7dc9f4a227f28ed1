/**
 * One RESP connection: reads commands, carries them out one after another, and answers in order. A command is read when
 * the one before it has been carried out, so what is in flight is one command (or some look-ups that are asked together)
 * and the segments behind it; beyond a bound of those, the socket is not read.
 */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { respErrorWord } from '../api/error-status.ts'
import { RespCommandReader, type RespInput } from '../api/resp-codec-commands.ts'
import { type RespReply, RespReplyWriter, respError, RESP_COPIED_BYTES_MAX } from '../api/resp-codec-replies.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Caller } from '../server/caller.ts'
import { OTHER_ROUTES } from '../server/request-meters.ts'
import { toldError } from '../server/told-error.ts'
import { wordOf } from './resp-arguments.ts'
import type { RespAnswer, RespArgs } from './resp-command.ts'
import { RespRefusal } from './resp-refusal.ts'
import { findCommand } from './resp-commands.ts'
import { isPresenceQuestion, presenceOf } from './resp-presence.ts'
import type { RespIncoming } from './resp-incoming.ts'
import { RespOutput } from './resp-output.ts'
import type { RespDoorParts, RespSession, RespStoredValue } from './resp-parts.ts'

/** Not read beyond so many bytes that wait for the command before them. */
const BUFFERED_BYTES_MAX = 256 * 1024
/** For who has sent a part of a command: it was not carried out, and may be sent to another node. */
const CLOSING = `${respErrorWord('DRAINING')} the server is closing: the command was not read to its end`
/** Read at a time to where a long argument belongs: it is hashed while it is in the processor's cache. */
const PLACE_BYTES = 256 * 1024
/** After the last answer, until the peer closes its side too. */
const LINGER_MS = 1000
const NOTHING = new Uint8Array(0)
/** What a command counts in a pass of the event loop, beside its bytes. */
const COMMAND_BYTES = 2048

export class RespConnection {
  readonly session: RespSession
  readonly #door: RespDoorParts
  readonly #socket: Socket
  readonly #reader: RespCommandReader
  readonly #writer = new RespReplyWriter()
  readonly #output: RespOutput
  readonly #gone = new AbortController()
  /** Read already, and not carried out. */
  #ahead: RespArgs | null = null
  #isRunning = false
  #hasEnded = false
  #isClosing = false
  /** The last answer is on its way. */
  #isDone = false
  #admittedBytes = 0
  /** Of the command that is carried out: for the meters. */
  #measured = { route: '', outcome: '', count: 0 }
  /** Since when a command is half there, moved on by what has come of it; null when none is. */
  #halfSinceMs: number | null = null

  constructor(door: RespDoorParts, { socket, start }: RespIncoming, id: number, caller: Caller | null) {
    this.#door = door
    this.#socket = socket
    this.#output = new RespOutput(socket, door.turns, door.nowMs)
    const hashes = door.operations.fragments.arrivingHashes()
    this.#reader = new RespCommandReader(
      (bytes) => door.operations.fragments.memoryFor(bytes),
      this.#bounds(caller),
      hashes.wrote,
    )
    this.session = {
      id,
      peer: `${socket.remoteAddress ?? 'unix'}:${socket.remotePort ?? 0}`,
      connectedAtMs: door.nowMs(),
      door,
      initialCaller: caller,
      caller,
      version: 2,
      name: '',
      libraryName: '',
      libraryVersion: '',
      failedAuths: 0,
      lastCommand: '',
      commands: 0,
      isLeaving: false,
      hashes,
      failed: (error) => this.#failed(error),
      send: async (part) => {
        if (part.kind === 'arrayStart') this.#writer.arrayStart(part.items)
        else await this.#answer(part)
        this.#flush()
        await this.#output.room()
      },
    }
    socket.once('end', () => {
      this.#hasEnded = true
      if (this.#isDone) socket.destroySoon()
      else this.#go()
    })
    socket.on('error', (error) => this.#door.log.debug({ err: error, peer: this.session.peer }, 'connection failed'))
    socket.once('close', () => {
      this.#gone.abort()
      this.#output.close()
      // One that was reset or cut has no end, and half a command of it may hold room; what runs gives it back itself.
      if (!this.#isRunning) this.#release()
    })
    start({
      received: (segment, isShared) => this.#received(segment, isShared),
      missingBytes: () => this.#reader.missingBytes,
      place: () => (this.#isDone ? null : this.#reader.place(PLACE_BYTES)),
      placed: (bytes) => this.#placed(bytes),
    })
  }

  /** Ends when the command under way has been answered and the connection is closed. */
  async close(): Promise<void> {
    this.#isClosing = true
    if (!this.#isRunning) {
      if (this.#reader.isHalfThere) this.#go()
      else this.#end()
    }
    if (!this.#socket.destroyed) await new Promise<void>((resolve) => this.#socket.once('close', () => resolve()))
  }

  cut(): void {
    this.#socket.destroy()
  }

  /** Now and then: cuts a peer that sends half a command and no more, or does not take its answers. */
  check(nowMs: number): void {
    const { commandTimeoutMs, answerTimeoutMs, log } = this.#door
    const isSlow = this.#halfSinceMs !== null && nowMs - this.#halfSinceMs > commandTimeoutMs
    if (!isSlow && this.#output.stalledMs() <= answerTimeoutMs) return
    log.info({ peer: this.session.peer, reason: isSlow ? 'half a command' : 'answers not taken' }, 'connection cut')
    this.cut()
  }

  #received(segment: Uint8Array, isShared: boolean): void {
    if (this.#isDone) return
    if (this.#halfSinceMs !== null) this.#halfSinceMs = this.#later(this.#halfSinceMs, segment.length)
    if (isShared) this.#reader.pushShared(segment)
    else this.#reader.push(segment)
    this.#go()
    if (isShared) this.#reader.settle()
    if (this.#reader.bufferedBytes > BUFFERED_BYTES_MAX) this.#socket.pause()
  }

  #placed(bytes: number): void {
    if (this.#isDone) return
    if (this.#halfSinceMs !== null) this.#halfSinceMs = this.#later(this.#halfSinceMs, bytes)
    this.#reader.placed(bytes)
    this.#go()
  }

  /** Bytes earn their sender the time that they may take. */
  #later(sinceMs: number, bytes: number): number {
    const { nowMs, senderBytesPerSecondMin } = this.#door
    return Math.min(nowMs(), sinceMs + (1000 * bytes) / senderBytesPerSecondMin)
  }

  #go(): void {
    if (this.#isRunning || this.#gone.signal.aborted) return
    this.#isRunning = true
    this.#run().catch((error: unknown) => {
      this.#door.log.error({ err: error, peer: this.session.peer }, 'connection failed')
      this.#release()
      this.cut()
    })
  }

  /** Carries out all that was read. Still running when it ends without having waited for more: nothing comes after. */
  async #run(): Promise<void> {
    for (;;) {
      if (this.#gone.signal.aborted) {
        this.#release()
        return
      }
      if (this.#isClosing && this.#reader.isHalfThere) this.#writer.write(respError(CLOSING))
      if (this.#isClosing || this.session.isLeaving) break
      if (this.#output.isFull) {
        this.#flush()
        await this.#output.room()
        continue
      }
      const input = this.#next()
      if (input.kind === 'more') {
        if (this.#hasEnded) break
        this.#flush()
        this.#waitForMore()
        return
      }
      if (input.kind === 'room') {
        this.#flush()
        // While it waits for room, it is not the sender that is slow.
        this.#halfSinceMs = null
        // Without waiting where there is room: whatever waits has to be copied out of shared memory first.
        if (!this.#hasRoomNow(input.bytes) && !(await this.#makeRoom(input.bytes))) break
        continue
      }
      if (input.kind === 'broken') {
        this.#writer.write(respError(`ERR ${input.message}`))
        break
      }
      this.#halfSinceMs = null
      if (!this.#door.turns.take(COMMAND_BYTES)) {
        this.#flush()
        await new Promise<void>((resolve) => this.#door.turns.next(resolve))
      }
      const startMs = performance.now()
      this.#measured = { route: OTHER_ROUTES, outcome: 'ok', count: 1 }
      const answer = this.#carryOut(input.args)
      const reply = answer instanceof Promise ? await answer : answer
      const sending = reply === null ? null : this.#answer(reply)
      // Nearly always there is nothing to wait for, and a turn of the queue costs as much as a small command.
      if (sending !== null) await sending
      this.#release()
      this.#count((performance.now() - startMs) / 1000)
    }
    this.#flush()
    await this.#output.drained()
    this.#end()
  }

  /** What to wait for, if anything. */
  #answer(reply: RespReply | RespStoredValue): Promise<void> | null {
    if (reply.kind !== 'value') {
      this.#writer.write(reply)
      return null
    }
    const { payload, chunks, ended } = reply
    if (chunks !== null) return this.#answerChunks(reply, chunks)
    // A view for this answer alone: one value may be asked for twice in a pipeline.
    const bytes = payload?.subarray() ?? NOTHING
    this.#writer.write({ kind: 'bytes', bytes })
    // Short bytes were copied.
    if (bytes.length <= RESP_COPIED_BYTES_MAX) ended(true)
    else this.#output.whenEnded(bytes, ended)
    return null
  }

  /** A chunk is read when the one before it has nearly gone; a value that breaks off ends the connection. */
  async #answerChunks({ bytes, ended }: RespStoredValue, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#writer.bytesStart(bytes)
    this.#flush()
    try {
      for await (const chunk of chunks) {
        // The chunk's memory is the store's again once the next one is asked for.
        this.#output.push([chunk.slice()])
        await this.#output.room()
        if (this.#gone.signal.aborted) return
      }
      this.#writer.bytesEnd()
    } catch (error) {
      this.#failed(error)
      this.#door.log.warn({ err: error, peer: this.session.peer }, 'a value broke off')
      this.cut()
    } finally {
      ended(true)
    }
  }

  #count(seconds: number): void {
    const { route, outcome, count } = this.#measured
    const { meters } = this.#door.operations
    for (let times = 0; times < count; times++) meters.answered({ door: 'resp', route, outcome, seconds })
  }

  #next(): RespInput {
    const ahead = this.#ahead
    this.#ahead = null
    return ahead === null ? this.#reader.next() : { kind: 'command', args: ahead }
  }

  #waitForMore(): void {
    if (!this.#reader.isHalfThere) this.#halfSinceMs = null
    else this.#halfSinceMs ??= this.#door.nowMs()
    this.#isRunning = false
    if (this.#socket.isPaused()) this.#socket.resume()
  }

  #flush(): void {
    const pieces = this.#writer.take()
    if (pieces.length > 0) this.#output.push(pieces)
  }

  /** What still comes in is read and dropped for a moment: closing before it is read would take the last answers along. */
  #end(): void {
    this.#release()
    if (this.#isDone || this.#socket.destroyed) return
    this.#isDone = true
    this.#socket.end()
    this.#socket.resume()
    if (this.#hasEnded) this.#socket.destroySoon()
    else setTimeout(() => this.cut(), LINGER_MS).unref()
  }

  #hasRoomNow(bytes: number): boolean {
    const { budget } = this.#door
    if (bytes > budget.bytesMax || !budget.tryTake(bytes)) return false
    this.#admitted(bytes)
    return true
  }

  #admitted(bytes: number): void {
    this.#admittedBytes += bytes
    this.#reader.admit()
    this.#halfSinceMs = this.#door.nowMs()
  }

  /** False when there is no room for the command. */
  async #makeRoom(bytes: number): Promise<boolean> {
    const { budget, commandTimeoutMs } = this.#door
    try {
      if (!budget.tryTake(bytes)) {
        // Who holds a part and waits for the rest must not do so for ever: two of them would wait for each other.
        const signals = this.#admittedBytes > 0 ? [AbortSignal.timeout(commandTimeoutMs)] : []
        await budget.take(bytes, AbortSignal.any([this.#gone.signal, ...signals]))
      }
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      this.#writer.write(respError(`OOM ${error.message}`))
      return false
    }
    if (this.#gone.signal.aborted) {
      this.#admittedBytes += bytes
      return false
    }
    this.#admitted(bytes)
    return true
  }

  #release(): void {
    if (this.#admittedBytes === 0) return
    this.#door.budget.release(this.#admittedBytes)
    this.#admittedBytes = 0
  }

  #carryOut(args: RespArgs): RespAnswer | Promise<RespAnswer> {
    const { session } = this
    const name = wordOf(args[0] ?? new Uint8Array(0))
    session.commands += 1
    this.#door.counts.commands += 1
    const found = findCommand(name, args)
    if (found.kind === 'foreign') session.isLeaving = true
    if (found.kind !== 'found') {
      this.#measured.outcome = 'INVALID_REQUEST'
      return respError(found.text)
    }
    const { command } = found
    session.lastCommand = found.name
    this.#measured.route = found.name
    const { caller } = session
    if (caller === null && command.isOpen !== true) {
      this.#measured.outcome = 'UNAUTHENTICATED'
      return respError('NOAUTH Authentication required.')
    }
    try {
      if (caller !== null && isPresenceQuestion(name)) return this.#answerPresence(caller, args)
      // An open command never asks who calls.
      const answer = command.run({ caller: caller as Caller, session }, args)
      return answer instanceof Promise ? answer.then((reply) => this.#after(reply), this.#failed) : this.#after(answer)
    } catch (error) {
      return this.#failed(error)
    }
  }

  /** What a command may have changed for those that follow it. */
  #after(answer: RespAnswer): RespAnswer {
    this.#reader.bounds = this.#bounds(this.session.caller)
    this.#writer.version = this.session.version
    return answer
  }

  /** Look-ups that follow each other are one question to the store: nothing of this connection comes between them. */
  async #answerPresence(caller: Caller, first: RespArgs): Promise<RespAnswer> {
    const questions = [first]
    let keys = first.length - 1
    while (keys < LIMITS.respKeysAtOnceMax) {
      const input = this.#reader.next()
      if (input.kind !== 'command') break
      if (!isPresenceQuestion(wordOf(input.args[0] ?? new Uint8Array(0))) || input.args.length < 2) {
        this.#ahead = input.args
        break
      }
      questions.push(input.args)
      keys += input.args.length - 1
      this.session.commands += 1
      this.#door.counts.commands += 1
    }
    const replies = await presenceOf(this.#door.operations, caller, questions, this.#failed)
    for (const reply of replies) this.#writer.write(reply)
    this.#measured.count = questions.length
    return null
  }

  readonly #failed = (error: unknown): RespReply => {
    this.#measured.outcome =
      error instanceof MembraneError ? error.code : error instanceof RespRefusal ? 'INVALID_REQUEST' : 'INTERNAL'
    if (error instanceof RespRefusal) return respError(error.message)
    if (error instanceof MembraneError && error.code !== 'INTERNAL') {
      const told = toldError(error, this.#door.log, { command: this.session.lastCommand })
      const remedy = told.remedy === null ? '' : ` ${told.remedy}`
      return respError(`${respErrorWord(told.code)} ${told.message}${remedy}`)
    }
    const requestId = randomUUID()
    this.#door.log.error({ err: error, requestId, command: this.session.lastCommand }, 'internal error')
    return respError(`ERR internal error, request ${requestId}`)
  }

  #bounds(caller: Caller | null) {
    const argumentBytesMax = Math.min(this.#door.payloadBytesMax, this.#door.budget.bytesMax)
    return { argumentsMax: LIMITS.respArgumentsMax, argumentBytesMax, isTrusted: caller !== null }
  }
}
