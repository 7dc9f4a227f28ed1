/**
 * One RESP connection: reads commands, carries them out one after another, and answers in order. A command is read when
 * the one before it has been carried out, so what is in flight is one command (or some look-ups that are asked together)
 * and the segments behind it; beyond a bound of those, the socket is not read.
 */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { respErrorWord } from '../api/error-status.ts'
import { RespCommandReader, type RespInput } from '../api/resp-codec-commands.ts'
import { type RespReply, respError } from '../api/resp-codec-replies.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Caller } from '../server/caller.ts'
import { OTHER_ROUTES } from '../server/request-meters.ts'
import { toldError } from '../server/told-error.ts'
import { RespAnswers } from './resp-answers.ts'
import { wordOf } from './resp-arguments.ts'
import type { RespAnswer, RespArgs } from './resp-command.ts'
import { RespRefusal } from './resp-refusal.ts'
import { findCommand } from './resp-commands.ts'
import { isPresenceQuestion, presenceOf } from './resp-presence.ts'
import type { RespIncoming } from './resp-incoming.ts'
import { RespOutput } from './resp-output.ts'
import type { RespDoorParts, RespSession } from './resp-parts.ts'
import { RespRoom } from './resp-room.ts'

/** Not read beyond so many bytes that wait for the command before them. */
const BUFFERED_BYTES_MAX = 256 * 1024
/** For who has sent a part of a command: it was not carried out, and may be sent to another node. */
const CLOSING = `${respErrorWord('DRAINING')} the server is closing: the command was not read to its end`
/** Read at a time to where a long argument belongs: it is hashed while it is in the processor's cache. */
const PLACE_BYTES = 256 * 1024
/** After the last answer, until the peer closes its side too. */
const LINGER_MS = 1000
/** What a command counts in a pass of the event loop, beside its bytes. */
const COMMAND_BYTES = 2048

export class RespConnection {
  readonly session: RespSession
  readonly #door: RespDoorParts
  readonly #socket: Socket
  readonly #reader: RespCommandReader
  readonly #answers: RespAnswers
  readonly #room: RespRoom
  readonly #output: RespOutput
  readonly #gone = new AbortController()
  /** Read already, and not carried out. */
  #ahead: RespArgs | null = null
  #isRunning = false
  #hasEnded = false
  #isClosing = false
  /** The last answer is on its way. */
  #isDone = false
  /** Of the command that is carried out: for the meters. */
  #measured = { route: '', outcome: '', count: 0 }
  /** Since when a command is half there, moved on by what has come of it; null when none is. */
  #halfSinceMs: number | null = null

  constructor(door: RespDoorParts, { socket, start }: RespIncoming, id: number, caller: Caller | null) {
    this.#door = door
    this.#socket = socket
    this.#output = new RespOutput(socket, door.turns, door.nowMs)
    this.#answers = new RespAnswers(this.#output, this.#brokeOff)
    this.#room = new RespRoom(door.budget, door.commandTimeoutMs, this.#gone.signal)
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
      send: (part) => this.#answers.send(part),
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
      if (!this.#isRunning) this.#room.release()
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
      this.#room.release()
      this.cut()
    })
  }

  /** Carries out all that was read. Still running when it ends without having waited for more: nothing comes after. */
  async #run(): Promise<void> {
    for (;;) {
      if (this.#gone.signal.aborted) {
        this.#room.release()
        return
      }
      if (this.#isClosing && this.#reader.isHalfThere) this.#write(respError(CLOSING))
      if (this.#isClosing || this.session.isLeaving) break
      if (this.#output.isFull) {
        this.#answers.flush()
        await this.#output.room()
        continue
      }
      const input = this.#next()
      if (input.kind === 'more') {
        if (this.#hasEnded) break
        this.#answers.flush()
        this.#waitForMore()
        return
      }
      if (input.kind === 'room') {
        this.#answers.flush()
        // While it waits for room, it is not the sender that is slow.
        this.#halfSinceMs = null
        // Without waiting where there is room: whatever waits has to be copied out of shared memory first.
        if (this.#room.tryTake(input.bytes)) this.#admitted()
        else if (!(await this.#makeRoom(input.bytes))) break
        continue
      }
      if (input.kind === 'broken') {
        this.#write(respError(`ERR ${input.message}`))
        break
      }
      this.#halfSinceMs = null
      if (!this.#door.turns.take(COMMAND_BYTES)) {
        this.#answers.flush()
        await new Promise<void>((resolve) => this.#door.turns.next(resolve))
      }
      const startMs = performance.now()
      this.#measured = { route: OTHER_ROUTES, outcome: 'ok', count: 1 }
      const answer = this.#carryOut(input.args)
      const reply = answer instanceof Promise ? await answer : answer
      const sending = reply === null ? null : this.#answers.answer(reply)
      if (sending !== null) await sending
      this.#room.release()
      this.#count((performance.now() - startMs) / 1000)
    }
    this.#answers.flush()
    await this.#output.drained()
    this.#end()
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

  #write(reply: RespReply): void {
    void this.#answers.answer(reply)
  }

  readonly #brokeOff = (error: unknown): void => {
    this.#failed(error)
    this.#door.log.warn({ err: error, peer: this.session.peer }, 'a value broke off')
    this.cut()
  }

  /** What still comes in is read and dropped for a moment: closing before it is read would take the last answers along. */
  #end(): void {
    this.#room.release()
    if (this.#isDone || this.#socket.destroyed) return
    this.#isDone = true
    this.#socket.end()
    this.#socket.resume()
    if (this.#hasEnded) this.#socket.destroySoon()
    else setTimeout(() => this.cut(), LINGER_MS).unref()
  }

  #admitted(): void {
    this.#reader.admit()
    this.#halfSinceMs = this.#door.nowMs()
  }

  /** False when there is no room for the command, or nobody who waits for it any more. */
  async #makeRoom(bytes: number): Promise<boolean> {
    try {
      await this.#room.take(bytes)
    } catch (error) {
      if (!(error instanceof MembraneError)) throw error
      this.#write(respError(`OOM ${error.message}`))
      return false
    }
    if (this.#gone.signal.aborted) return false
    this.#admitted()
    return true
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
    this.#answers.version = this.session.version
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
    for (const reply of replies) this.#write(reply)
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
