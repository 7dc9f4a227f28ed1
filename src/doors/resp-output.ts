/**
 * Answers on their way out of one connection. Bytes are not copied: a payload in the store's memory goes to the socket
 * as it is, in slices, so that no connection holds the thread for longer than a slice takes.
 */
import type { Socket } from 'node:net'
import type { RespTurns } from './resp-turns.ts'

/**
 * Given to the socket in one call. The kernel takes some megabytes at once, and the rest when the peer has read them:
 * smaller slices only wait in between, larger ones let a slow peer look as if it took nothing.
 */
const SLICE_BYTES = 16 * 1024 * 1024
/** A piece that ends within so many bytes after the slice goes with it: a value of 2 MB is one call, with its line. */
const SLACK_BYTES = 64 * 1024
/** Pieces of one call: what `writev` takes is bounded too. */
const SLICE_PIECES = 64
/** With more than that unsent, no further command is carried out. */
const QUEUED_BYTES_MAX = 1024 * 1024

export class RespOutput {
  readonly #socket: Socket
  readonly #turns: RespTurns
  readonly #nowMs: () => number
  #queue: Uint8Array[] = []
  /** Place in the first piece. */
  #at = 0
  #queuedBytes = 0
  #isWriting = false
  #isClosed = false
  #waiting: (() => void) | null = null
  readonly #ended = new Map<Uint8Array, (isSent: boolean) => void>()
  #progressAtMs: number

  constructor(socket: Socket, turns: RespTurns, nowMs: () => number) {
    this.#socket = socket
    this.#turns = turns
    this.#nowMs = nowMs
    this.#progressAtMs = nowMs()
  }

  /** The socket is gone: nobody takes anything any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  get isFull(): boolean {
    return this.#queuedBytes > QUEUED_BYTES_MAX && !this.#isClosed
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Milliseconds for which the peer has taken nothing of what waits for it. */
  stalledMs(): number {
    return this.#queuedBytes === 0 ? 0 : this.#nowMs() - this.#progressAtMs
  }

  push(pieces: readonly Uint8Array[]): void {
    if (this.#isClosed) return
    if (this.#queuedBytes === 0) this.#progressAtMs = this.#nowMs()
    for (const piece of pieces) {
      if (piece.length === 0) continue
      this.#queue.push(piece)
      this.#queuedBytes += piece.length
    }
    if (!this.#isWriting) this.#pump()
  }

  /** `ended` is called when a piece, which is pushed next, has gone to the network, or will not. */
  whenEnded(piece: Uint8Array, ended: (isSent: boolean) => void): void {
    if (this.#isClosed) ended(false)
    else this.#ended.set(piece, ended)
  }

  /** Ends when there is room, or nobody to write to. One at a time. */
  async room(): Promise<void> {
    if (this.isFull) await this.#until()
  }

  /** Ends when all of it was given to the network, or there is nobody to write to. */
  async drained(): Promise<void> {
    while (this.#queuedBytes > 0 && !this.#isClosed) await this.#until()
  }

  /** The socket is gone. */
  close(): void {
    this.#isClosed = true
    this.#queue = []
    this.#queuedBytes = 0
    for (const ended of this.#ended.values()) ended(false)
    this.#ended.clear()
    this.#wake()
  }

  #until(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.()
  }

  /** HOT: once for every slice. */
  readonly #pump = (): void => {
    if (this.#isClosed || this.#queuedBytes === 0) {
      this.#isWriting = false
      this.#wake()
      return
    }
    this.#isWriting = true
    if (!this.#turns.take(Math.min(SLICE_BYTES, this.#queuedBytes))) {
      this.#turns.next(this.#pump)
      return
    }
    const { slice, sent } = this.#takeSlice()
    const last = slice.length - 1
    if (last > 0) this.#socket.cork()
    let bytes = 0
    for (let index = 0; index <= last; index++) {
      const piece = slice[index] as Uint8Array
      bytes += piece.length
      if (index < last) this.#socket.write(piece)
      // What failed goes with the socket, whose end is on its way.
      else
        this.#socket.write(piece, (error) => {
          if (error == null) this.#written(bytes, sent)
        })
    }
    if (last > 0) this.#socket.uncork()
  }

  #written(bytes: number, sent: readonly Uint8Array[]): void {
    if (this.#isClosed) return
    for (const piece of sent) this.#sent(piece)
    this.#queuedBytes -= bytes
    this.#progressAtMs = this.#nowMs()
    if (!this.isFull) this.#wake()
    this.#pump()
  }

  #sent(piece: Uint8Array): void {
    this.#ended.get(piece)?.(true)
    this.#ended.delete(piece)
  }

  /** And those pieces that end in it, of which somebody is to be told. */
  #takeSlice(): { readonly slice: readonly Uint8Array[]; readonly sent: readonly Uint8Array[] } {
    const slice: Uint8Array[] = []
    const sent: Uint8Array[] = []
    let left = SLICE_BYTES
    let used = 0
    while (left > 0 && used < this.#queue.length && slice.length < SLICE_PIECES) {
      const piece = this.#queue[used] as Uint8Array
      const end = piece.length - this.#at <= left + SLACK_BYTES ? piece.length : this.#at + left
      const part = piece.subarray(this.#at, end)
      slice.push(part)
      left -= part.length
      this.#at += part.length
      if (this.#at < piece.length) break
      this.#at = 0
      used += 1
      if (this.#ended.has(piece)) sent.push(piece)
    }
    if (used > 0) this.#queue.splice(0, used)
    return { slice, sent }
  }
}
